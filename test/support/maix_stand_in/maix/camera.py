"""A camera that shows images from files at a steady pace."""

from __future__ import annotations

import atexit
import math
import time
from itertools import count

import numpy as np

from . import _knobs
from ._images import Pixels, read_images, scale_to_fit
from ._native import wait_with_lock, whole
from .err import Err, failure
from .image import Format, Image, cv2image

_FORMATS = (
    *(Format.FMT_RGB888, Format.FMT_BGR888, Format.FMT_RGBA8888, Format.FMT_BGRA8888),
    *(Format.FMT_GRAYSCALE, Format.FMT_YVU420SP),
)
#: Images after which the real one gives up waiting for the next.
_PATIENCE = 3

#: Images are counted over all cameras that a process opens.
_numbers = count()
#: Numbers and times of images that the log does not have yet.
_unwritten: list[tuple[int, int]] = []


@atexit.register
def _write_log() -> None:
    while _unwritten:
        number, at = _unwritten.pop(0)
        _knobs.append_line("CAPTURE_LOG", f"{number} {at}")


class Camera:
    """The real one's default size is 640x480, too."""

    def __init__(
        self,
        width: int = -1,
        height: int = -1,
        format: Format = Format.FMT_RGB888,  # noqa: A002
        device: str | None = None,  # noqa: ARG002
        fps: float = -1,
        buff_num: int = 3,
        open: bool = True,  # noqa: A002
        raw: bool = False,  # noqa: ARG002
    ) -> None:
        if format not in _FORMATS:
            raise failure("Unknown error: Format not support\n")
        self._width = 640 if whole(width) == -1 else width
        self._height = 480 if whole(height) == -1 else height
        self._format = format
        self._fps = fps
        self._buff_num = buff_num
        self._is_opened = False
        self._mirrored = self._flipped = 0
        if open:
            self.open()

    def open(
        self,
        width: int = -1,
        height: int = -1,
        format: Format = Format.FMT_INVALID,  # noqa: A002
        fps: float = -1,
        buff_num: int = -1,  # noqa: ARG002
    ) -> Err:
        """Start to take images; the first is there one image later."""
        self._width = self._width if width == -1 else width
        self._height = self._height if height == -1 else height
        self._format = self._format if format == Format.FMT_INVALID else format
        asked_for = self._fps if fps == -1 else fps
        self._fps = _knobs.number("FPS", 30.0) if asked_for == -1 else asked_for
        self._images = read_images(_knobs.path("IMAGES"))
        self._scaled: dict[int, Pixels] = {}
        self._fails_at = _knobs.numbers("CAMERA_FAILS_AT")
        self._holds_lock = _knobs.text("CAMERA_HOLDS_LOCK", "1") != "0"
        self._opened_at = time.monotonic()
        self._taken = 0
        self._is_opened = True
        return Err.ERR_NONE

    def read(self, block: bool = True, block_ms: int = -1) -> Image | None:
        """Return the newest image that was not read yet, or wait for the next.

        Args:
            block: False: return None instead of waiting.
            block_ms: the longest wait; -1: three images.
        """
        if not self._is_opened:
            self.open()
        _write_log()
        # Images that were not read in time are lost, all but the newest.
        due = max(self._taken + 1, math.floor((time.monotonic() - self._opened_at) * self._fps))
        wait = self._opened_at + due / self._fps - time.monotonic()
        if wait > 0 and not block:
            return None
        longest = _PATIENCE / self._fps if block_ms < 0 else block_ms / 1000
        if wait > longest:
            self._wait(longest)
            raise _timeout()
        number = next(_numbers)
        if number in self._fails_at:
            self._wait(longest)
            raise _timeout()
        self._wait(wait)
        self._taken = due
        image = self._image(number % len(self._images))
        # Written later, because other threads run while a file is written.
        _unwritten.append((number, time.monotonic_ns()))
        return image

    def close(self) -> None:
        """Stop; the next `read` opens it again."""
        _write_log()
        self._is_opened = False

    def is_opened(self) -> bool:
        """Tell if it takes images."""
        return self._is_opened

    def is_closed(self) -> bool:
        """Tell if it takes no images."""
        return not self._is_opened

    def width(self) -> int:
        """Return pixels."""
        return self._width

    def height(self) -> int:
        """Return pixels."""
        return self._height

    def fps(self) -> float:
        """Return images a second."""
        return self._fps

    def format(self) -> Format:
        """Return the format of the images."""
        return self._format

    def buff_num(self) -> int:
        """Return what was asked for."""
        return self._buff_num

    def hmirror(self, value: int = -1) -> int:
        """Mirror the images that follow, or not; returns whether they are."""
        self._mirrored = self._mirrored if whole(value) == -1 else value
        return self._mirrored

    def vflip(self, value: int = -1) -> int:
        """Turn the images that follow upside down, or not; returns whether they are."""
        self._flipped = self._flipped if whole(value) == -1 else value
        return self._flipped

    def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._holds_lock:
            wait_with_lock(seconds)
        else:
            time.sleep(seconds)

    def _image(self, index: int) -> Image:
        pixels = self._scaled.get(index)
        if pixels is None:
            pixels = scale_to_fit(self._images[index], self._width, self._height)
            if len(self._scaled) < 32:  # A film is not kept as a whole.
                self._scaled[index] = pixels
        pixels = pixels[:: -1 if self._flipped else 1, :: -1 if self._mirrored else 1]
        # A copy, because apps draw into what they get.
        image = cv2image(np.ascontiguousarray(pixels), bgr=False, copy=True)
        return image if self._format == Format.FMT_RGB888 else image.to_format(self._format)


def _timeout() -> RuntimeError:
    return failure("Value is NULL: camera read failed\n")
