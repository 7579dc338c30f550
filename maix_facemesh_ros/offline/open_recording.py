"""Telling bags, videos and folders of images apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.file_kinds import Storage, kind_of, storage_by_name
from maix_facemesh_ros.bags.metadata import METADATA
from maix_facemesh_ros.bags.storage import BagError, UnpackLimits
from maix_facemesh_ros.offline.recorded_bag import RecordedBag
from maix_facemesh_ros.offline.recorded_images import open_recorded_file
from maix_facemesh_ros.offline.recordings import Recording


def open_recording(
    path: Path,
    topics: Sequence[str] = (),
    unpack_into: Path | None = None,
    limits: UnpackLimits | None = None,
) -> Recording:
    """Open a bag, a video or a folder of images.

    Args:
        path: of it.
        topics: of a bag, those of the images; none: all that there are.
        unpack_into: folder for the contents of compressed files.
        limits: maximum unpacked sizes.

    Raises:
        BagError: it cannot be read, or has no images.
    """
    try:
        if not path.exists():
            raise BagError(f"{path} does not exist")
        kind = _kind_of_folder(path) if path.is_dir() else kind_of(path)
        if isinstance(kind, Storage) or (path.is_file() and storage_by_name(path)):
            return RecordedBag(path, topics, unpack_into, limits)
        if kind is not None:
            raise BagError(f"{path} is {kind}")
        return open_recorded_file(path)
    except OSError as error:
        raise BagError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _kind_of_folder(path: Path) -> Storage | str | None:
    """Return whether a folder is a bag, or holds something else that is known and no images."""
    files = [each for each in path.iterdir() if each.is_file()]
    if any(each.name == METADATA or storage_by_name(each) for each in files):
        return Storage.MCAP
    try:
        open_recorded_file(path).close()
    except BagError:
        for each in files:
            kind = kind_of(each)
            if isinstance(kind, Storage):
                return kind
            if kind is not None:
                return f"no bag: {each.name} in it is {kind}"
    return None
