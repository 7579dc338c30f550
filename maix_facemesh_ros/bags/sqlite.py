"""SQLite files of bags: intact ones in order, damaged ones up to the damage from both ends.

rosbags' reader refuses a damaged file, and ignores the write-ahead log
(https://sqlite.org/wal.html) and the rollback journal of a crashed recorder.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.files import SQLITE_MAGIC
from maix_facemesh_ros.bags.qos import qos_of
from maix_facemesh_ros.bags.storage import (
    BagError,
    BagRecord,
    BagTopic,
    Damage,
    RecordedSchema,
    check_message_count,
)

#: Suffixes of SQLite's journal files.
JOURNALS = ("-wal", "-journal")

#: Maximum steps of SQLite's virtual machine for a query, at least and per byte of the file:
#: a whole row takes some 20. Pages that refer to each other in circles would take them without end.
LEAST_STEPS = 10_000_000
STEPS_PER_BYTE = 100
STEPS_BETWEEN_CHECKS = 1_000_000

#: Those that some release of ROS 2 writes.
TOPIC_COLUMNS = (
    "id",
    "name",
    "type",
    "serialization_format",
    "offered_qos_profiles",
    "type_description_hash",
)
DEFINITION_COLUMNS = (
    "topic_type",
    "encoding",
    "encoded_message_definition",
    "type_description_hash",
)

#: Of a row that is a message.
_IS_MESSAGE = "typeof(timestamp) = 'integer' AND typeof(data) = 'blob'"

_ROW = np.dtype([("log_time", np.int64), ("row", np.int64), ("topic", np.int64)])


def journals_of(path: Path) -> list[Path]:
    """Return the files with contents that are not in an SQLite file yet."""
    candidates = [path.with_name(path.name + end) for end in JOURNALS]
    return [journal for journal in candidates if journal.is_file() and journal.stat().st_size]


def merge_journals(path: Path, target: Path) -> None:
    """Copy an SQLite file with its journals, and apply the journals to the copy.

    Args:
        path: the file; neither it nor the files next to it are changed.
        target: the copy.

    Raises:
        OSError: there is no place for the copy.
        sqlite3.Error: the journals cannot be used.
    """
    for source in (path, *journals_of(path)):
        shutil.copyfile(source, target.with_name(target.name + source.name[len(path.name) :]))
    with closing(sqlite3.connect(target)) as database:
        # Leaves write-ahead logging, and with it the log, behind.
        database.execute("PRAGMA journal_mode = DELETE").fetchall()
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()


class SqliteFile:
    """A file of an SQLite bag."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BagError: it is not a bag in SQLite, or has nothing that can be read.
        """
        self._path = path
        self.damage = Damage()
        with path.open("rb") as stream:
            if stream.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                raise BagError(f"{path} is not an SQLite file: its first bytes are wrong")
        #: Where the messages are that can still be read of a damaged file.
        self._salvaged: npt.NDArray[np.void] | None = None
        self._database = _Database(path)
        try:
            self._topics = self._read_topics()
            self._count()
        except BaseException:
            self._database.close()
            raise
        self.topics: tuple[BagTopic, ...] = tuple(self._topics.values())

    def records(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[BagRecord]:
        """See `BagFile`."""
        wanted = {number: topic for number, topic in self._topics.items() if topic.name in topics}
        if self._salvaged is None:
            last: int | None = None
            try:
                for record in self._in_order(wanted, start, stop):
                    yield record
                    last = record.log_time
                return
            except sqlite3.Error:
                self._salvage()
            # The rest from the end backwards, up to the damage.
            start = last + 1 if last is not None else start
        yield from self._one_by_one(wanted, start, stop)

    def log_times(self, topic: str) -> npt.NDArray[np.int64]:
        """See `BagFile`."""
        numbers = [number for number, each in self._topics.items() if each.name == topic]
        if self._salvaged is None:
            check_message_count(
                self._path, topic, sum(self._topics[number].message_count for number in numbers)
            )
            query = f"SELECT timestamp FROM messages WHERE topic_id = ? AND {_IS_MESSAGE}"
            try:
                parts = [self._database.numbers(query, (number,)) for number in numbers]
                return np.concatenate([np.zeros(0, np.int64), *parts])
            except sqlite3.Error:
                self._salvage()
        assert self._salvaged is not None
        times: npt.NDArray[np.int64] = self._salvaged["log_time"]
        return times[np.isin(self._salvaged["topic"], numbers)]

    def attachments(self) -> Iterator[Any]:
        """See `BagFile`: there are none in SQLite."""
        return iter(())

    metadata_records = attachments

    def close(self) -> None:
        """See `BagFile`."""
        self._database.close()

    def _read_topics(self) -> dict[int, BagTopic]:
        """Return the topics by their numbers in the file."""
        try:
            tables = self._database.rows(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
            )
            if not {("messages",), ("topics",)} <= set(tables):
                raise BagError(
                    f"{self._path} is an SQLite file, but not of a bag: it has no tables "
                    "topics and messages"
                )
            topics = self._database.table("topics", TOPIC_COLUMNS)
        except sqlite3.Error as error:
            raise BagError(
                f"{self._path} is damaged, and nothing of it can be read: {error}"
            ) from error
        definitions = {}
        with suppress(sqlite3.Error):
            for row in self._database.table("message_definitions", DEFINITION_COLUMNS):
                definitions[row.get("topic_type")] = row
        return {
            row["id"]: _topic_of(row, definitions.get(row["type"], {}))
            for row in topics
            if isinstance(row.get("id"), int)
            and all(isinstance(row.get(name), str) for name in ("name", "type"))
        }

    def _count(self) -> None:
        """Count the messages of each topic, and find the first and last."""
        query = (
            f"SELECT topic_id, SUM({_IS_MESSAGE}), COUNT(*), "
            f"MIN(CASE WHEN {_IS_MESSAGE} THEN timestamp END), "
            f"MAX(CASE WHEN {_IS_MESSAGE} THEN timestamp END) FROM messages GROUP BY topic_id"
        )
        self.times: tuple[int, int] | None = None
        try:
            rows = self._database.rows(query)
        except sqlite3.Error:
            self._salvage()
            return
        times = []
        unusable = 0
        for number, usable, count, first, last in rows:
            if not isinstance(number, int) or number not in self._topics:
                unusable += count
                continue
            unusable += count - usable
            self._set_count(number, usable)
            times += [first, last] * bool(usable)
        if times:
            self.times = min(times), max(times)
        if unusable:
            name = f"{self._path.name} has rows that are no messages of a topic"
            self.damage.messages[name] = unusable

    def _set_count(self, number: int, count: int) -> None:
        self._topics[number] = self._topics[number].with_count(count)

    def _in_order(
        self, wanted: dict[int, BagTopic], start: int | None, stop: int | None
    ) -> Iterator[BagRecord]:
        conditions = [f"topic_id IN ({','.join(map(str, wanted))})", _IS_MESSAGE]
        conditions += [f"timestamp >= {start}"] * (start is not None)
        conditions += [f"timestamp < {stop}"] * (stop is not None)
        query = (
            f"SELECT topic_id, timestamp, data FROM messages WHERE {' AND '.join(conditions)} "
            "ORDER BY timestamp"
        )
        for number, log_time, data in self._database.iterate(query):
            yield BagRecord(wanted[number], log_time, log_time, 0, data)

    def _one_by_one(
        self, wanted: dict[int, BagTopic], start: int | None, stop: int | None
    ) -> Iterator[BagRecord]:
        assert self._salvaged is not None
        for log_time, row, number in self._salvaged.tolist():
            if (
                number in wanted
                and (start is None or log_time >= start)
                and (stop is None or log_time < stop)
            ):
                with suppress(sqlite3.Error):
                    for (data,) in self._database.rows(
                        "SELECT data FROM messages WHERE id = ? AND typeof(data) = 'blob'", (row,)
                    ):
                        yield BagRecord(wanted[number], log_time, log_time, 0, data)

    def _salvage(self) -> None:
        """Find the readable rows: up to the damage from both ends.

        Only the places of the messages are kept, not the messages.

        Raises:
            BagError: nothing can be read.
        """
        self.damage.messages[f"{self._path.name} is damaged or cut short"] = None
        found = np.concatenate([self._readable("ASC"), self._readable("DESC")])
        found = found[np.isin(found["topic"], list(self._topics))]
        # Sorted by log time, then by row.
        self._salvaged = np.unique(found)
        if not len(self._salvaged):
            raise BagError(f"{self._path} is damaged, and no message in it can be read")
        self.times = int(self._salvaged["log_time"][0]), int(self._salvaged["log_time"][-1])
        for number in self._topics:
            self._set_count(number, int((self._salvaged["topic"] == number).sum()))
        self.topics = tuple(self._topics.values())

    def _readable(self, order: str) -> npt.NDArray[np.void]:
        """Return the places of the messages that come before the damage."""
        # With the data, to check that all of it is readable.
        query = (
            "SELECT timestamp, id, topic_id, data FROM messages "
            f"WHERE {_IS_MESSAGE} AND typeof(topic_id) = 'integer' ORDER BY id {order}"
        )
        found: list[npt.NDArray[np.void]] = []
        block: list[tuple[int, int, int]] = []
        # No more rows than there are bytes: pages may refer to each other in circles.
        most = self._path.stat().st_size
        with suppress(sqlite3.Error):
            for number, (log_time, row, topic, _) in enumerate(self._database.iterate(query)):
                block.append((log_time, row, topic))
                if len(block) == 10_000:
                    found.append(np.array(block, _ROW))
                    block = []
                if number > most:
                    break
        return np.concatenate([*found, np.array(block, _ROW)])


class _Database:
    """A read-only SQLite file with a limit for each query."""

    def __init__(self, path: Path) -> None:
        # immutable: nothing is written next to the bag, not even a lock.
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
        self._most_steps = LEAST_STEPS + STEPS_PER_BYTE * path.stat().st_size
        with suppress(sqlite3.Error):
            # Otherwise SQLite refuses a file that is shorter than in its header (btree.c,
            # lockBtree), and runs functions that are named in the file.
            self._connection.execute("PRAGMA writable_schema = ON")
            self._connection.execute("PRAGMA trusted_schema = OFF")

    def iterate(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            sqlite3.Error: the file is damaged.
        """
        steps = 0

        def is_too_long() -> bool:
            nonlocal steps
            steps += STEPS_BETWEEN_CHECKS
            return steps > self._most_steps

        self._connection.set_progress_handler(is_too_long, STEPS_BETWEEN_CHECKS)
        try:
            yield from self._connection.execute(query, values)
        except (OverflowError, MemoryError, UnicodeError) as error:
            raise sqlite3.DatabaseError(str(error)) from error

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; see `iterate`."""
        return list(self.iterate(query, values))

    def numbers(self, query: str, values: tuple[Any, ...]) -> npt.NDArray[np.int64]:
        """Return the numbers of a query's result; see `iterate`."""
        return np.fromiter((row[0] for row in self.iterate(query, values)), np.int64)

    def table(self, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of a table, with those of some columns that it has; see `iterate`."""
        there = {str(row[1]) for row in self.rows(f"PRAGMA table_info({name})")}
        columns = [column for column in columns if column in there]
        if not columns:
            return []
        rows = self.rows(f"SELECT {', '.join(columns)} FROM {name}")
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def close(self) -> None:
        self._connection.close()


def _topic_of(row: dict[str, Any], definition: dict[str, Any]) -> BagTopic:
    """Return the topic of a row of `topics`; which columns it has depends on the ROS release."""
    encoding = _text(row.get("serialization_format")) or "cdr"
    data = definition.get("encoded_message_definition") or ""
    schema = RecordedSchema(
        row["type"],
        _text(definition.get("encoding")),
        data if isinstance(data, bytes) else str(data).encode(),
    )
    return BagTopic(
        row["name"],
        row["type"] if encoding == "cdr" else f"{row['type']} ({encoding})",
        schema.data.decode("utf-8", "replace"),
        _text(row.get("type_description_hash") or definition.get("type_description_hash")),
        offered_qos=qos_of(_text(row.get("offered_qos_profiles"))),
        message_encoding=encoding,
        schema=schema if definition else None,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
