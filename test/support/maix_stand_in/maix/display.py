"""An invisible screen; a log and an image file show its content."""

from __future__ import annotations

import os
import time

import cv2

from . import _knobs
from .err import Err
from .image import Fit, Format, Image, image2cv

#: Seconds between two image files.
_PERIOD = 0.5


class Display:
    """The screen of a MaixCAM has 552x368 pixels."""

    def __init__(
        self,
        width: int = -1,
        height: int = -1,
        format: Format = Format.FMT_RGB888,  # noqa: A002
        device: str = "",  # noqa: ARG002
        open: bool = True,  # noqa: A002
    ) -> None:
        self._width = 552 if width == -1 else width
        self._height = 368 if height == -1 else height
        self._format = format
        self._is_opened = open
        self._shown = 0
        self._written_at = -_PERIOD

    def show(self, img: Image, fit: Fit = Fit.FIT_CONTAIN) -> Err:  # noqa: ARG002
        """Show an image; the file has its own size."""
        _knobs.append_line("SCREEN_LOG", str(self._shown))
        self._shown += 1
        log = _knobs.path("SCREEN_LOG")
        now = time.monotonic()
        if log is not None and now >= self._written_at + _PERIOD:
            self._written_at = now
            # Put in place as a whole, so that no reader gets half an image.
            unfinished = log.with_suffix(".unfinished.png")
            cv2.imwrite(str(unfinished), image2cv(img.to_format(Format.FMT_BGR888)))
            os.replace(unfinished, log.with_suffix(".png"))  # noqa: PTH105
        return Err.ERR_NONE

    def width(self) -> int:
        """Return pixels."""
        return self._width

    def height(self) -> int:
        """Return pixels."""
        return self._height

    def size(self) -> list[int]:
        """Return width and height."""
        return [self._width, self._height]

    def format(self) -> Format:
        """Return the format of the screen."""
        return self._format

    def close(self) -> Err:
        """Close the screen."""
        self._is_opened = False
        return Err.ERR_NONE

    def is_opened(self) -> bool:
        """Tell if it is open."""
        return self._is_opened

    def is_closed(self) -> bool:
        """Tell if it is closed."""
        return not self._is_opened
