"""Opens an image source by its name: a camera, a URL, a file or a folder.

Two kinds of sources: files and folders end, and deliver every image at its time; cameras and URLs
are live, never end, and deliver the latest image.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from maix_facemesh_ros.bags.files import storage_by_name
from maix_facemesh_ros.sources.base import ImageSource, Report, SourceError
from maix_facemesh_ros.sources.file_source import FileSource
from maix_facemesh_ros.sources.files import ImageFileError, open_image_file
from maix_facemesh_ros.sources.live import LiveSource
from maix_facemesh_ros.sources.names import URL, public_name

#: Schemes that FFMPEG reads, without those for files or without images. Otherwise a misspelt scheme
#: would look like a camera that is switched off.
URL_SCHEMES = (
    *("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "srtp", "udp", "tcp", "tls"),
    *("srt", "rist", "hls", "mmsh", "mmst", "ftp", "sftp", "unix"),
)

#: Bags have several cameras, with calibrations, so they are read by other programs.
BAG = (
    "it is a bag: facemesh_bag (facemesh find) finds its faces, and facemesh_replay plays it into "
    "the node"
)


def open_source(
    source: str, *, loop: bool = False, report: Report = lambda _notice: None
) -> ImageSource:
    """Open a source of images.

    Args:
        source: number or path of a camera (`0`, `/dev/video0`), URL, path of an image or video
            file, or of a folder of images.
        loop: restart a file or folder at its end.
        report: called with each fault of the running source, and when it is over, from the source's
            threads.

    Raises:
        SourceError: the source does not exist, or contains no readable image.
    """
    if url := URL.match(source):
        _check_scheme(source, url.group(1).lower())
        return LiveSource(source, report)
    if source.isascii() and source.isdigit():
        return LiveSource(source, report)
    path = Path(source)
    try:
        if path.is_dir() or path.is_file():
            return FileSource(source, open_image_file(path), loop, report)
    except ImageFileError as error:
        reason = BAG if _is_bag(path) else str(error)
        raise SourceError(f"source {source!r} cannot be opened: {reason}") from error
    except OSError as error:
        raise SourceError(f"source {source!r} cannot be read: {error.strerror}") from error
    if source.startswith("/dev/"):
        return LiveSource(source, report)
    raise SourceError(
        f"source {source!r} is neither a camera (such as 0 or /dev/video0) nor a file, a folder or "
        "a URL (such as rtsp://...)"
    )


def _is_bag(path: Path) -> bool:
    """Tell whether a file or folder is a bag, by the names of its files."""
    files = path.iterdir() if path.is_dir() else [path]
    return any(storage_by_name(file) for file in files)


def _check_scheme(source: str, scheme: str) -> None:
    if scheme not in URL_SCHEMES:
        known = f"known are {', '.join(URL_SCHEMES)}"
        hint = "give the file's path instead" if scheme == "file" else known
        raise SourceError(f"source {public_name(source)!r} starts with {scheme}://: {hint}")
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getBackends():
        raise SourceError(
            f"source {public_name(source)!r} cannot be opened: this OpenCV is built without "
            "FFMPEG, which reads URLs"
        )
