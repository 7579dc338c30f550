"""Black and white of 16-bit images: which of their values become 0 and 255.

Cameras with 8, 10 or 12 bits fill the lower part of 16 bits, thermal cameras a narrow band
somewhere in it. With the upper 8 of the 16 bits, both are black or gray all over, and no face is
found.

The levels come from the image itself and from nothing before it, so a replay and several workers
give the same as the live node. They change as little as the image does: nothing in the rule jumps.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.image import Levels

#: Percent of the values that may be darker and brighter than the range that the image fills: dead
#: pixels, reflections, lamps.
DARKEST, BRIGHTEST = 0.5, 99.5

#: Room left below and above that range, as parts of it: an image that has no black in it does not
#: get any, unless its range is narrower than what lies below.
ROOM_BELOW, ROOM_ABOVE = 1.0, 1 / 3

#: Values in the range at least: less is the camera's noise.
LEAST_RANGE = 64

#: Approximate number of values that are sampled.
SAMPLE = 40_000

LARGEST = 0xFFFF


#: All 16 bits: the upper 8 of them are used as they are.
FULL = Levels(0, LARGEST)


def levels_of(values: npt.NDArray[np.uint16]) -> Levels:
    """Return the levels for an image: the range that it fills, and some room.

    An image that fills most of 16 bits has `FULL`. Values of 0 do not count: they stand for pixels
    without a measurement, and for the borders of rectified images.

    Args:
        values: uint16 (height, width) or (height, width, channels), a Bayer mosaic too.
    """
    # Odd, so that all four colors of a mosaic are sampled.
    step = 2 * int((values.shape[0] * values.shape[1] / SAMPLE) ** 0.5 / 2) + 1
    sample = values[::step, ::step]
    sample = sample[sample > 0]
    if not sample.size:
        return FULL
    darkest, brightest = np.percentile(sample, (DARKEST, BRIGHTEST))
    width = max(brightest - darkest, LEAST_RANGE)
    return Levels(
        black=round(np.clip(darkest - ROOM_BELOW * width, 0, LARGEST - LEAST_RANGE)),
        white=round(np.clip(brightest + ROOM_ABOVE * width, LEAST_RANGE, LARGEST)),
    )


def to_8_bits(values: npt.NDArray[np.uint16], levels: Levels) -> npt.NDArray[np.uint8]:
    """Return the values as uint8 of the same shape: 0 at the black level, 255 at the white one."""
    if levels == FULL:
        return (values >> 8).astype(np.uint8)
    scale = 255 / (levels.white - levels.black)
    # For a scalar OpenCV takes one number for each channel.
    black: Any = (levels.black,) * 4
    above_black = cv2.subtract(values, black)
    return np.asarray(cv2.convertScaleAbs(above_black, alpha=scale), np.uint8)
