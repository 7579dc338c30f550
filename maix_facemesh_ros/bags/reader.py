"""Opening bags, of Humble to Rolling: SQLite and MCAP, compressed or not, whole or damaged."""

from __future__ import annotations

import dataclasses
import heapq
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard
from rosbags.rosbag2.metadata import parse_qos

from maix_facemesh_ros.bags.files import (
    COMPRESSED_FILE,
    ZSTD_MAGIC,
    BagMetadata,
    Storage,
    kind_of,
    read_metadata,
    storage_by_name,
)
from maix_facemesh_ros.bags.mcap import McapFile
from maix_facemesh_ros.bags.qos import qos_of
from maix_facemesh_ros.bags.sqlite import SqliteFile, journals_of, merge_journals
from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagError,
    BagFile,
    BagMessage,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
    UnpackLimits,
)
from maix_facemesh_ros.bags.unpacking import CutShortError, TooLargeError, unpack_file, unpack_zstd
from maix_facemesh_ros.user_files import natural_order

#: A message that begins with this is compressed on its own; CDR begins with 0.
COMPRESSED_MESSAGE = ZSTD_MAGIC


class Bag:
    """A bag that is open for reading: a folder, or one file of a bag.

    ::

        with Bag(Path("kitchen")) as bag:
            for topic, log_time, data in bag.messages(["/camera/image_raw"]):
                ...
    """

    def __init__(
        self, path: Path, unpack_into: Path | None = None, limits: UnpackLimits | None = None
    ) -> None:
        """Open it; nothing in it is changed.

        Args:
            path: the bag's folder, with or without metadata.yaml, or one of its files.
            unpack_into: folder for the contents of compressed files; None: a temporary one.
            limits: maximum unpacked sizes.

        Raises:
            BagError: there is no bag, or nothing in it that can be read.
        """
        self.path = path
        #: Remarks on unusual but readable parts.
        self.notes: list[str] = []
        self._damage = Damage()
        #: Of damage that a file cannot count itself: messages lost by it.
        self._counted: dict[str, int] = {}
        self._temporary: TemporaryDirectory[str] | None = None
        self._unpack_into = unpack_into
        self._limits = limits or UnpackLimits()
        self._files: list[BagFile] = []
        if not path.exists():
            raise BagError(f"{path} does not exist")
        metadata = read_metadata(path) if path.is_dir() else BagMetadata()
        self.notes += [metadata.note] * bool(metadata.note)
        try:
            for file in self._file_paths(metadata):
                self._open_file(file)
            if not self._files:
                reasons = "; ".join(self._damage.messages)
                raise BagError(f"{path}: no file of the bag can be read: {reasons}")
        except BaseException:
            self.close()
            raise
        #: With the count of their messages, sorted by name.
        self.topics = _merged([topic for file in self._files for topic in file.topics], metadata)
        self._by_key = {_key(topic): topic for topic in self.topics}
        times = [time for file in self._files if file.times for time in file.times]
        #: First and last log time in nanoseconds; None where there is no message.
        self.times = (min(times), max(times)) if times else None
        self._count_what_is_missing(metadata)

    @property
    def damage(self) -> Damage:
        """Damage found so far."""
        found = Damage(dict(self._damage.messages))
        for file in self._files:
            found.add(file.damage)
        found.messages.update(self._counted)
        return found

    @property
    def message_count(self) -> int:
        """Readable messages according to the files' indices."""
        return sum(topic.message_count for topic in self.topics)

    def topic(self, name: str) -> BagTopic:
        """Return a topic; of several of one name, that with the most messages.

        Raises:
            BagError: the bag has none of this name.
        """
        found = [topic for topic in self.topics if topic.name == name]
        if not found:
            there = ", ".join(topic.name for topic in self.topics)
            raise BagError(f"{self.path} has no topic {name}: it has {there}")
        return max(found, key=lambda topic: topic.message_count)

    def messages(
        self,
        topics: Collection[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[BagMessage]:
        """Yield the messages in the order of their log times; damaged parts are skipped.

        Args:
            topics: names; None: all.
            start, stop: log times in nanoseconds from and before which; None: all.
        """
        for topic, log_time, _, _, data in self.records(topics, start, stop):
            yield BagMessage(topic, log_time, data)

    def records(
        self,
        topics: Collection[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[BagRecord]:
        """Yield the same as `messages`, with all metadata of each message."""
        names = {topic.name for topic in self.topics} if topics is None else set(topics)
        streams = [
            file.records(names, start, stop)
            for file in self._files
            if file.times
            and (start is None or file.times[1] >= start)
            and (stop is None or file.times[0] < stop)
        ]
        merged = heapq.merge(*streams, key=lambda record: record.log_time)
        for record in merged if len(streams) > 1 else (*streams, iter(()))[0]:
            data = record.data
            if data[:4] == COMPRESSED_MESSAGE:
                unpacked = self._unpack(record)
                if unpacked is None:
                    continue
                data = unpacked
            yield record._replace(topic=self._by_key[_key(record.topic)], data=data)

    def attachments(self) -> Iterator[Attachment]:
        """Yield its attachments."""
        for file in self._files:
            yield from file.attachments()

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """Yield its metadata records."""
        for file in self._files:
            yield from file.metadata_records()

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """Return the log time of each message on a topic in nanoseconds, in order."""
        parts = [file.log_times(topic) for file in self._files]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))

    def close(self) -> None:
        """Close its files."""
        for file in self._files:
            file.close()
            self._damage.add(file.damage)
        self._files = []
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _file_paths(self, metadata: BagMetadata) -> list[Path]:
        """Return the storage files in order, each once: compressed or not."""
        if not self.path.is_dir():
            return [self.path]
        # Bags from before Foxy name the folder too.
        listed = [self.path / Path(name).name for name in metadata.files if Path(name).name]
        paths = []
        for path in dict.fromkeys(listed):
            twin = _twin(path)
            if path.is_file() or not twin.is_file():
                paths.append(path)
            elif twin not in listed:
                paths.append(twin)
        for path in paths:
            if not path.is_file():
                self._damage.messages[f"{path.name} is missing"] = None
        paths = [path for path in paths if path.is_file()] or self._found()
        if not paths:
            raise BagError(
                f"{self.path} is not a bag: no file in it is a recording in MCAP or SQLite"
            )
        return paths

    def _found(self) -> list[Path]:
        """Return the storage files in the folder, by their names, or else by their contents."""
        files = sorted((path for path in self.path.iterdir() if path.is_file()), key=natural_order)
        named = [path for path in files if storage_by_name(path)]
        if not named:
            return [path for path in files if isinstance(kind_of(path), Storage)]
        return [
            path for path in named if path.suffix != COMPRESSED_FILE or _twin(path) not in named
        ]

    def _open_file(self, path: Path) -> None:
        """Open a file or, if it is damaged, its compressed or unpacked twin."""
        try:
            file: BagFile | None = self._opened(path)
        except BagError as error:
            if not self.path.is_dir():
                raise
            reason, file = str(error), None
        if self.path.is_dir() and (file is None or file.damage):
            other = self._opened_twin(path)
            if other is not None and (file is None or not other.damage):
                if file is not None:
                    file.close()
                file = other
            elif other is not None:
                other.close()
        if file is None:
            self._damage.messages[reason] = None
        else:
            self._files.append(file)

    def _opened_twin(self, path: Path) -> BagFile | None:
        twin = _twin(path)
        try:
            return self._opened(twin) if twin.is_file() else None
        except BagError:
            return None

    def _opened(self, path: Path) -> BagFile:
        try:
            kind = kind_of(path)
            readable = path
            if kind is Storage.ZSTD:
                readable = self._decompressed(path)
                kind = kind_of(readable)
            if kind is Storage.SQLITE or (kind is None and storage_by_name(path) is Storage.SQLITE):
                return self._sqlite(readable)
            if kind is Storage.MCAP or (kind is None and storage_by_name(path) is Storage.MCAP):
                return McapFile(readable, self._limits)
        except TooLargeError as error:
            raise BagError(f"{path}: {error}; --max-unpacked-file allows more") from error
        except OSError as error:
            raise BagError(f"{error.filename or path} cannot be read: {error.strerror}") from error
        raise BagError(f"{path} is {kind or 'not a file of a bag: its content is unknown'}")

    def _sqlite(self, path: Path) -> BagFile:
        """Open an SQLite file, with the journal that a crashed recorder has left next to it."""
        journals = ", ".join(journal.name for journal in journals_of(path))
        if not journals:
            return SqliteFile(path)
        merged = self._folder() / path.name
        try:
            if not merged.exists():
                with TemporaryDirectory(dir=merged.parent) as folder:
                    merge_journals(path, Path(folder) / path.name)
                    (Path(folder) / path.name).replace(merged)
            file = SqliteFile(merged)
        except (sqlite3.Error, BagError):
            self._damage.messages[f"{journals} cannot be used"] = None
            return SqliteFile(path)
        self.notes.append(f"{path.name} was not closed by its recorder: {journals} is read too")
        return file

    def _folder(self) -> Path:
        """Return the folder for unpacked files."""
        if self._unpack_into is not None:
            return self._unpack_into
        self._temporary = self._temporary or TemporaryDirectory(prefix="bag-")
        return Path(self._temporary.name)

    def _decompressed(self, path: Path) -> Path:
        unpacked = self._folder() / f"{path.name.removesuffix(COMPRESSED_FILE)}.unpacked"
        if not unpacked.exists():
            partial = unpacked.with_suffix(".partial")
            try:
                unpack_file(path, partial, self._limits.of_file(path.stat().st_size))
            except (zstandard.ZstdError, CutShortError):
                self._damage.messages[f"{path.name} is damaged or cut short"] = None
                partial.touch()
            except OSError as error:
                if error.filename is not None:  # it is that file which cannot be opened
                    raise
                raise BagError(
                    f"{path} cannot be unpacked into {partial.parent}: {error.strerror}"
                ) from error
            partial.replace(unpacked)
        return unpacked

    def _unpack(self, record: BagRecord) -> bytes | None:
        what = f"the message on {record.topic.name} of {record.log_time}"
        try:
            return unpack_zstd(record.data, self._limits.chunk)
        except TooLargeError as error:
            self._damage.messages[f"{what} ({error})"] = 1
        except zstandard.ZstdError:
            self._damage.messages[what] = 1
        return None

    def _count_what_is_missing(self, metadata: BagMetadata) -> None:
        """Where damage has cost an unknown number of messages, metadata.yaml knows the sum."""
        expected = metadata.message_count
        unknown = [what for what, count in self.damage.messages.items() if count is None]
        if expected is not None and unknown:
            known = sum(count or 0 for count in self.damage.messages.values())
            self._counted = dict.fromkeys(unknown, 0)
            self._counted[unknown[0]] = max(0, expected - self.message_count - known)


def _key(topic: BagTopic) -> tuple[str, str]:
    """Return a key of a topic: an MCAP file may have two types on one topic."""
    return topic.name, topic.type


def _twin(path: Path) -> Path:
    """Return the name of a compressed file's content, or of a file that has it compressed."""
    if path.suffix == COMPRESSED_FILE:
        return path.with_suffix("")
    return path.with_name(path.name + COMPRESSED_FILE)


def _merged(topics: list[BagTopic], metadata: BagMetadata) -> tuple[BagTopic, ...]:
    """Return each topic once, merged from its files and metadata.yaml."""
    merged: dict[tuple[str, str], BagTopic] = {}
    for topic in topics:
        known = merged.get(_key(topic), topic.with_count(0))
        told: dict[str, Any] = metadata.topics.get(topic.name, {})
        merged[_key(topic)] = dataclasses.replace(
            known,
            definition=known.definition or topic.definition,
            schema=known.schema or topic.schema,
            metadata=known.metadata or topic.metadata,
            type_hash=known.type_hash
            or topic.type_hash
            or str(told.get("type_description_hash") or ""),
            offered_qos=known.offered_qos or topic.offered_qos or _qos(told),
            message_count=known.message_count + topic.message_count,
        )
    return tuple(merged[key] for key in sorted(merged))


def _qos(told: dict[str, Any]) -> tuple[Any, ...]:
    """Return the qualities of service in metadata.yaml: a text, or since Jazzy a list."""
    profiles = told.get("offered_qos_profiles") or ""
    if isinstance(profiles, str):
        return qos_of(profiles)
    try:
        return tuple(parse_qos(profiles))
    except Exception:  # made by hand, perhaps; nothing depends on it
        return ()
