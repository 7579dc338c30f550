"""A new bag of faces, which is there under its name when it is complete."""

from __future__ import annotations

import shutil
from pathlib import Path

from maix_facemesh_ros.bags.bag_file import BagError
from maix_facemesh_ros.bags.bag_writing import BagWriter
from maix_facemesh_ros.bags.message_types import FACE_ARRAY, topic_of_type


class FacesBag:
    """Takes serialized FaceArrays and makes a bag of them, or nothing if an error comes."""

    def __init__(self, path: Path) -> None:
        """Begin in a folder beside the one that is to be.

        Raises:
            BagError: there is something by this name, or it cannot be written.
        """
        if path.exists():
            raise BagError(f"{path} exists, and is not overwritten: name another")
        self._path = path
        # A folder around the bag's own: the bag's file is called as its folder.
        self._partial = path.with_name(f"{path.name}.partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise BagError(f"{self._partial} cannot be made: {error.strerror}") from error
        self._writer = BagWriter(self._partial / path.name)

    def write(self, topic: str, log_time: int, faces: bytes) -> None:
        """Write a serialized FaceArray, with its time in nanoseconds."""
        self._writer.add_topic(topic_of_type(topic, FACE_ARRAY))
        self._writer.write(topic, log_time, faces)

    def __enter__(self) -> FacesBag:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *rest: object) -> None:
        self._writer.__exit__(error_type, *rest)
        if error_type is None:
            (self._partial / self._path.name).rename(self._path)
        shutil.rmtree(self._partial)
