"""Opening bags, of Humble to Rolling: SQLite and MCAP, compressed or not, whole or damaged."""

from __future__ import annotations

import dataclasses
import heapq
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
import zstandard
from rosbags.rosbag2.metadata import parse_qos

from maix_facemesh_ros.bags.bag_file import BagError, BagFile, BagMessage, BagTopic, Damage
from maix_facemesh_ros.bags.mcap_file import McapFile
from maix_facemesh_ros.bags.sqlite_file import SqliteFile

METADATA = "metadata.yaml"

#: By the end of a file's name.
STORAGES: dict[str, Callable[[Path], BagFile]] = {".mcap": McapFile, ".db3": SqliteFile}

#: Ends the name of a file that is compressed as a whole.
COMPRESSED_FILE = ".zstd"

#: A message that begins with this is compressed on its own (RFC 8878, 3.1.1); CDR begins with 0.
COMPRESSED_MESSAGE = b"\x28\xb5\x2f\xfd"


class Bag:
    """A bag that is open for reading: a folder, or one file of a bag.

    ::

        with Bag(Path("kitchen")) as bag:
            for topic, log_time, data in bag.messages(["/camera/image_raw"]):
                ...
    """

    def __init__(self, path: Path, unpack_into: Path | None = None) -> None:
        """Open it; nothing in it is changed.

        Args:
            path: the bag's folder, with or without metadata.yaml, or one of its files.
            unpack_into: folder for the contents of compressed files; None: a temporary one.

        Raises:
            BagError: there is no bag, or nothing in it that can be read.
        """
        self.path = path
        #: What is unusual but not lost, in words.
        self.notes: list[str] = []
        self._damage = Damage()
        #: Of damage that a file cannot count itself: messages lost by it.
        self._counted: dict[str, int] = {}
        self._temporary: TemporaryDirectory[str] | None = None
        self._unpack_into = unpack_into
        self._files: list[BagFile] = []
        metadata = self._metadata()
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
        self._by_name = {topic.name: topic for topic in self.topics}
        times = [time for file in self._files if file.times for time in file.times]
        #: First and last log time in nanoseconds; None where there is no message.
        self.times = (min(times), max(times)) if times else None
        self._count_what_is_missing(metadata)

    @property
    def damage(self) -> Damage:
        """What has been found so far that cannot be read."""
        found = Damage(dict(self._damage.messages))
        for file in self._files:
            found.add(file.damage)
        found.messages.update(self._counted)
        return found

    @property
    def message_count(self) -> int:
        """Messages that can be read, as far as the files' indices say so."""
        return sum(topic.message_count for topic in self.topics)

    def topic(self, name: str) -> BagTopic:
        """Return a topic.

        Raises:
            BagError: the bag has none of this name.
        """
        if name not in self._by_name:
            raise BagError(f"{self.path} has no topic {name}: it has {', '.join(self._by_name)}")
        return self._by_name[name]

    def messages(
        self,
        topics: Collection[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[BagMessage]:
        """Give the messages in the order of their log times; what is damaged is left out.

        Args:
            topics: names; None: all.
            start, stop: log times in nanoseconds from and before which; None: all.
        """
        names = set(self._by_name if topics is None else topics)
        streams = [
            file.messages(names, start, stop)
            for file in self._files
            if file.times
            and (start is None or file.times[1] >= start)
            and (stop is None or file.times[0] < stop)
        ]
        merged = heapq.merge(*streams, key=lambda message: message.log_time)
        for topic, log_time, data in merged if len(streams) > 1 else (*streams, iter(()))[0]:
            if data[:4] == COMPRESSED_MESSAGE:
                unpacked = self._unpack(topic, log_time, data)
                if unpacked is None:
                    continue
                data = unpacked
            yield BagMessage(self._by_name[topic.name], log_time, data)

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

    def _metadata(self) -> dict[str, Any]:
        """Return what metadata.yaml says; empty where it says nothing that can be used."""
        if not self.path.exists():
            raise BagError(f"{self.path} does not exist")
        if not self.path.is_dir():
            return {}
        path = self.path / METADATA
        try:
            content = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            information = content["rosbag2_bagfile_information"]
            if not isinstance(information, dict):
                raise TypeError("no table")
            return information
        except FileNotFoundError:
            self.notes.append(f"{METADATA} is missing: the files are read without it")
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
            self.notes.append(
                f"{METADATA} cannot be used ({type(error).__name__}): the files are read without it"
            )
        return {}

    def _file_paths(self, metadata: dict[str, Any]) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found = sorted((path for path in self.path.iterdir() if storage_of(path)), key=_natural)
        listed = [
            # Bags of before Foxy name the folder too.
            self.path / Path(str(name)).name
            for name in metadata.get("relative_file_paths") or ()
        ]
        for path in listed:
            if not path.exists():
                self._damage.messages[f"{path.name} is missing"] = None
        paths = [path for path in listed if path.exists()] or found
        if not paths:
            raise BagError(
                f"{self.path} is no bag: there is no file in it that ends in "
                f"{', '.join(STORAGES)} or one of these and {COMPRESSED_FILE}"
            )
        return paths

    def _open_file(self, path: Path) -> None:
        storage = storage_of(path)
        if storage is None:
            raise BagError(f"{path} is no file of a bag: these end in {', '.join(STORAGES)}")
        try:
            if path.suffix == COMPRESSED_FILE:
                path = self._decompressed(path)
            file = storage(path)
        except OSError as error:
            raise BagError(f"{path} cannot be read: {error.strerror}") from error
        except BagError as error:
            if not self.path.is_dir():
                raise
            self._damage.messages[str(error)] = None
            return
        self._files.append(file)

    def _decompressed(self, path: Path) -> Path:
        folder = self._unpack_into
        if folder is None:
            self._temporary = self._temporary or TemporaryDirectory(prefix="bag-")
            folder = Path(self._temporary.name)
        unpacked = folder / path.stem
        if not unpacked.exists():
            partial = unpacked.with_suffix(".partial")
            with path.open("rb") as source, partial.open("wb") as target:
                try:
                    zstandard.ZstdDecompressor().copy_stream(source, target)
                except zstandard.ZstdError:
                    self._damage.messages[f"{path.name} is damaged or cut short"] = None
            partial.replace(unpacked)
        return unpacked

    def _unpack(self, topic: BagTopic, log_time: int, data: bytes) -> bytes | None:
        try:
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError:
            self._damage.messages[f"the message on {topic.name} of {log_time}"] = 1
            return None

    def _count_what_is_missing(self, metadata: dict[str, Any]) -> None:
        """Where damage has cost an unknown number of messages, metadata.yaml knows the sum."""
        expected = metadata.get("message_count")
        unknown = [what for what, count in self.damage.messages.items() if count is None]
        if isinstance(expected, int) and unknown:
            known = sum(count or 0 for count in self.damage.messages.values())
            self._counted = dict.fromkeys(unknown, 0)
            self._counted[unknown[0]] = max(0, expected - self.message_count - known)


def storage_of(path: Path) -> Callable[[Path], BagFile] | None:
    """Return what opens a file by its name; None where it is no file of a bag."""
    name = path.name.removesuffix(COMPRESSED_FILE)
    return STORAGES.get(Path(name).suffix)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what sorts bag_2.mcap before bag_10.mcap."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.name)
    return [(int(number or -1), text) for number, text in parts]


def _merged(topics: list[BagTopic], metadata: dict[str, Any]) -> tuple[BagTopic, ...]:
    """Return each topic once, with what its files and metadata.yaml know of it together."""
    described = {}
    for entry in metadata.get("topics_with_message_count") or ():
        try:
            described[entry["topic_metadata"]["name"]] = entry["topic_metadata"]
        except (KeyError, TypeError):
            continue
    merged: dict[str, BagTopic] = {}
    for topic in topics:
        known = merged.get(topic.name, BagTopic(topic.name, topic.type))
        told = described.get(topic.name, {})
        merged[topic.name] = dataclasses.replace(
            known,
            definition=known.definition or topic.definition,
            type_hash=known.type_hash
            or topic.type_hash
            or str(told.get("type_description_hash") or ""),
            offered_qos=known.offered_qos or topic.offered_qos or _qos(told),
            message_count=known.message_count + topic.message_count,
        )
    return tuple(merged[name] for name in sorted(merged))


def _qos(told: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return tuple(parse_qos(told.get("offered_qos_profiles") or ""))
    except Exception:  # made by hand, perhaps; nothing depends on it
        return ()
