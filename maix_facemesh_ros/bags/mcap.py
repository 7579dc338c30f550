"""MCAP files, read chunk by chunk, so that a broken chunk affects no other (https://mcap.dev/spec).

rosbags' reader refuses a truncated file, as after a crash, and skips the rest of a file after a
broken chunk. The records and their compression are those of the package `mcap`.
"""

from __future__ import annotations

import heapq
import io
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import mcap.records
import numpy as np
import numpy.typing as npt
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, ChunkIndex, MessageIndex, Metadata, Schema
from zstandard import ZstdError

from maix_facemesh_ros.bags.files import MCAP_MAGIC
from maix_facemesh_ros.bags.qos import qos_of
from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagError,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
    RecordedSchema,
    UnpackLimits,
    check_message_count,
)
from maix_facemesh_ros.bags.unpacking import TooLargeError, unpack_lz4, unpack_zstd

#: Errors of reading a damaged record.
BROKEN = (
    *(McapError, ZstdError, struct.error),
    *(EOFError, ValueError, KeyError, IndexError, OverflowError, MemoryError),
    RuntimeError,  # of lz4
)

#: Later log times exceed the range of ROS and SQLite: the year 2262.
LAST_TIME = 2**63 - 1

#: Key of a channel's metadata for the publishers' qualities of service.
QOS = "offered_qos_profiles"

#: And for REP-2011's hash of the type.
TYPE_HASH = "topic_type_hash"

#: Messages outside of chunks are grouped in pieces of about this number of bytes.
PIECE_SIZE = 2**20

_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")


class _Piece(NamedTuple):
    """A part of the file that is read at once: a chunk, or messages outside of chunks."""

    start_time: int
    offset: int
    end_time: int
    #: Bytes of messages outside of chunks; 0 for a chunk.
    size: int
    #: Positions of the indices of its messages, by channel; used to count lost messages.
    indices: tuple[int, ...]


class McapFile:
    """A file of an MCAP bag."""

    def __init__(self, path: Path, limits: UnpackLimits | None = None) -> None:
        """Open it and read its index; without one, read all of it.

        Args:
            path: the file.
            limits: maximum unpacked size of chunks; larger ones count as damaged.

        Raises:
            BagError: it is not an MCAP file, or has nothing that can be read.
        """
        self._path = path
        self._limit = (limits or UnpackLimits()).chunk
        self._size = path.stat().st_size
        self.damage = Damage()
        #: Where attachments and named texts are.
        self._attachments: list[int] = []
        self._metadata: list[int] = []
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: dict[int, int] = {}
        self._pieces: list[_Piece] = []
        self._file: BinaryIO = path.open("rb")
        try:
            if self._file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
                raise BagError(f"{path} is not an MCAP file: its first bytes are wrong")
            if not self._read_index():
                self._read_through()
            if not self._channels:
                raise BagError(f"{path} has no message that can be read")
        except BaseException:
            self._file.close()
            raise
        self._pieces.sort()
        self._topics = {number: self._topic(number) for number in self._channels}
        self.topics = tuple(self._topics.values())
        starts = [piece.start_time for piece in self._pieces]
        ends = [min(piece.end_time, LAST_TIME) for piece in self._pieces]
        self.times = (min(starts), max(ends)) if self._pieces else None

    def records(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[BagRecord]:
        """See `BagFile`."""
        wanted = {number: topic for number, topic in self._topics.items() if topic.name in topics}
        #: Messages of chunks that overlap: log time, order of reading, the message.
        waiting: list[tuple[int, int, BagRecord]] = []
        #: Bytes of their data.
        size = 0
        number = 0
        for piece in self._pieces:
            if stop is not None and piece.start_time >= stop:
                break
            if start is not None and piece.end_time < start:
                continue
            # Where too many chunks overlap, order is given up, not memory.
            while waiting and (waiting[0][0] < piece.start_time or size > self._limit):
                record = heapq.heappop(waiting)[2]
                size -= len(record.data)
                yield record
            for record in self._records_of(piece, wanted):
                log_time = record.log_time
                if (start is None or log_time >= start) and (stop is None or log_time < stop):
                    heapq.heappush(waiting, (log_time, number, record))
                    size += len(record.data)
                    number += 1
        while waiting:
            yield heapq.heappop(waiting)[2]

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """See `BagFile`."""
        wanted = {number: each for number, each in self._topics.items() if each.name == topic}
        parts: list[npt.NDArray[np.int64]] = []
        count = 0
        #: Bytes of indices that the file can have: some may be named more than once.
        left = self._size
        for piece in self._pieces:
            times = self._indexed_times(piece, wanted) if left > 0 else None
            if times is None:
                times = [record.log_time for record in self._records_of(piece, wanted)]
            else:
                left -= 16 * len(times)
            parts.append(np.array(times, np.int64))
            count += len(times)
            check_message_count(self._path, topic, count)
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def attachments(self) -> Iterator[Attachment]:
        """See `BagFile`."""
        for offset in self._attachments:
            found = self._record_at(offset, mcap.records.Attachment)
            if found is not None:
                yield Attachment(
                    found.name, found.media_type, found.create_time, found.log_time, found.data
                )

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """See `BagFile`."""
        for offset in self._metadata:
            found = self._record_at(offset, Metadata)
            if found is not None:
                yield MetadataRecord(found.name, found.metadata)

    def close(self) -> None:
        """See `BagFile`."""
        self._file.close()

    def _topic(self, number: int) -> BagTopic:
        channel = self._channels[number]
        schema = self._schemas.get(channel.schema_id)
        name = schema.name if schema else "(unknown)"
        encoding = channel.message_encoding
        qos = qos_of(channel.metadata.get(QOS, ""))
        return BagTopic(
            channel.topic,
            # Other encodings are of another middleware, or of no robot.
            name if encoding == "cdr" else f"{name} ({encoding})",
            schema.data.decode("utf-8", "replace") if schema and encoding == "cdr" else "",
            type_hash=channel.metadata.get(TYPE_HASH, ""),
            offered_qos=qos,
            message_count=self._counts.get(number, 0),
            message_encoding=encoding,
            schema=RecordedSchema(schema.name, schema.encoding, schema.data) if schema else None,
            # The qualities of service only if they could not be read.
            metadata=tuple(
                (key, value) for key, value in channel.metadata.items() if key != QOS or not qos
            ),
        )

    def _read_index(self) -> bool:
        """Read the summary at the end of the file; False if there is none, or no chunk in it."""
        self._file.seek(0)
        try:
            summary = SeekingReader(self._file, record_size_limit=self._size).get_summary()
        except (*BROKEN, OSError):
            return False
        if summary is None or not summary.channels:
            return False
        is_empty = summary.statistics is not None and not summary.statistics.message_count
        if not summary.chunk_indexes and not is_empty:
            return False
        self._schemas, self._channels = dict(summary.schemas), dict(summary.channels)
        # Each once, however often it is named.
        pieces = {index.chunk_start_offset: _piece_of(index) for index in summary.chunk_indexes}
        self._pieces = list(pieces.values())
        self._attachments = sorted({index.offset for index in summary.attachment_indexes})
        self._metadata = sorted({index.offset for index in summary.metadata_indexes})
        if summary.statistics is not None:
            self._counts = dict(summary.statistics.channel_message_counts)
            in_chunks = any(index.message_index_offsets for index in summary.chunk_indexes)
            return in_chunks or not is_empty or not summary.chunk_indexes
        return True

    def _read_through(self) -> None:
        """Find everything that can be read, from the beginning to the end or the first break."""
        self._schemas, self._channels, self._counts, self._pieces = {}, {}, {}, []
        broken: str | None = None
        offset = len(MCAP_MAGIC)
        while offset < self._size:
            self._file.seek(offset)
            try:
                opcode, size = _RECORD.unpack(self._file.read(_RECORD.size))
                # A file that was not written to its end may end in zeros.
                if not opcode or offset + _RECORD.size + size > self._size:
                    raise ValueError(f"record {opcode} of {size} bytes")
                if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                    return
                broken = self._take(opcode, offset, size, broken)
            except BROKEN:
                self.damage.messages[f"{self._path.name} is broken off at byte {offset}"] = None
                return
            offset += _RECORD.size + size

    def _take(self, opcode: int, offset: int, size: int, broken: str | None) -> str | None:
        """Record the position of a record, whose content is next in the file.

        Args:
            opcode, offset, size: of the record.
            broken: name of the broken chunk before it; None: it is not broken.

        Returns:
            The name of the broken chunk before the next record.
        """
        if opcode == Opcode.CHUNK:
            return self._take_chunk(Chunk.read(self._stream(size)), offset)
        if opcode == Opcode.MESSAGE:
            content = self._file.read(_MESSAGE.size)
            channel, _, log_time, _ = _MESSAGE.unpack(content)
            self._take_message(channel, log_time, offset, _RECORD.size + size)
        elif opcode == Opcode.MESSAGE_INDEX and broken is not None:
            lost = self.damage.messages[broken] or 0
            index = MessageIndex.read(self._stream(size))
            self.damage.messages[broken] = lost + len(index.records)
        elif opcode in _DECLARATIONS:
            self._declare(_DECLARATIONS[opcode].read(self._stream(size)))
        elif opcode == Opcode.ATTACHMENT:
            self._attachments.append(offset)
        elif opcode == Opcode.METADATA:
            self._metadata.append(offset)
        return broken

    def _declare(self, record: Schema | Channel) -> None:
        if isinstance(record, Schema):
            self._schemas[record.id] = record
        else:
            self._channels[record.id] = record

    def _take_chunk(self, chunk: Chunk, offset: int) -> str | None:
        """Record a chunk and its declarations; returns its name if it is broken."""
        piece = _Piece(chunk.message_start_time, offset, chunk.message_end_time, 0, ())
        try:
            for opcode, content in _records_in(_content_of(chunk, self._limit)):
                if opcode == Opcode.MESSAGE:
                    channel, *_ = _MESSAGE.unpack_from(content)
                    self._counts[channel] = self._counts.get(channel, 0) + 1
                elif opcode in _DECLARATIONS:
                    stream = ReadDataStream(io.BytesIO(content))
                    self._declare(_DECLARATIONS[opcode].read(stream))
        except BROKEN as error:
            name = self._name_of(piece, error)
            self.damage.messages[name] = None
            return name
        self._pieces.append(piece)
        return None

    def _take_message(self, channel: int, log_time: int, offset: int, size: int) -> None:
        self._counts[channel] = self._counts.get(channel, 0) + 1
        last = self._pieces[-1] if self._pieces else None
        if last and last.size and last.offset + last.size == offset and last.size < PIECE_SIZE:
            self._pieces[-1] = last._replace(
                start_time=min(last.start_time, log_time),
                end_time=max(last.end_time, log_time),
                size=last.size + size,
            )
        else:
            self._pieces.append(_Piece(log_time, offset, log_time, size, ()))

    def _records_of(self, piece: _Piece, wanted: dict[int, BagTopic]) -> Iterable[BagRecord]:
        """Return the messages in a piece; none if it is broken."""
        try:
            records = [
                BagRecord(
                    wanted[channel],
                    log_time,
                    min(publish_time, LAST_TIME),
                    sequence,
                    content[_MESSAGE.size :],
                )
                for opcode, content in _records_in(self._read(piece))
                if opcode == Opcode.MESSAGE
                for channel, sequence, log_time, publish_time in [_MESSAGE.unpack_from(content)]
                if channel in wanted
            ]
        except BROKEN as error:
            self.damage.messages[self._name_of(piece, error)] = self._count_in(piece)
            return ()
        if piece.end_time <= LAST_TIME:
            return records
        usable = [record for record in records if record.log_time <= LAST_TIME]
        self.damage.messages[
            f"{self._path.name} has log times after 2262 at byte {piece.offset}"
        ] = len(records) - len(usable)
        return usable

    def _read(self, piece: _Piece) -> bytes:
        self._seek(piece.offset)
        if piece.size:
            return self._file.read(piece.size)
        opcode, size = _RECORD.unpack(self._file.read(_RECORD.size))
        if opcode != Opcode.CHUNK:
            raise ValueError(f"record {opcode} where a chunk should be")
        if size > self._size:
            raise ValueError(f"a chunk of {size} bytes in a file of {self._size}")
        return _content_of(Chunk.read(self._stream(size)), self._limit)

    def _seek(self, offset: int) -> None:
        """Go to a place in the file, which another part of it names."""
        if offset > self._size:
            raise ValueError(f"byte {offset} of a file of {self._size}")
        self._file.seek(offset)

    def _stream(self, size: int) -> ReadDataStream:
        """Return a reader limited to the next record, whatever lengths the record declares."""
        return ReadDataStream(io.BytesIO(self._file.read(size)))

    def _record_at(self, offset: int, kind: Any) -> Any:
        """Return a record; None, and a note of it, if it is broken."""
        try:
            self._seek(offset)
            _, size = _RECORD.unpack(self._file.read(_RECORD.size))
            if size > self._size:
                raise ValueError(f"a record of {size} bytes in a file of {self._size}")
            return kind.read(self._stream(size))
        except BROKEN:
            what = f"{self._path.name} has a broken {kind.__name__.lower()} at byte {offset}"
            self.damage.messages[what] = 0
            return None

    def _count_in(self, piece: _Piece) -> int | None:
        """Return the number of messages in a broken chunk according to the index."""
        try:
            count = 0
            for offset in piece.indices:
                count += len(self._index_at(offset).records)
            return count or None
        except BROKEN:
            return None

    def _index_at(self, offset: int) -> MessageIndex:
        self._seek(offset)
        opcode, size = _RECORD.unpack(self._file.read(_RECORD.size))
        if opcode != Opcode.MESSAGE_INDEX or size > self._size:
            raise ValueError(f"record {opcode} of {size} bytes where an index should be")
        index: MessageIndex = MessageIndex.read(self._stream(size))
        return index

    def _indexed_times(self, piece: _Piece, wanted: Collection[int]) -> list[int] | None:
        """Return the log times of a piece by its indices; None where it has none."""
        if not piece.indices or piece.end_time > LAST_TIME:
            return None
        try:
            times: list[int] = []
            for offset in piece.indices:
                index = self._index_at(offset)
                if index.channel_id in wanted:
                    times += [log_time for log_time, _ in index.records]
        except BROKEN:
            return None
        return None if times and max(times) > LAST_TIME else times

    def _name_of(self, piece: _Piece, error: BaseException) -> str:
        name = f"{self._path.name} has a broken chunk at byte {piece.offset}"
        return f"{name} ({error})" if isinstance(error, TooLargeError) else name


def _piece_of(index: ChunkIndex) -> _Piece:
    return _Piece(
        index.message_start_time,
        index.chunk_start_offset,
        index.message_end_time,
        0,
        tuple(index.message_index_offsets.values()),
    )


def _content_of(chunk: Chunk, limit: int) -> bytes:
    """Return the records in a chunk.

    Raises:
        TooLargeError: they are larger than the limit.
        ValueError: or others of `BROKEN`: the chunk is damaged.
    """
    unpack = _UNPACK.get(chunk.compression)
    if unpack is None:
        raise ValueError(f"a chunk is compressed by {chunk.compression[:20]!r}")
    if chunk.compression and chunk.uncompressed_size > limit:
        raise TooLargeError(chunk.uncompressed_size, limit)
    content = unpack(chunk.data, limit)
    if len(content) != chunk.uncompressed_size:
        raise ValueError(f"a chunk of {len(content)} bytes says {chunk.uncompressed_size}")
    if chunk.uncompressed_crc and zlib.crc32(content) != chunk.uncompressed_crc:
        raise ValueError("a chunk has another checksum than it says")
    return content


def _records_in(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and content of each record."""
    at, end = 0, len(content)
    while at < end:
        opcode, size = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        if not opcode or at + size > end:
            raise ValueError(f"a record of {size} bytes where {end - at} are left")
        yield opcode, content[at : at + size]
        at += size


#: Records that describe messages.
_DECLARATIONS: dict[int, type[Schema | Channel]] = {
    Opcode.SCHEMA: Schema,
    Opcode.CHANNEL: Channel,
}

#: By the chunk's name of its compression.
_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "": lambda data, _limit: data,
    "lz4": unpack_lz4,
    "zstd": unpack_zstd,
}
