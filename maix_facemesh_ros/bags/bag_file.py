"""What the files of a bag have in common, whatever their storage."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Qos

#: Pieces of damage that are named; of more, only the number.
MOST_NAMED = 3


class BagError(RuntimeError):
    """A bag cannot be read or written; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """A topic of a bag."""

    name: str
    #: Such as `sensor_msgs/msg/Image`.
    type: str
    #: The message definition in the bag, with those that it needs; empty where the bag has none, as
    #: bags of Humble in SQLite.
    definition: str = ""
    #: REP-2011's hash of the type, `RIHS01_...`; empty where the bag has none.
    type_hash: str = ""
    #: Quality of service that the recorded publishers offered.
    offered_qos: tuple[Qos, ...] = field(default=(), compare=False)
    #: Messages, as far as the bag says so.
    message_count: int = field(default=0, compare=False)


class BagMessage(NamedTuple):
    """A recorded message."""

    topic: BagTopic
    #: When it was recorded: nanoseconds since 1970, or of simulated time.
    log_time: int
    #: CDR with its encapsulation header, as `rclpy.serialization` takes it.
    data: bytes


@dataclass(slots=True)
class Damage:
    """What of a bag cannot be read."""

    #: By what is broken, such as a chunk of a file: messages in it, as far as that is known.
    messages: dict[str, int | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages)

    def add(self, other: Damage) -> None:
        """Take over another one's; what both have counts once."""
        self.messages.update(other.messages)

    def __str__(self) -> str:
        """Say it in words, empty when all can be read."""
        if not self.messages:
            return ""
        known = sum(count or 0 for count in self.messages.values())
        unknown = None in self.messages.values()
        lost = (f"at least {known}" if known else "an unknown number of") if unknown else str(known)
        what = list(self.messages)
        more = f" and {len(what) - MOST_NAMED} more" if len(what) > MOST_NAMED else ""
        return f"{lost} messages cannot be read: {', '.join(what[:MOST_NAMED])}{more}"


class BagFile(Protocol):
    """One storage file."""

    topics: tuple[BagTopic, ...]
    #: First and last log time in nanoseconds; None without a message.
    times: tuple[int, int] | None
    #: Grows as damage is met.
    damage: Damage

    def messages(
        self, topics: Collection[str], start: int | None, stop: int | None
    ) -> Iterator[BagMessage]:
        """Give the messages on some topics in the order of their log times.

        Args:
            topics: names.
            start, stop: log times in nanoseconds from and before which; None: all.
        """
        ...

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """Return the log time of each message on a topic in nanoseconds, in any order."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
