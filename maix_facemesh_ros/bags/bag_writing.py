"""Writing bags that `ros2 bag`, Foxglove and rosbags open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from maix_facemesh_ros.bags.bag_file import BagError, BagTopic
from maix_facemesh_ros.bags.message_types import described

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}

#: Of the metadata: the last that Humble reads too; in 9 qualities of service are tables.
METADATA_VERSION: Literal[8] = 8


class BagWriter:
    """A new bag. It has a metadata.yaml when it is complete, and not before."""

    def __init__(self, folder: Path, storage: str = "mcap") -> None:
        """Begin a bag.

        Args:
            folder: of the bag, which does not exist.
            storage: of `STORAGES`.

        Raises:
            BagError: the folder exists or cannot be made.
        """
        self._writer = Writer(folder, version=METADATA_VERSION, storage_plugin=STORAGES[storage])
        try:
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BagError(f"{folder} cannot be written: {error}") from error
        self._connections: dict[str, Any] = {}

    def add_topic(self, topic: BagTopic) -> None:
        """Announce a topic; a second time it does nothing.

        Raises:
            BagError: one of the same name has another type.
        """
        known = self._connections.get(topic.name)
        if known is not None:
            if known.msgtype != topic.type:
                raise BagError(
                    f"the topic {topic.name} would have two types, {known.msgtype} and "
                    f"{topic.type}: give it another name with --faces-topic"
                )
            return
        full = described(topic)
        self._connections[topic.name] = self._writer.add_connection(
            full.name,
            full.type,
            msgdef=full.definition,
            rihs01=full.type_hash,
            offered_qos_profiles=full.offered_qos,
        )

    def write(self, topic: str, log_time: int, data: bytes) -> None:
        """Write a message: CDR, at a time in nanoseconds."""
        self._writer.write(self._connections[topic], log_time, data)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is None:
            self._writer.close()
        else:
            self._writer.abort()
