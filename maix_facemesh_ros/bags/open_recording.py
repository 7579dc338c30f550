"""Telling bags, videos and folders of pictures apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.bag_file import BagError
from maix_facemesh_ros.bags.bag_reading import METADATA, storage_of
from maix_facemesh_ros.bags.recorded_bag import RecordedBag
from maix_facemesh_ros.bags.recorded_pictures import RecordedFolder, RecordedVideo
from maix_facemesh_ros.bags.recordings import Recording


def open_recording(
    path: Path, topics: Sequence[str] = (), unpack_into: Path | None = None
) -> Recording:
    """Open a bag, a video or a folder of pictures.

    Args:
        path: of it.
        topics: of a bag, those of the pictures; none: all that there are.
        unpack_into: folder for the contents of compressed files.

    Raises:
        BagError: it cannot be read, or has no pictures.
    """
    try:
        if path.is_dir():
            if any(each.name == METADATA or storage_of(each) for each in path.iterdir()):
                return RecordedBag(path, topics, unpack_into)
            return RecordedFolder(path)
        if not path.exists():
            raise BagError(f"{path} does not exist")
        if storage_of(path):
            return RecordedBag(path, topics, unpack_into)
        return RecordedVideo(path)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error
