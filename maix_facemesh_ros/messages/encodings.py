"""The encodings of sensor_msgs/Image, and how each becomes an image of three 8-bit channels.

cv_bridge makes the same conversions with the same OpenCV calls, but it wants the whole message as a
Python object first; here the pixels are still where the middleware put them. Names and meaning:
sensor_msgs/include/sensor_msgs/image_encodings.hpp; conversions: cv_bridge/src/cv_bridge.cpp.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.image import ChannelOrder, ImageError, Levels, Pixels
from maix_facemesh_ros.messages.levels import levels_of, to_8_bits
from maix_facemesh_ros.wording import counted


class Encoding(NamedTuple):
    """Memory layout of one encoding, and its conversion to an image."""

    #: Channels of a pixel in memory.
    channels: int
    #: `cv2.COLOR_...` to three channels, or None when these are three channels already.
    conversion: int | None
    #: Channel order of the resulting image.
    order: ChannelOrder = "rgb"
    #: 16 bits a channel, of which `image_levels` makes 8.
    is_16_bit: bool = False
    #: Rows of data for two rows of pixels: 3 where a half-size color plane follows the gray one.
    rows_per_two: int = 2

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes from one pixel to the next in a row."""
        return self.channels * (2 if self.is_16_bit else 1)


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's
# first two: rggb is OpenCV's "BG".
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, None),
    "bgr8": Encoding(3, None, order="bgr"),
    "8UC3": Encoding(3, None, order="bgr"),
    "rgba8": Encoding(4, cv2.COLOR_RGBA2RGB),
    "bgra8": Encoding(4, cv2.COLOR_BGRA2RGB),
    "mono8": Encoding(1, cv2.COLOR_GRAY2RGB),
    "8UC1": Encoding(1, cv2.COLOR_GRAY2RGB),
    "mono16": Encoding(1, cv2.COLOR_GRAY2RGB, is_16_bit=True),
    "16UC1": Encoding(1, cv2.COLOR_GRAY2RGB, is_16_bit=True),
    "yuv422": Encoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": Encoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": Encoding(2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": Encoding(2, cv2.COLOR_YUV2RGB_YUY2),
    "nv21": Encoding(1, cv2.COLOR_YUV2RGB_NV21, rows_per_two=3),
    "nv12": Encoding(1, cv2.COLOR_YUV2RGB_NV12, rows_per_two=3),
    **{f"bayer_{name}8": Encoding(1, code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": Encoding(1, code, is_16_bit=True) for name, code in _BAYER.items()},
}


def to_image(
    rows: npt.NDArray[np.uint8], width: int, encoding: Encoding, bigendian: bool
) -> tuple[Pixels, Levels | None]:
    """Return a uint8 (height, width, 3) image, and the levels of one with 16 bits.

    The image is a view if no conversion is needed.

    Args:
        rows: (rows, width * bytes_per_pixel) bytes, their padding cut off; they may be strided.
        width: pixels in a row.
        encoding: layout of the bytes.
        bigendian: the upper byte of 16-bit channels comes first.

    Raises:
        ImageError: OpenCV cannot convert an image of this size, such as an odd one of yuv422.
    """
    levels = None
    if encoding.is_16_bit:
        values = np.ascontiguousarray(rows).view(">u2" if bigendian else "<u2").astype(np.uint16)
        levels = levels_of(values)
        rows = to_8_bits(values, levels)
    if encoding.channels > 1:
        rows = rows.reshape(len(rows), width, encoding.channels)
    if encoding.conversion is None:
        return rows, None
    try:
        return np.asarray(cv2.cvtColor(rows, encoding.conversion), np.uint8), levels
    except cv2.error as error:
        raise ImageError(
            f"OpenCV cannot convert {counted(len(rows), 'row')} of data, {width} pixels wide: "
            f"{error.err}"
        ) from error


#: Encodings that OpenCV names by their numbers (sensor_msgs/image_encodings.hpp), such as 32FC1.
_NUMBERS = re.compile(r"(8S|16S|32S|32F|64F)C[0-9]+")


def unknown_encoding(name: str) -> str:
    """Return why an encoding that is not in `ENCODINGS` cannot be used."""
    known = f"known are {', '.join(ENCODINGS)}"
    if _NUMBERS.fullmatch(name):
        kind = "floating-point" if "F" in name else "signed"
        return (
            f"the encoding is {name[:40]!r}, {kind} numbers, as of distances: without a range of "
            f"brightness they are not an image to find faces in; {known}"
        )
    return f"the encoding is {name[:40]!r}: {known}"
