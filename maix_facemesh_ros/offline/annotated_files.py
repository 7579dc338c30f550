"""Files with the images that have the faces drawn into them: a video, or a folder of JPEGs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from maix_facemesh_ros.messages.compressed_image import check_compressed, decode_compressed
from maix_facemesh_ros.offline.videos import open_video


class ImageOrigin(NamedTuple):
    """Where an image comes from."""

    #: The file of the image, or the bag.
    recording: Path
    topic: str
    #: Of the image on its topic, from 0.
    number: int
    #: Seconds since the beginning of the recording.
    seconds: float
    #: Of a file of the image, without an ending.
    name: str


class AnnotatedVideo:
    """A video of one camera. To be used in a `with` statement."""

    def __init__(self, path: Path, rate: float, sound: Path | None) -> None:
        """Begin it; see `open_video`.

        Raises:
            BagError: it cannot be written.
        """
        self._video = open_video(path, rate, sound)

    @property
    def remark(self) -> str:
        """What the video does not have, and why; empty if it has everything."""
        return self._video.remark

    def write(self, origin: ImageOrigin, jpeg: bytes) -> None:
        """Add an image.

        Args:
            origin: gives its time.
            jpeg: the image with its faces drawn into it.
        """
        self._video.write(origin.seconds, decode_compressed(check_compressed(jpeg)).pixels)

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(self, *error: object) -> None:
        self._video.close()


class AnnotatedFolder:
    """A folder with one JPEG per image. To be used in a `with` statement."""

    remark = ""

    def __init__(self, path: Path) -> None:
        """Make it.

        Raises:
            OSError: it cannot be made.
        """
        self._path = path
        self._path.mkdir(exist_ok=True)
        self._names: set[str] = set()

    def write(self, origin: ImageOrigin, jpeg: bytes) -> None:
        """Write an image; a second one of the same name gets its number.

        Args:
            origin: gives its name.
            jpeg: the image with its faces drawn into it.
        """
        name, number = origin.name, 1
        while name in self._names:
            number += 1
            name = f"{origin.name}_{number}"
        self._names.add(name)
        (self._path / f"{name}.jpg").write_bytes(jpeg)

    def __enter__(self) -> AnnotatedFolder:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to do."""
