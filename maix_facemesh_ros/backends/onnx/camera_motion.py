"""`CameraMotion`: what appears before a moving camera, in thumbnails of a stream's images.

A moving camera changes everything, so changes do not tell a face that appears. Its motion from one
image to the next explains most of them: it is estimated as one shift, scale and rotation of the
whole thumbnail, with the light, by one step of least squares on the gradients (B. Lucas and T.
Kanade, An iterative image registration technique, 1981; from one image to the next the shift is
about a pixel of the thumbnail). A place whose change remains, by far more than elsewhere in the
images before, is worth a search.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.face import FloatArray

#: Something appears where the most that remains is this many times the median of what was the most
#: in the last images, of which there must be some, and where it is this number of gray levels. (In
#: the benchmark without faces in every 12th to 14th image of a moving camera.)
OUTSTANDING, LEAST = 1.5, 5.0
REMEMBERED, FEWEST = 8, 4
#: Next to strong edges more remains than elsewhere: by this part of the gradients, in gray levels
#: per pixel in x and y, summed up.
EDGES = 0.5
#: Side of the mean around each pixel, about a smallest face.
BLUR = (3, 3)
#: Added to the diagonal of the equations, so that a plain image has a solution.
LEAST_GRADIENTS = 1.0


class Appearance(NamedTuple):
    """What appears in a thumbnail, in its pixels."""

    column: int
    row: int
    #: Number of pixels in which at least half as much remains.
    extent: int


class CameraMotion:
    """The motion from each image of a stream to the next."""

    def __init__(self) -> None:
        """Start before the first image."""
        self._last: FloatArray | None = None
        self._number = 0
        self._most: deque[float] = deque(maxlen=REMEMBERED)

    def appearing(self, pixels: FloatArray, number: int) -> Appearance | None:
        """Return what appears in an image that the camera's motion does not explain.

        Args:
            pixels: (h, w) gray levels of a thumbnail at a mean brightness of 128.
            number: of the image; after a gap the motion starts again.

        Returns:
            Where it is; None: nothing stands out.
        """
        last, self._last = self._last, pixels
        is_next, self._number = number == self._number + 1, number
        if last is None or not is_next or last.shape != pixels.shape:
            self._most.clear()
            return None
        remaining = unexplained(last, pixels)
        _, most, _, place = cv2.minMaxLoc(remaining)
        usual = median(self._most) if len(self._most) >= FEWEST else math.inf
        self._most.append(most)
        if most <= max(OUTSTANDING * usual, LEAST):
            return None
        return Appearance(place[0], place[1], np.count_nonzero(remaining > most / 2))


def unexplained(last: FloatArray, pixels: FloatArray) -> FloatArray:
    """Return by how much two thumbnails differ beyond a motion of the whole and the light.

    Args:
        last: (h, w) gray levels.
        pixels: the same of the next image.

    Returns:
        (h, w) gray levels, negative next to strong edges.
    """
    mean = cv2.addWeighted(last, 0.5, pixels, 0.5, 0.0)
    right, down = (
        np.asarray(cv2.Sobel(mean, cv2.CV_32F, *axis, scale=1 / 8), np.float32)
        for axis in ((1, 0), (0, 1))
    )
    x, y = _from_center(pixels.shape)
    explaining = np.stack([right, down, right * x + down * y, down * x - right * y, mean])
    explaining = explaining.reshape(len(explaining), -1)
    difference = np.asarray(cv2.subtract(pixels, last), np.float32)
    # Not numpy's product, for which its library may wake threads that then wait.
    products = cv2.mulTransposed(explaining, False) + LEAST_GRADIENTS * np.eye(len(explaining))
    motion = np.linalg.solve(products, explaining @ difference.ravel()).astype(np.float32)
    remaining = np.abs(difference - (motion @ explaining).reshape(difference.shape))
    remaining -= np.float32(EDGES) * (np.abs(right) + np.abs(down))
    return np.asarray(cv2.blur(remaining, BLUR), np.float32)


@lru_cache(maxsize=2)
def _from_center(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Return how far pixels are from the center: x (1, w) and y (h, 1), in widths of the image."""
    height, width = shape
    x = np.arange(width, dtype=np.float32)[np.newaxis] - np.float32(width / 2)
    y = np.arange(height, dtype=np.float32)[:, np.newaxis] - np.float32(height / 2)
    return x / np.float32(width), y / np.float32(width)
