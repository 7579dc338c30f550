"""Images in files: one image, a video or animation, or a folder of images.

The node's sources and the recordings of `facemesh_bag` read files through this module, so both get
the same images at the same times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.image import ImageError, Levels, Pixels
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.messages.compressed_image import (
    LARGEST_COMPRESSED,
    DecodedImage,
    read_image_file,
)
from maix_facemesh_ros.user_files import natural_order

#: Images per second of a folder, of one image in a loop, and of a video without times.
ASSUMED_RATE = 30.0

#: Rates that a video file may declare, in Hz; any other is a mistake.
RATES = (1e-3, 1e3)

#: Seconds from one frame to the next at most; a longer interval is a damaged time.
LONGEST_INTERVAL = 3600.0

#: Undecodable frames in a row after which a video counts as ended: OpenCV reports the end of a
#: video like a damaged frame.
MOST_DAMAGED_FRAMES = 1000

#: A video whose header declares more frames than one per this number of bytes is not believed.
FEWEST_BYTES_A_FRAME = 100

#: Pixels of the frames of an animation that are decoded at once.
PIXELS_AT_ONCE = 20_000_000

#: Pixels that a frame of an animation has at most, as any other compressed image.
LARGEST_FRAME = LARGEST_COMPRESSED

#: Number of bytes at the start of a file that are checked for an animation.
_HEAD = 1 << 16


class ImageFileError(FaceMeshError, RuntimeError):
    """A file or folder cannot be read as images; the message gives the reason, without its name."""


class FileImage(NamedTuple):
    """An image of a file."""

    #: Since the beginning of the file; not less than that of the previous one.
    seconds: float
    #: uint8 (height, width, 3), blue, green, red; None where it cannot be decoded.
    image: Pixels | None
    #: Why it cannot be decoded; empty when it can.
    error: str = ""
    #: Of a 16-bit image: which of its values have become black and white.
    levels: Levels | None = None


class ImageFile(Protocol):
    """One or more images in a file or folder."""

    #: Seconds from the last image to the first, in a loop.
    interval: float

    def images(self) -> Iterator[FileImage]:
        """Yield all images from the first; one iteration at a time."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_image_file(path: Path) -> StillFile | ImageFolder | VideoFile | AnimationFile:
    """Open a file of one image, a video or an animation (GIF, APNG, WebP, AVIF), or a folder.

    Raises:
        ImageFileError: OpenCV cannot read it.
        OSError: the file system does not let it be read.
    """
    if path.is_dir():
        return ImageFolder(path)
    if not cv2.haveImageReader(str(path)):
        return VideoFile(path)
    if _is_animation(path):
        # FFMPEG reads frame by frame, but not WebP and AVIF; and OpenCV may be built without it.
        return VideoFile(path) if _has_several_frames(path) else AnimationFile(path)
    return StillFile(path)


class StillFile:
    """A file of one image."""

    interval = 1 / ASSUMED_RATE

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ImageFileError: it is damaged.
        """
        self._image = _read(path)

    def __len__(self) -> int:
        return 1

    def images(self) -> Iterator[FileImage]:
        """See `ImageFile`."""
        yield self.image(0)

    def image(self, number: int) -> FileImage:  # noqa: ARG002
        """Return the image, which has the number 0."""
        return FileImage(0.0, self._image.pixels, levels=self._image.levels)

    def close(self) -> None:
        """See `ImageFile`."""


class ImageFolder:
    """The image files of a folder in natural order: 2 comes before 10."""

    interval = 1 / ASSUMED_RATE

    def __init__(self, path: Path) -> None:
        """List it.

        Raises:
            ImageFileError: there is no image in it.
        """
        #: Files that are images, and all others.
        self.files: list[Path] = []
        self.others: list[Path] = []
        for file in sorted((each for each in path.iterdir() if each.is_file()), key=natural_order):
            (self.files if cv2.haveImageReader(str(file)) else self.others).append(file)
        if not self.files:
            raise ImageFileError("it is a folder without an image in it")

    def __len__(self) -> int:
        return len(self.files)

    def images(self) -> Iterator[FileImage]:
        """See `ImageFile`."""
        for number in range(len(self.files)):
            yield self.image(number)

    def image(self, number: int) -> FileImage:
        """Read one of the files."""
        seconds = number * self.interval
        try:
            image = read_image_file(self.files[number])
        except ImageError as error:
            return FileImage(seconds, None, str(error))
        return FileImage(seconds, image.pixels, levels=image.levels)

    def close(self) -> None:
        """See `ImageFile`."""


class VideoFile:
    """A video, read frame by frame, at the times of its container."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ImageFileError: OpenCV cannot read it as a video.
        """
        self._path = path
        self._video = cv2.VideoCapture(str(path))
        if not self._video.isOpened():
            raise ImageFileError("it is not an image or video that OpenCV can read")
        _check_frame_size(self._video)
        rate = self._video.get(cv2.CAP_PROP_FPS)
        self.interval = 1 / (rate if RATES[0] <= rate <= RATES[1] else ASSUMED_RATE)
        self._is_at_start = True

    @property
    def expected_images(self) -> int:
        """Approximate number of frames: that of the header, if it is plausible."""
        declared = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        if 0 < declared <= self._path.stat().st_size / FEWEST_BYTES_A_FRAME:
            return int(declared)
        counted = VideoFile(self._path)
        number = sum(1 for _ in counted._grabbed())
        counted.close()
        return number

    def images(self) -> Iterator[FileImage]:
        """See `ImageFile`; a frame that cannot be decoded has the time of the previous one."""
        last = -self.interval
        for is_there in self._grabbed():
            image = _retrieved(self._video) if is_there else None
            if image is None:
                yield FileImage(max(last, 0.0), None, "the frame cannot be decoded")
                continue
            time = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            # Some containers have no times, and damaged ones have wrong ones.
            if not (time >= 0.0 and last < time <= last + LONGEST_INTERVAL):
                time = last + self.interval
            last = time
            yield FileImage(time, image)

    def close(self) -> None:
        """See `ImageFile`."""
        self._video.release()

    def _grabbed(self) -> Iterator[bool]:
        """Give for each frame whether it is there; those at the end that are not do not count."""
        if not self._is_at_start:
            self._video.release()
            # Opened again: not every container can be searched.
            self._video = cv2.VideoCapture(str(self._path))
        self._is_at_start = False
        most_damaged = MOST_DAMAGED_FRAMES if self._video.getBackendName() == "FFMPEG" else 0
        damaged = 0
        while damaged <= most_damaged:
            if _grab(self._video):
                yield from [False] * damaged
                damaged = 0
                yield True
            else:
                damaged += 1


class AnimationFile:
    """An animation that FFMPEG does not read, such as a WebP: by OpenCV 4.11 and newer."""

    def __init__(self, path: Path) -> None:
        """Read the first frame.

        Raises:
            ImageFileError: it is damaged, or too large.
        """
        self._path = str(path)
        _check_size(_canvas_of_webp(path))
        first = _read(path).pixels
        pixels = first.shape[0] * first.shape[1]
        _check_size(pixels)
        self._first = first
        self._at_once = max(1, PIXELS_AT_ONCE // pixels)
        self.interval = 1 / ASSUMED_RATE

    @property
    def expected_images(self) -> int:
        """Approximate number of frames: that of the header, if it is plausible."""
        if not hasattr(cv2, "imreadanimation"):
            return 1
        return min(int(cv2.imcount(self._path)), Path(self._path).stat().st_size)

    def images(self) -> Iterator[FileImage]:
        """See `ImageFile`."""
        if not hasattr(cv2, "imreadanimation"):
            yield FileImage(0.0, self._first)
            return
        seconds, number = 0.0, 0
        while True:
            try:
                is_there, part = cv2.imreadanimation(self._path, number, self._at_once)
            except cv2.error:
                return
            for frame, duration in zip(part.frames, part.durations, strict=False):
                yield FileImage(seconds, _three_channels(np.asarray(frame, np.uint8)))
                self.interval = float(duration) / 1000 if duration > 0 else 1 / ASSUMED_RATE
                seconds += self.interval
                number += 1
            if not is_there or len(part.frames) < self._at_once:
                return

    def close(self) -> None:
        """See `ImageFile`."""


def _read(path: Path) -> DecodedImage:
    """Read a file of one image.

    Raises:
        ImageFileError: it is damaged.
    """
    try:
        return read_image_file(path)
    except ImageError as error:
        raise ImageFileError(f"it cannot be used: {error}") from error


def next_frame(video: cv2.VideoCapture) -> Pixels | None:
    """Read the next frame of a camera or stream; None where there is none."""
    return _retrieved(video) if _grab(video) else None


def _check_frame_size(video: cv2.VideoCapture) -> None:
    """See `_check_size`."""
    sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    _check_size(math.prod(map(video.get, sides)))


def _check_size(pixels: float) -> None:
    """Check that a frame fits the memory limit.

    Raises:
        ImageFileError: it has too many pixels.
    """
    if pixels > LARGEST_FRAME:
        raise ImageFileError(
            f"its frames have {pixels:.0f} pixels: {LARGEST_FRAME} are the most that is decoded"
        )


def _grab(video: cv2.VideoCapture) -> bool:
    try:
        return bool(video.grab())
    except cv2.error:
        return False


def _retrieved(video: cv2.VideoCapture) -> Pixels | None:
    try:
        with decoder_warnings.limited():
            there, image = video.retrieve()
    except cv2.error:  # such as no memory for an image of a size that a broken stream claims
        return None
    return np.asarray(image, np.uint8) if there else None


def _three_channels(frame: Pixels) -> Pixels:
    if frame.ndim == 2:
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(frame[:, :, :3])


def _is_animation(path: Path) -> bool:
    """Tell from its first bytes whether an image file may be an animation."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:4] == b"\x89PNG":
        return b"acTL" in head[: max(head.find(b"IDAT"), 0)]
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2) if len(head) > 20 else False
    return head[:4] == b"GIF8" or head[4:12] == b"ftypavis"


def _canvas_of_webp(path: Path) -> int:
    """Return the pixels that an extended WebP declares; 0 for any other file."""
    with path.open("rb") as file:
        head = file.read(30)
    if len(head) < 30 or head[8:16] != b"WEBPVP8X":
        return 0
    width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    return width * height


def _has_several_frames(path: Path) -> bool:
    """Tell whether FFMPEG reads at least two frames of a file.

    Raises:
        ImageFileError: its frames are too large.
    """
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        _check_frame_size(video)
        return video.isOpened() and _grab(video) and _grab(video)
    finally:
        video.release()
