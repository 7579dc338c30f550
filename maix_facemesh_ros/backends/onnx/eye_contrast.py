"""Whether an eye is visible: the contrast of its white with its iris.

The landmark network gives 478 landmarks with a presence of 1 for eyes behind sunglasses or a hand
too: it guesses them. What an image of an eye has, and an image of a lens or a hand has not, is a
white that is brighter than the iris.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels

#: Landmarks of the right and the left eye: center of the iris, its rim on the side of the outer
#: corner, of the inner corner and below, outer and inner corner.
_LANDMARKS: Final = np.array([[468, 471, 469, 472, 33, 133], [473, 474, 476, 477, 263, 362]])

_IRIS: Final = 8
#: (16, 6): weights of those landmarks in 8 places on the iris (not its upper part, which the lid
#: covers), and in 4 places on the white on each side of it.
_PLACES: Final[FloatArray] = np.array(
    [
        [1.0, 0, 0, 0, 0, 0],
        [0.65, 0.35, 0, 0, 0, 0],
        [0.3, 0.7, 0, 0, 0, 0],
        [0.65, 0, 0.35, 0, 0, 0],
        [0.3, 0, 0.7, 0, 0, 0],
        [0.55, 0, 0, 0.45, 0, 0],
        [0.5, 0.25, 0, 0.25, 0, 0],
        [0.5, 0, 0.25, 0.25, 0, 0],
        *([0, 1 - part, 0, 0, part, 0] for part in (0.15, 0.3, 0.45, 0.6)),
        *([0, 0, 1 - part, 0, 0, part] for part in (0.15, 0.3, 0.45, 0.6)),
    ],
    np.float32,
)
#: Of the 8 places on the white in order of brightness: the upper quartile, because an eye that
#: looks to one side shows its white on the other side only.
_WHITE: Final = 5
#: Gray levels added to the sum of both, so that noise in the dark is not a contrast.
_DARKEST: Final = 16.0


def eye_contrast(image: Pixels, points: FloatArray) -> tuple[float, float]:
    """Return the contrast of the white of each eye with its iris.

    Michelson's contrast of the green channel, (white - iris) / (white + iris): 0.15 to 0.65 for
    nine of ten photographed open eyes, near 0 for what is not an eye.

    Args:
        image: (H, W, 3) uint8, in either channel order.
        points: (478, 2) landmarks in pixels of the image.

    Returns:
        Of the person's right and left eye, -1 to 1.
    """
    # OpenCV counts from the center of the first pixel.
    places = _PLACES @ points[_LANDMARKS] - np.float32(0.5)
    x, y = places[..., 0], places[..., 1]
    colors = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    right, left = colors[..., 1].tolist()
    return _contrast(right), _contrast(left)


def _contrast(levels: list[int]) -> float:
    """Return the contrast of gray levels at the places of one eye."""
    # Sorting 8 numbers takes NumPy ten times as long.
    irises, whites = sorted(levels[:_IRIS]), sorted(levels[_IRIS:])
    # The median is in the middle between the two in the middle.
    iris, white = (irises[3] + irises[4]) / 2, whites[_WHITE]
    return (white - iris) / (white + iris + _DARKEST)
