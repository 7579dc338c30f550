"""`DepthImage`: distances of an image's pixels, and `DepthBuffer`, the latest of a stream."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import ArgumentTypeError
from maix_facemesh_ros.image import Stamp

#: Meters per unit of each kind of values (REP-118).
UNITS: Final = {"u2": 0.001, "f4": 1.0}

#: Maximum seconds between the stamps of an image and of its depth image.
STAMP_TOLERANCE: Final = 0.05
#: Depth images that are kept: those of a fifth of a second.
KEPT_IMAGES: Final = 6

#: Stamps that are nearer than this are the same; seconds since 1970 in 64 bits are exact to 2e-7.
_SAME_STAMP: Final = 1e-6


class Projection(Protocol):
    """Where the points of space are in an image, as `CameraModel` knows it."""

    def project(self, points_3d: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return (N, 2) pixels of (N, 3) points; NaN for those that the camera does not see."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DepthImage:
    """Distances along the optical axis of the camera that took an image.

    It is aligned with the image, as drivers of depth cameras call it: both have the same optical
    center and axes. The resolution may be another one.

    Raises:
        ArgumentTypeError: the values are of another type or shape.
    """

    #: (H, W): uint16 millimeters or float32 meters; 0, NaN and infinite where nothing was measured.
    #: Not modified; a view of a message's bytes.
    values: npt.NDArray[Any]
    stamp: Stamp = Stamp(0, 0)  # noqa: RUF009
    frame_id: str = ""
    #: Model of this image; None: it shows what the image shows, pixel for pixel or scaled.
    camera: Projection | None = None

    def __post_init__(self) -> None:
        values = self.values
        kind = f"{values.dtype.kind}{values.dtype.itemsize}"
        if kind not in UNITS or values.ndim != 2 or not values.size:
            raise ArgumentTypeError(
                f"the depth image is {values.dtype} of shape {values.shape}: give uint16 "
                "millimeters or float32 meters of shape (height, width)"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.values.shape
        return width, height

    def meters_at(self, pixels: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the (N,) distances at (N, 2) pixels; 0 where there is none."""
        width, height = self.size
        x, y = pixels.T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        meters = np.zeros(len(pixels))
        unit = UNITS[f"{self.values.dtype.kind}{self.values.dtype.itemsize}"]
        rows, columns = y[inside].astype(np.intp), x[inside].astype(np.intp)
        meters[inside] = self.values[rows, columns] * np.float64(unit)
        meters[~np.isfinite(meters)] = 0.0
        return meters

    def __repr__(self) -> str:
        width, height = self.size
        return f"DepthImage({width}x{height} {self.values.dtype}, stamp={self.stamp.seconds:.9f})"


class DepthBuffer:
    """The latest depth images of a stream, found by the stamps of their images.

    One thread may add images while another one asks for them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: deque[DepthImage] = deque(maxlen=KEPT_IMAGES)
        #: Number of images in a row without a depth image, and seconds to the nearest one.
        self.unmatched = 0
        self.gap = 0.0

    def add(self, image: DepthImage) -> None:
        """Keep an image, and forget the oldest one."""
        with self._lock:
            if self._images and image.stamp < self._images[-1].stamp:
                self._images.clear()  # A clock that was set back, or a bag that starts again.
            self._images.append(image)

    def clear(self) -> None:
        """Forget all images."""
        with self._lock:
            self._images.clear()

    @property
    def latest(self) -> DepthImage | None:
        """The last image that was added."""
        with self._lock:
            return self._images[-1] if self._images else None

    def at(self, seconds: float) -> DepthImage | None:
        """Return the depth image of an image.

        It is the one with the same stamp or, where there is none, the nearest one within
        `STAMP_TOLERANCE`.

        Args:
            seconds: stamp of the image.

        Returns:
            None while a nearer depth image may still come, and where there is none.
        """
        with self._lock:
            images: Sequence[DepthImage] = list(self._images)
        if not images:
            return None
        gaps = [image.stamp.seconds - seconds for image in images]
        nearest = min(range(len(images)), key=lambda index: abs(gaps[index]))
        is_final = abs(gaps[nearest]) < _SAME_STAMP or gaps[-1] > 0.0
        if is_final and abs(gaps[nearest]) <= STAMP_TOLERANCE:
            self.unmatched = 0
            return images[nearest]
        self.unmatched, self.gap = self.unmatched + 1, abs(gaps[nearest])
        return None
