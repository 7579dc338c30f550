"""MCAP files, chunk by chunk, so that a broken one costs no other (https://mcap.dev/spec).

rosbags' reader gives up a file that is cut short, as one is after a crash, and the rest of one with
a broken chunk. The records and their compression are those of the package `mcap`.
"""

from __future__ import annotations

import heapq
import io
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, ChunkIndex, Message, MessageIndex, Schema
from mcap.stream_reader import CRCValidationError, StreamReader, get_chunk_data_stream
from rosbags.rosbag2.metadata import parse_qos
from zstandard import ZstdError

from maix_facemesh_ros.bags.bag_file import BagError, BagMessage, BagTopic, Damage

MAGIC = b"\x89MCAP0\r\n"

#: What reading a damaged record raises.
BROKEN = (
    *(McapError, CRCValidationError, ZstdError, struct.error),
    *(EOFError, ValueError, KeyError, IndexError, OverflowError, MemoryError),
    RuntimeError,  # of lz4
)

#: Messages outside of chunks are taken together in pieces of about so many bytes.
PIECE_SIZE = 2**20

_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")


class _Piece(NamedTuple):
    """A part of the file that is read at once: a chunk, or messages that lie in none."""

    start_time: int
    offset: int
    end_time: int
    #: Bytes of messages that lie in no chunk; 0 for a chunk.
    size: int
    #: Where the indices of its messages are, by channel; for the count of what is lost.
    indices: tuple[int, ...]


class McapFile:
    """A file of an MCAP bag."""

    def __init__(self, path: Path) -> None:
        """Open it and read its index; without one, read all of it.

        Raises:
            BagError: it is no MCAP file, or has nothing that can be read.
        """
        self._path = path
        self.damage = Damage()
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: dict[int, int] = {}
        self._pieces: list[_Piece] = []
        self._file: BinaryIO = path.open("rb")
        try:
            if self._file.read(len(MAGIC)) != MAGIC:
                raise BagError(f"{path} is no MCAP file: it does not begin as one")
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
        ends = [piece.end_time for piece in self._pieces]
        self.times = (min(starts), max(ends)) if self._pieces else None

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[BagMessage]:
        """See `BagFile`."""
        wanted = {number: topic for number, topic in self._topics.items() if topic.name in topics}
        #: Messages of chunks that overlap: log time, order of reading, channel, data.
        waiting: list[tuple[int, int, int, bytes]] = []
        number = 0
        for piece in self._pieces:
            if stop is not None and piece.start_time >= stop:
                break
            if start is not None and piece.end_time < start:
                continue
            while waiting and waiting[0][0] < piece.start_time:
                log_time, _, channel, data = heapq.heappop(waiting)
                yield BagMessage(wanted[channel], log_time, data)
            for channel, log_time, data in self._messages_of(piece, wanted):
                if (start is None or log_time >= start) and (stop is None or log_time < stop):
                    heapq.heappush(waiting, (log_time, number, channel, data))
                    number += 1
        while waiting:
            log_time, _, channel, data = heapq.heappop(waiting)
            yield BagMessage(wanted[channel], log_time, data)

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """See `BagFile`."""
        wanted = {number for number, each in self._topics.items() if each.name == topic}
        times: list[int] = []
        for piece in self._pieces:
            indexed = self._indexed_times(piece, wanted)
            if indexed is None:
                found = self._messages_of(piece, wanted)
                indexed = [log_time for _, log_time, _ in found]
            times += indexed
        return np.array(times, np.int64)

    def close(self) -> None:
        """See `BagFile`."""
        self._file.close()

    def _topic(self, number: int) -> BagTopic:
        channel = self._channels[number]
        schema = self._schemas.get(channel.schema_id)
        if channel.message_encoding != "cdr":
            # Of another middleware, or of no robot.
            return BagTopic(channel.topic, f"({channel.message_encoding})")
        return BagTopic(
            channel.topic,
            schema.name if schema else "(unknown)",
            schema.data.decode("utf-8", "replace") if schema else "",
            offered_qos=_qos_of(channel.metadata.get("offered_qos_profiles", "")),
            message_count=self._counts.get(number, 0),
        )

    def _read_index(self) -> bool:
        """Read the summary at the end of the file; False if there is none, or no chunk in it."""
        try:
            summary = SeekingReader(self._file).get_summary()
        except (*BROKEN, OSError):
            return False
        if summary is None or not summary.chunk_indexes or not summary.channels:
            return False
        self._schemas, self._channels = dict(summary.schemas), dict(summary.channels)
        self._pieces = [_piece_of(index) for index in summary.chunk_indexes]
        if summary.statistics is not None:
            self._counts = dict(summary.statistics.channel_message_counts)
            in_chunks = any(index.message_index_offsets for index in summary.chunk_indexes)
            return in_chunks or summary.statistics.message_count > 0
        return True

    def _read_through(self) -> None:
        """Find everything that can be read, from the beginning to the end or the first break."""
        self._schemas, self._channels, self._counts, self._pieces = {}, {}, {}, []
        self._file.seek(0)
        records = StreamReader(self._file, emit_chunks=True).records
        broken: str | None = None
        while True:
            offset = self._file.tell() if self._file.tell() else len(MAGIC)
            try:
                record = next(records)
            except StopIteration:
                return
            except BROKEN:
                self.damage.messages[f"{self._path.name} is broken off at byte {offset}"] = None
                return
            if isinstance(record, MessageIndex) and broken is not None:
                lost = self.damage.messages[broken] or 0
                self.damage.messages[broken] = lost + len(record.records)
            elif isinstance(record, Chunk):
                broken = self._take_chunk(record, offset)
            elif isinstance(record, Message):
                self._take_message(record, offset, self._file.tell() - offset)
            elif isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel):
                self._channels[record.id] = record

    def _take_chunk(self, chunk: Chunk, offset: int) -> str | None:
        """Note a chunk and what is declared in it; returns its name if it is broken."""
        piece = _Piece(chunk.message_start_time, offset, chunk.message_end_time, 0, ())
        try:
            for opcode, content in _records_in(_content_of(chunk)):
                if opcode == Opcode.MESSAGE:
                    channel, *_ = _MESSAGE.unpack_from(content)
                    self._counts[channel] = self._counts.get(channel, 0) + 1
                elif opcode == Opcode.SCHEMA:
                    schema = Schema.read(ReadDataStream(io.BytesIO(content)))
                    self._schemas[schema.id] = schema
                elif opcode == Opcode.CHANNEL:
                    declared = Channel.read(ReadDataStream(io.BytesIO(content)))
                    self._channels[declared.id] = declared
        except BROKEN:
            name = self._name_of(piece)
            self.damage.messages[name] = None
            return name
        self._pieces.append(piece)
        return None

    def _take_message(self, message: Message, offset: int, size: int) -> None:
        number = message.channel_id
        self._counts[number] = self._counts.get(number, 0) + 1
        last = self._pieces[-1] if self._pieces else None
        if last and last.size and last.offset + last.size == offset and last.size < PIECE_SIZE:
            self._pieces[-1] = last._replace(
                start_time=min(last.start_time, message.log_time),
                end_time=max(last.end_time, message.log_time),
                size=last.size + size,
            )
        else:
            self._pieces.append(_Piece(message.log_time, offset, message.log_time, size, ()))

    def _messages_of(
        self, piece: _Piece, wanted: Collection[int]
    ) -> Iterable[tuple[int, int, bytes]]:
        """Return channel, log time and data of the messages in a piece; none if it is broken."""
        try:
            return [
                (channel, log_time, content[_MESSAGE.size :])
                for opcode, content in _records_in(self._read(piece))
                if opcode == Opcode.MESSAGE
                for channel, _, log_time, _ in [_MESSAGE.unpack_from(content)]
                if channel in wanted
            ]
        except BROKEN:
            self.damage.messages[self._name_of(piece)] = self._count_in(piece)
            return ()

    def _read(self, piece: _Piece) -> bytes:
        self._file.seek(piece.offset)
        if piece.size:
            return self._file.read(piece.size)
        opcode, _ = _RECORD.unpack(self._file.read(_RECORD.size))
        if opcode != Opcode.CHUNK:
            raise ValueError(f"record {opcode} where a chunk should be")
        return _content_of(Chunk.read(ReadDataStream(self._file)))

    def _count_in(self, piece: _Piece) -> int | None:
        """Return how many messages the index says are in a broken chunk."""
        try:
            count = 0
            for offset in piece.indices:
                self._file.seek(offset + _RECORD.size)
                count += len(MessageIndex.read(ReadDataStream(self._file)).records)
            return count or None
        except BROKEN:
            return None

    def _indexed_times(self, piece: _Piece, wanted: Collection[int]) -> list[int] | None:
        """Return the log times of a piece by its indices; None where it has none."""
        if not piece.indices:
            return None
        try:
            times: list[int] = []
            for offset in piece.indices:
                self._file.seek(offset + _RECORD.size)
                index = MessageIndex.read(ReadDataStream(self._file))
                if index.channel_id in wanted:
                    times += [log_time for log_time, _ in index.records]
        except BROKEN:
            return None
        return times

    def _name_of(self, piece: _Piece) -> str:
        return f"{self._path.name} has a broken chunk at byte {piece.offset}"


def _piece_of(index: ChunkIndex) -> _Piece:
    return _Piece(
        index.message_start_time,
        index.chunk_start_offset,
        index.message_end_time,
        0,
        tuple(index.message_index_offsets.values()),
    )


def _content_of(chunk: Chunk) -> bytes:
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    if size != chunk.uncompressed_size:
        raise ValueError(f"a chunk of {size} bytes says {chunk.uncompressed_size}")
    return stream.read(size)


def _records_in(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Give opcode and content of each record."""
    at, end = 0, len(content)
    while at < end:
        opcode, size = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        if at + size > end:
            raise ValueError(f"a record of {size} bytes where {end - at} are left")
        yield opcode, content[at : at + size]
        at += size


def _qos_of(text: str) -> tuple[Any, ...]:
    try:
        return tuple(parse_qos(text))
    except Exception:
        return ()
