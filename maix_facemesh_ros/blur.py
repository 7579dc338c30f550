"""Blurs the faces of images, also for a moment where a face was lost."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels

#: A blurred region is the face's box and landmarks with this part of their larger side around them:
#: hair and ears recognize a person too.
MARGIN = 0.25

#: Seconds for which the region of a lost face stays blurred.
HELD_SECONDS = 1.0

#: Growth of the region of a lost face on each side, in its widths per second: the face may move.
GROWTH = 0.5

#: Squares across a region. Recognition needs some 16 across a face, and a region is half as wide
#: again (L. D. Harmon, The recognition of faces, 1973).
SQUARES = 8


class BlurRegion(NamedTuple):
    """A rectangle in pixels, its lower right corner outside of it."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, face: Face) -> BlurRegion:
        """Return the rectangle around a face's box and landmarks, with the margin."""
        x, y, width, height = face.box
        corners = np.array([[x, y], [x + width, y + height]])
        points = np.concatenate([corners, face.points]) if len(face.points) else corners
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return cls(left, top, right, bottom).grown(MARGIN * max(right - left, bottom - top))

    def grown(self, pixels: float) -> BlurRegion:
        """Return it with some pixels more on each side."""
        return BlurRegion(
            self.left - pixels, self.top - pixels, self.right + pixels, self.bottom + pixels
        )

    def has_center_of(self, other: BlurRegion) -> bool:
        """Tell whether the center of another region is inside."""
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        return self.left <= x < self.right and self.top <= y < self.bottom


class _Held(NamedTuple):
    id: int
    region: BlurRegion
    seconds: float


class FaceBlur:
    """Blurs the faces of a stream of images, and for `HELD_SECONDS` the places of lost ones."""

    def __init__(self) -> None:
        self._held: list[_Held] = []

    def regions(self, faces: Sequence[Face], seconds: float) -> list[BlurRegion]:
        """Return the regions to blur in the next image of the stream.

        Args:
            faces: of this image.
            seconds: time of the image. Backwards or a long way forwards: the stream starts again.
        """
        now = [_Held(face.id, BlurRegion.of(face), seconds) for face in faces]
        ids = {held.id for held in now} - {0}
        self._held = now + [
            held
            for held in self._held
            if 0.0 <= seconds - held.seconds <= HELD_SECONDS
            and held.id not in ids
            and not any(other.region.has_center_of(held.region) for other in now)
        ]
        return [
            region.grown(GROWTH * (region.right - region.left) * (seconds - seen))
            for _, region, seen in self._held
        ]

    def apply(self, pixels: Pixels, faces: Sequence[Face], seconds: float) -> None:
        """Blur the regions of the next image of the stream.

        Args:
            pixels: uint8 (H, W, 3), changed in place.
            faces: of this image.
            seconds: see `regions`.
        """
        for region in self.regions(faces, seconds):
            blur_region(pixels, region)


def blur_region(pixels: Pixels, region: BlurRegion) -> None:
    """Replace a region by a smooth image of `SQUARES` colors across.

    Args:
        pixels: uint8 (H, W, C), changed in place.
        region: the part outside of the image is ignored.
    """
    height, width = pixels.shape[:2]
    left, top = max(0, int(region.left)), max(0, int(region.top))
    right, bottom = min(width, ceil(region.right)), min(height, ceil(region.bottom))
    if left >= right or top >= bottom:
        return
    side = max((region.right - region.left) / SQUARES, 1.0)
    squares = (max(1, int((right - left) / side)), max(1, int((bottom - top) / side)))
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    means = cv2.resize(part, squares, interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(means, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    pixels[top:bottom, left:right] = smooth.reshape(part.shape)
