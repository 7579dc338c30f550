"""A new bag of faces, moved to its place when it is complete, without a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.message_types import FACE_ARRAY, topic_of_type
from maix_facemesh_ros.bags.output_folder import (
    MADE_BY,
    JobFolder,
    refuse_existing_output,
    refuse_input_as_output,
)
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.bags.writer import BagWriter


class FacesBag:
    """Writes serialized FaceArrays to a bag; an error leaves no bag."""

    def __init__(self, path: Path, inputs: Sequence[Path] = ()) -> None:
        """Start in a folder next to the final one.

        Args:
            path: folder of the new bag.
            inputs: paths that are only read: the bag is not made in, around or instead of one.

        Raises:
            BagError: there is something by this name, or it cannot be written.
        """
        refuse_input_as_output(path, inputs)
        refuse_existing_output(path)
        self._path = path
        self._partial = JobFolder(path, inputs, {MADE_BY: "FacesBag"})
        try:
            self._partial.clear("outputs")
            self._partial.make_folders()
            # In a separate folder: the bag's file is named after its folder.
            self._made = self._partial.path / "outputs" / path.name
            self._writer = BagWriter(self._made)
        except BaseException:
            self._end()
            raise

    def write(self, topic: str, log_time: int, data: bytes, message_type: str = FACE_ARRAY) -> None:
        """Write a message.

        Args:
            topic: its topic.
            log_time: in nanoseconds.
            data: the serialized message.
            message_type: of all messages on the topic.
        """
        self._writer.add_topic(topic_of_type(topic, message_type))
        self._writer.write(topic, log_time, data)

    def __enter__(self) -> FacesBag:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *rest: object) -> None:
        try:
            self._writer.__exit__(error_type, *rest)
            if error_type is None:
                refuse_existing_output(self._path)
                self._made.rename(self._path)
        except OSError as error:
            raise BagError(f"{self._path} cannot be written: {error.strerror}") from error
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._partial.remove()
        finally:
            self._partial.release()
