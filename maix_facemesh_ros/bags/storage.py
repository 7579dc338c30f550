"""Common interface of a bag's files, for every storage.

This module needs no library: a program imports it before it knows whether its input is a bag.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from maix_facemesh_ros.errors import FaceMeshError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rosbags.interfaces import Qos

#: Pieces of damage that are named; of more, only the number.
MOST_NAMED = 3

#: Maximum number of messages per topic and file, whose times are in memory: four days at 30 Hz.
MOST_MESSAGES = 10_000_000

MIB = 2**20

#: rosbag2's names of the storages that can be written.
STORAGES = ("mcap", "sqlite3")


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """Maximum unpacked sizes in bytes: a few compressed bytes can unpack to any size.

    Larger ones are refused before memory or disk is allocated.
    """

    #: A compressed chunk or message: a 4K image in RGB has 25 MB. A job holds up to eight of them.
    chunk: int = 32 * MIB
    #: A file that is compressed as a whole; 0: 256 MiB, or 100 times its size if that is more.
    file: int = 0

    def of_file(self, size: int) -> int:
        """Return the limit for a file of a size in bytes."""
        return self.file or max(256 * MIB, 100 * size)


class BagError(FaceMeshError, RuntimeError):
    """A bag cannot be read or written; the message names the bag and a remedy."""


@dataclass(frozen=True, slots=True)
class RecordedSchema:
    """A description of messages as a bag has it."""

    name: str
    #: Such as `ros2msg`, `ros2idl`, `protobuf`, `jsonschema`.
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True)
class BagTopic:
    """A topic of a bag."""

    name: str
    #: Such as `sensor_msgs/msg/Image`; with the encoding in brackets where it is not CDR.
    type: str
    #: The message definition in the bag, with those that it needs; empty where the bag has none, as
    #: bags of Humble in SQLite.
    definition: str = ""
    #: REP-2011's hash of the type, `RIHS01_...`; empty where the bag has none.
    type_hash: str = ""
    #: Quality of service that the recorded publishers offered.
    offered_qos: tuple[Qos, ...] = field(default=(), compare=False)
    #: Number of messages according to the bag.
    message_count: int = field(default=0, compare=False)
    #: How messages are serialized.
    message_encoding: str = "cdr"
    #: As the bag has it; None where it has none.
    schema: RecordedSchema | None = field(default=None, compare=False)
    #: The channel's metadata in an MCAP file, without QoS.
    metadata: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def with_count(self, count: int) -> BagTopic:
        """Return the same topic with another number of messages."""
        return dataclasses.replace(self, message_count=count)


class BagRecord(NamedTuple):
    """A recorded message with all its metadata."""

    topic: BagTopic
    #: When it was recorded: nanoseconds since 1970, or of simulated time.
    log_time: int
    #: Publish time, in nanoseconds; the log time if it is unknown.
    publish_time: int
    #: Number that its publisher has given it; 0 where the bag has none.
    sequence: int
    data: bytes


class Attachment(NamedTuple):
    """A file in an MCAP file."""

    name: str
    media_type: str
    #: Nanoseconds.
    create_time: int
    log_time: int
    data: bytes


class MetadataRecord(NamedTuple):
    """Named texts in an MCAP file."""

    name: str
    texts: dict[str, str]


class BagMessage(NamedTuple):
    """A recorded message."""

    topic: BagTopic
    #: When it was recorded: nanoseconds since 1970, or of simulated time.
    log_time: int
    #: CDR with its encapsulation header, as in `rclpy.serialization`.
    data: bytes


@dataclass(slots=True)
class Damage:
    """Damage of a bag: messages that cannot be read."""

    #: By the name of a broken part, such as a chunk: its number of messages, if known.
    messages: dict[str, int | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def add(self, other: Damage) -> None:
        """Add another file's damage; common parts count once."""
        self.messages.update(other.messages)

    def __str__(self) -> str:
        """Return a text; empty if there is no damage."""
        if not self.messages:
            return ""
        known = sum(count or 0 for count in self.messages.values())
        unknown = None in self.messages.values()
        lost = (f"at least {known}" if known else "an unknown number of") if unknown else str(known)
        what = list(self.messages)
        more = f" and {len(what) - MOST_NAMED} more" if len(what) > MOST_NAMED else ""
        noun = "message" if lost == "1" else "messages"
        return f"{lost} {noun} cannot be read: {', '.join(what[:MOST_NAMED])}{more}"


class BagFile(Protocol):
    """One storage file."""

    topics: tuple[BagTopic, ...]
    #: First and last log time in nanoseconds; None without a message.
    times: tuple[int, int] | None
    #: Grows as damage is met.
    damage: Damage

    def records(
        self, topics: Collection[str], start: int | None, stop: int | None
    ) -> Iterator[BagRecord]:
        """Yield the messages on some topics in the order of their log times.

        Args:
            topics: names.
            start, stop: log times in nanoseconds from and before which; None: all.
        """
        ...

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """Return the log time of each message on a topic in nanoseconds, in any order."""
        ...

    def attachments(self) -> Iterator[Attachment]:
        """Yield its attachments."""
        ...

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """Yield its metadata records."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system (no space, no permission, ...) into one line.

    Args:
        path: is named where the error names no file.

    Raises:
        BagError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise BagError(f"{error.filename or path}: {reason}") from error


def check_message_count(path: Path, topic: str, count: int) -> None:
    """Refuse a topic with too many messages for memory.

    Raises:
        BagError: there are more than `MOST_MESSAGES`.
    """
    if count > MOST_MESSAGES:
        raise BagError(
            f"{path} has more than {MOST_MESSAGES} messages on {topic}: split it, with "
            "`ros2 bag convert` and max_bagfile_duration"
        )
