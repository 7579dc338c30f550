"""Writing bags that `ros2 bag`, Foxglove and rosbags open, named as rosbag2 names them.

rosbags' writer names files in another way, writes its own name into them, and takes ROS messages in
CDR only.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import mcap.writer
import yaml
from rosbags.rosbag2.metadata import dump_qos_v8

from maix_facemesh_ros.bags.files import METADATA
from maix_facemesh_ros.bags.mcap import LAST_TIME, QOS, TYPE_HASH
from maix_facemesh_ros.bags.message_types import described
from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagError,
    BagRecord,
    BagTopic,
    MetadataRecord,
    RecordedSchema,
)
from maix_facemesh_ros.model_files import PACKAGE

#: Of the metadata: the last that Humble reads too; in 9 qualities of service are tables.
METADATA_VERSION = 8

#: Name of the metadata record in which rosbag2 keeps the contents of metadata.yaml in a file.
ROSBAG2_RECORD = "rosbag2"

#: Tables of rosbag2_storage_sqlite3, schema version 4.
_SQLITE_SCHEMA = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
  metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL,
  encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
"""


class StorageWriter(Protocol):
    """One storage file that is written."""

    def refusal(self, topic: BagTopic) -> str:
        """Return why it cannot hold a topic; empty if it can."""
        ...

    def add_topic(self, topic: BagTopic) -> int:
        """Announce a topic; returns its number."""
        ...

    def write(self, number: int, record: BagRecord) -> str:
        """Write a message; returns the error text for a part that could not be written, or ""."""
        ...

    def add_attachment(self, attachment: Attachment) -> bool:
        """Write a file; False if the storage holds none."""
        ...

    def add_metadata(self, record: MetadataRecord) -> bool:
        """Write named texts; False if the storage holds none."""
        ...

    def close(self, metadata: str) -> None:
        """Complete the file, with the contents of metadata.yaml in it."""
        ...

    def abort(self) -> None:
        """Close the file without completing it."""
        ...


class _McapStorage:
    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._writer = mcap.writer.Writer(self._file, compression=mcap.writer.CompressionType.NONE)
        self._writer.start(profile="ros2", library=PACKAGE)
        self._schemas: dict[RecordedSchema, int] = {}

    def refusal(self, topic: BagTopic) -> str:  # noqa: ARG002
        return ""

    def add_topic(self, topic: BagTopic) -> int:
        schema = topic.schema
        if topic.message_encoding == "cdr" and (schema is None or not schema.data):
            # Even without a definition, rosbag2 needs the name of the type.
            schema = RecordedSchema(topic.type, "ros2msg", topic.definition.encode())
        if schema is not None and schema not in self._schemas:
            self._schemas[schema] = self._writer.register_schema(
                schema.name, schema.encoding, schema.data
            )
        metadata = dict(topic.metadata)
        if topic.offered_qos or (topic.message_encoding == "cdr" and QOS not in metadata):
            metadata[QOS] = dump_qos_v8(list(topic.offered_qos))
        if topic.type_hash:
            metadata.setdefault(TYPE_HASH, topic.type_hash)
        return self._writer.register_channel(
            topic.name, topic.message_encoding, self._schemas[schema] if schema else 0, metadata
        )

    def write(self, number: int, record: BagRecord) -> str:
        if record.log_time < 0:
            return "messages from before 1970"
        self._writer.add_message(
            number,
            record.log_time,
            record.data,
            min(max(record.publish_time, 0), LAST_TIME),
            record.sequence,
        )
        return ""

    def add_attachment(self, attachment: Attachment) -> bool:
        self._writer.add_attachment(
            attachment.create_time,
            attachment.log_time,
            attachment.name,
            attachment.media_type,
            attachment.data,
        )
        return True

    def add_metadata(self, record: MetadataRecord) -> bool:
        # rosbag2's own describes the bag that is read, not the one that is written.
        if record.name != ROSBAG2_RECORD:
            self._writer.add_metadata(record.name, record.texts)
        return True

    def close(self, metadata: str) -> None:
        self._writer.add_metadata(ROSBAG2_RECORD, {"serialized_metadata": metadata})
        self._writer.finish()
        self._file.close()

    def abort(self) -> None:
        self._file.close()


class _SqliteStorage:
    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        # It has its name when it is complete, so nothing has to be undone.
        self._database.execute("PRAGMA journal_mode = OFF").fetchall()
        self._database.executescript(_SQLITE_SCHEMA)
        self._database.execute("INSERT INTO schema VALUES (4, ?)", (PACKAGE,))
        self._types: set[str] = set()

    def refusal(self, topic: BagTopic) -> str:
        if topic.message_encoding == "cdr":
            return ""
        return f"messages in {topic.message_encoding} on {topic.name}"

    def add_topic(self, topic: BagTopic) -> int:
        if topic.type not in self._types:
            self._types.add(topic.type)
            self._database.execute(
                "INSERT INTO message_definitions VALUES (NULL, ?, ?, ?, ?)",
                (
                    topic.type,
                    (topic.schema.encoding if topic.schema else "") or "ros2msg",
                    topic.definition,
                    topic.type_hash,
                ),
            )
        qos = dict(topic.metadata).get(QOS) or dump_qos_v8(list(topic.offered_qos))
        row = self._database.execute(
            "INSERT INTO topics VALUES (NULL, ?, ?, 'cdr', ?, ?)",
            (topic.name, topic.type, qos, topic.type_hash),
        )
        assert row.lastrowid is not None
        return row.lastrowid

    def write(self, number: int, record: BagRecord) -> str:
        self._database.execute(
            "INSERT INTO messages VALUES (NULL, ?, ?, ?)", (number, record.log_time, record.data)
        )
        return "times of publication" if record.publish_time != record.log_time else ""

    def add_attachment(self, attachment: Attachment) -> bool:  # noqa: ARG002
        return False

    def add_metadata(self, record: MetadataRecord) -> bool:
        return record.name == ROSBAG2_RECORD

    def close(self, metadata: str) -> None:
        self._database.execute(
            "INSERT INTO metadata VALUES (NULL, ?, ?)", (METADATA_VERSION, metadata)
        )
        self._database.commit()
        self._database.close()

    def abort(self) -> None:
        self._database.close()


#: Ends of names and storages, by the names in `STORAGES`.
_STORAGES: dict[str, tuple[str, Callable[[Path], StorageWriter]]] = {
    "mcap": (".mcap", _McapStorage),
    "sqlite3": (".db3", _SqliteStorage),
}


class _WithoutAliases(yaml.SafeDumper):
    """Writes repeated values without aliases, as rosbag2 does."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.dump(content, Dumper=_WithoutAliases, sort_keys=False))


class BagWriter:
    """A new bag. It has a metadata.yaml when it is complete, and not before."""

    def __init__(self, folder: Path, storage: str = "mcap") -> None:
        """Begin a bag.

        Args:
            folder: of the bag, which does not exist.
            storage: one of `STORAGES`.

        Raises:
            BagError: the folder exists or cannot be made.
        """
        self._folder = folder
        self._storage_name = storage
        suffix, open_storage = _STORAGES[storage]
        self._file_name = f"{folder.name}_0{suffix}"
        #: Counts of records that the storage cannot hold, by kind.
        self.not_held: Counter[str] = Counter()
        with self._errors():
            folder.mkdir(parents=True)
            self._storage = open_storage(folder / self._file_name)
        self._topics: dict[tuple[str, str], BagTopic] = {}
        self._by_name: dict[str, BagTopic] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._times: tuple[int, int] | None = None

    def add_topic(self, topic: BagTopic, *, recorded: bool = False) -> None:
        """Announce a topic; a second time it does nothing.

        Args:
            topic: its name, type, and other properties.
            recorded: it is copied from a bag: one name may have several types there.

        Raises:
            BagError: one of the same name has another type, or it cannot be written.
        """
        key = (topic.name, topic.type)
        if key in self._topics:
            return
        other = self._by_name.get(topic.name)
        if other is not None and not recorded:
            raise BagError(
                f"the topic {topic.name} would have two types, {other.type} and {topic.type}: "
                "give it another name with --faces-topic"
            )
        full = described(topic) if topic.message_encoding == "cdr" else topic
        self._topics[key] = self._by_name[topic.name] = full
        if not self._storage.refusal(full):
            with self._errors():
                self._numbers[key] = self._storage.add_topic(full)

    def write(self, topic: str, log_time: int, data: bytes) -> None:
        """Write a message on a topic: CDR, at a time in nanoseconds.

        Raises:
            BagError: it cannot be written.
        """
        self.write_record(BagRecord(self._by_name[topic], log_time, log_time, 0, data))

    def write_record(self, record: BagRecord) -> None:
        """Write a message unchanged.

        Raises:
            BagError: it cannot be written.
        """
        key = (record.topic.name, record.topic.type)
        number = self._numbers.get(key)
        if number is None:
            self.not_held[self._storage.refusal(self._topics[key])] += 1
            return
        with self._errors():
            lost = self._storage.write(number, record)
        if lost:
            self.not_held[lost] += 1
        self._counts[key] += 1
        first, last = self._times or (record.log_time, record.log_time)
        self._times = min(first, record.log_time), max(last, record.log_time)

    def add_attachment(self, attachment: Attachment) -> None:
        """Write a file.

        Raises:
            BagError: it cannot be written.
        """
        with self._errors():
            if not self._storage.add_attachment(attachment):
                self.not_held["attachments"] += 1

    def add_metadata(self, record: MetadataRecord) -> None:
        """Write named texts.

        Raises:
            BagError: they cannot be written.
        """
        with self._errors():
            if not self._storage.add_metadata(record):
                self.not_held["metadata records"] += 1

    def close(self) -> None:
        """Complete the bag.

        Raises:
            BagError: it cannot be written.
        """
        information = self._metadata()
        with self._errors():
            self._storage.close(_yaml(information))
            text = _yaml({"rosbag2_bagfile_information": information})
            (self._folder / METADATA).write_text(text)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                self.close()
        finally:
            # On a full disk, closing raises once more.
            with suppress(OSError, sqlite3.Error):
                self._storage.abort()

    def _metadata(self) -> dict[str, Any]:
        count = sum(self._counts.values())
        # As rosbag2 has it: without a message it starts at the end of time.
        first, last = self._times or (LAST_TIME, LAST_TIME)
        span = {
            "starting_time": {"nanoseconds_since_epoch": first},
            "duration": {"nanoseconds": last - first},
            "message_count": count,
        }
        return {
            "version": METADATA_VERSION,
            "storage_identifier": self._storage_name,
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.schema.name if topic.schema else topic.type,
                        "serialization_format": topic.message_encoding,
                        "offered_qos_profiles": dump_qos_v8(list(topic.offered_qos)),
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": self._counts[key],
                }
                for key, topic in self._topics.items()
                if key in self._numbers
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [self._file_name],
            "files": [{"path": self._file_name, **span}],
            "custom_data": None,
            "ros_distro": PACKAGE,
        }

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the bag in errors of the disk."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise BagError(f"{self._folder} cannot be written: {reason}") from error
