"""`Image`: pixels with their channel order, stamp and frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import FaceMeshError

#: uint8 (H, W, 3).
Pixels = npt.NDArray[np.uint8]
#: The order of the three channels.
ChannelOrder = Literal["rgb", "bgr"]

_TO_GRAY = {"rgb": cv2.COLOR_RGB2GRAY, "bgr": cv2.COLOR_BGR2GRAY}


class ImageError(FaceMeshError, ValueError):
    """An image that cannot be used; the message gives the reason."""


class Stamp(NamedTuple):
    """The time of an image, as builtin_interfaces/Time."""

    sec: int
    nanosec: int

    @property
    def seconds(self) -> float:
        """The stamp in seconds, for `FaceMesh.process`."""
        return self.sec + self.nanosec * 1e-9

    @property
    def nanoseconds(self) -> int:
        """Both together, exact."""
        return self.sec * 10**9 + self.nanosec

    @classmethod
    def from_seconds(cls, seconds: float) -> Stamp:
        """Return the stamp nearest to a time in seconds, not negative."""
        return cls(*divmod(round(seconds * 1e9), 10**9))


class Levels(NamedTuple):
    """The black and white levels of a 16-bit image."""

    black: int
    white: int

    def __str__(self) -> str:
        return f"{self.black} to {self.white}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Image:
    """An image with its time and, from a topic, its frame."""

    #: uint8 (H, W, 3); not modified. A view of a message's bytes if no conversion was needed.
    pixels: Pixels
    order: ChannelOrder
    #: The stamp of the message; from an image source, on the clock of `time.monotonic`.
    stamp: Stamp
    frame_id: str = ""
    #: Of a 16-bit image: its black and white levels.
    levels: Levels | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.pixels.shape[:2]
        return width, height

    @property
    def rgb(self) -> Pixels:
        """The pixels as red, green, blue; a view."""
        return self.pixels if self.order == "rgb" else self.pixels[:, :, ::-1]

    @property
    def bgr(self) -> Pixels:
        """The pixels as blue, green, red; a view."""
        return self.pixels if self.order == "bgr" else self.pixels[:, :, ::-1]

    def gray_of(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """Return a part or a scaled copy of this image in gray, uint8 (h, w).

        Args:
            pixels: uint8 (h, w, 3), in the channel order of this image.
        """
        return np.asarray(cv2.cvtColor(pixels, _TO_GRAY[self.order]), np.uint8)

    def __repr__(self) -> str:
        width, height = self.size
        stamp = f"{self.stamp.sec}.{self.stamp.nanosec:09d}"
        return f"Image({width}x{height} {self.order}, stamp={stamp}, frame_id={self.frame_id!r})"
