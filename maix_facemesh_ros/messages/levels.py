"""Black and white levels of 16-bit images: the values that become 0 and 255.

Cameras with 8, 10 or 12 bits fill the lower part of 16 bits, thermal cameras a narrow band
anywhere. The upper 8 of the 16 bits of such an image are all black or gray, and no face is found.

The levels depend on the image alone and not on previous ones, so a replay and several workers give
the same result as the live node. The rule is continuous: similar images have similar levels.
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

#: Margin below and above that range, as fractions of it: an image without black does not get any,
#: unless its range is narrower than the part below it.
ROOM_BELOW, ROOM_ABOVE = 1.0, 1 / 3

#: Values in the range at least: less is the camera's noise.
LEAST_RANGE = 64

#: Approximate number of values that are sampled.
SAMPLE = 40_000

LARGEST = 0xFFFF


#: All 16 bits: the upper 8 of them are used unchanged.
FULL = Levels(0, LARGEST)


def levels_of(values: npt.NDArray[np.uint16]) -> Levels:
    """Return the levels for an image: the range that it fills, and some room.

    An image that fills most of 16 bits has `FULL`. Values of 0 are ignored: they mark pixels
    without a measurement, and the borders of rectified images.

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
