"""SQLite files of bags: by rosbags while they are whole, and from both ends when they are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import apsw
import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import Reader, ReaderError

from maix_facemesh_ros.bags.bag_file import BagError, BagMessage, BagTopic, Damage

MAGIC = b"SQLite format 3\0"


class SqliteFile:
    """A file of an SQLite bag."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BagError: it is no bag in SQLite, or has nothing that can be read.
        """
        self._path = path
        self.damage = Damage()
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise BagError(f"{path} is no SQLite file: it does not begin as one")
        self.times: tuple[int, int] | None
        self.topics: tuple[BagTopic, ...]
        self._reader: Reader | None = Reader(path)
        try:
            self._reader.open()
        except (ReaderError, apsw.Error):
            self._reader = None
            self._note_damage()
            self._salvaged = _Salvaged(path)
            self.topics, self.times = self._salvaged.topics, self._salvaged.times
            return
        self._connections = {topic_of(each): each for each in self._reader.connections}
        self.topics = tuple(self._connections)
        self.times = (
            (self._reader.start_time, self._reader.end_time - 1)
            if self._reader.message_count
            else None
        )

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[BagMessage]:
        """See `BagFile`."""
        if self._reader is None:
            yield from self._salvaged.messages(topics, start, stop)
            return
        wanted = {
            connection.id: topic
            for topic, connection in self._connections.items()
            if topic.name in topics
        }
        connections = [each for each in self._reader.connections if each.id in wanted]
        if not connections:
            return
        last: int | None = None
        try:
            for connection, log_time, data in self._reader.messages(connections, start, stop):
                last = log_time
                yield BagMessage(wanted[connection.id], log_time, data)
        except (apsw.Error, ReaderError):
            self._note_damage()
            # The rest from the end backwards, as far as it goes.
            after = last if last is not None else (start if start is not None else -1)
            yield from (
                message
                for message in _Salvaged(self._path).messages(topics, start, stop)
                if last is None or message.log_time > after
            )

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """See `BagFile`."""
        if self._reader is None:
            return self._salvaged.log_times(topic)
        query = "SELECT timestamp FROM messages JOIN topics ON topics.id = topic_id WHERE name = ?"
        try:
            with closing(_open(self._path)) as database:
                return np.array(database.execute(query, (topic,)).fetchall(), np.int64).reshape(-1)
        except sqlite3.Error:
            self._note_damage()
            return _Salvaged(self._path).log_times(topic)

    def close(self) -> None:
        """See `BagFile`."""
        if self._reader is not None:
            self._reader.close()

    def _note_damage(self) -> None:
        self.damage.messages[f"{self._path.name} is damaged or cut short"] = None


class _Salvaged:
    """What can still be read of a damaged file: up to the damage from both ends.

    Only the places of the messages are kept, not the messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(_open(path)) as database:
                rows = database.execute("SELECT id, name, type FROM topics").fetchall()
                topics = {number: BagTopic(name, kind) for number, name, kind in rows}
                found = _readable(database, "ASC")
                found |= _readable(database, "DESC") - found
        except sqlite3.Error as error:
            raise BagError(f"{path} is damaged, and nothing of it can be read: {error}") from error
        #: Log time, row, topic.
        self._rows = sorted(
            (log_time, row, topics[number]) for log_time, row, number in found if number in topics
        )
        counts: dict[str, int] = {}
        for _, _, topic in self._rows:
            counts[topic.name] = counts.get(topic.name, 0) + 1
        if not counts:
            raise BagError(f"{path} is damaged, and no message in it can be read")
        self.topics = tuple(
            BagTopic(topic.name, topic.type, message_count=counts.get(topic.name, 0))
            for topic in topics.values()
        )
        self.times = (self._rows[0][0], self._rows[-1][0])

    def messages(
        self, topics: Collection[str], start: int | None, stop: int | None
    ) -> Iterator[BagMessage]:
        with closing(_open(self._path)) as database:
            for log_time, row, topic in self._rows:
                if (
                    topic.name in topics
                    and (start is None or log_time >= start)
                    and (stop is None or log_time < stop)
                ):
                    query = "SELECT data FROM messages WHERE id = ?"
                    (data,) = database.execute(query, (row,)).fetchone()
                    yield BagMessage(topic, log_time, data)

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        return np.array([time for time, _, each in self._rows if each.name == topic], np.int64)


def _open(path: Path) -> sqlite3.Connection:
    # immutable: nothing is written beside the bag, not even a lock.
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    # Otherwise SQLite refuses a file that is shorter than its header says (btree.c, lockBtree).
    database.execute("PRAGMA writable_schema = ON")
    return database


def _readable(database: sqlite3.Connection, order: str) -> set[tuple[int, int, int]]:
    """Return log time, row and topic of the messages that come before the damage."""
    found = set()
    query = f"SELECT timestamp, id, topic_id, data FROM messages ORDER BY id {order}"
    try:
        for log_time, row, topic, _ in database.execute(query):
            found.add((log_time, row, topic))
    except sqlite3.Error:
        pass
    return found


def topic_of(connection: Connection) -> BagTopic:
    """Return the topic of rosbags' connection."""
    ext = connection.ext
    assert isinstance(ext, ConnectionExtRosbag2)
    return BagTopic(
        connection.topic,
        connection.msgtype,
        connection.msgdef.data,
        connection.digest,
        tuple(ext.offered_qos_profiles),
        connection.msgcount,
    )
