"""Opens what a path names: a bag, a video, an image file or a folder of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maix_facemesh_ros.bags.files import METADATA, Storage, kind_of, storage_by_name
from maix_facemesh_ros.bags.storage import BagError, UnpackLimits
from maix_facemesh_ros.offline.recorded_files import RecordedStills, RecordedVideo
from maix_facemesh_ros.offline.recordings import Recording
from maix_facemesh_ros.sources.files import (
    ImageFileError,
    ImageFolder,
    StillFile,
    open_image_file,
)


def open_recording(
    path: Path,
    topics: Sequence[str] = (),
    unpack_into: Path | None = None,
    limits: UnpackLimits | None = None,
    *,
    videos: bool = True,
) -> Recording:
    """Open a bag, a video or a folder of images.

    Args:
        path: of it.
        topics: of a bag, those of the images; none: all that there are.
        unpack_into: folder for the contents of compressed files.
        limits: maximum unpacked sizes.
        videos: whether H.264 and H.265 in a bag count as images.

    Raises:
        BagError: it cannot be read, or has no images.
    """
    try:
        if not path.exists():
            raise BagError(f"{path} does not exist")
        kind = _kind_of_folder(path) if path.is_dir() else kind_of(path)
        if isinstance(kind, Storage) or (path.is_file() and storage_by_name(path)):
            # Not with the module: videos and images need no library that reads bags.
            from maix_facemesh_ros.offline.recorded_bag import RecordedBag

            return RecordedBag(path, topics, unpack_into, limits, videos=videos)
        if kind is not None:
            raise BagError(f"{path} is {kind}")
        return open_recorded_file(path)
    except OSError as error:
        raise BagError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def open_recorded_file(path: Path) -> Recording:
    """Open a video, an image file or a folder of image files.

    Raises:
        BagError: OpenCV cannot read it.
        OSError: the file system does not let it be read.
    """
    try:
        file = open_image_file(path)
    except ImageFileError as error:
        kind = "a bag" if path.is_dir() else "a file of a bag (.mcap, .db3)"
        raise BagError(f"{path} is not {kind}, and {error}") from error
    if isinstance(file, StillFile | ImageFolder):
        return RecordedStills(path, file)
    return RecordedVideo(path, file)


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
