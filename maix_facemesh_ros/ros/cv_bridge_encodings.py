"""Encodings of sensor_msgs/Image that cv_bridge converts and this package does not.

16 bits a channel in color, and OpenCV's own types. cv_bridge wants the message as a Python object
and copies the pixels, so every encoding in `image_encodings.ENCODINGS` is read without it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from array import array
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.image import Image, ImageError, Levels, Pixels
from maix_facemesh_ros.messages.encodings import unknown_encoding
from maix_facemesh_ros.messages.image import read_image
from maix_facemesh_ros.messages.levels import levels_of, to_8_bits

#: OpenCV's types name no colors, so cv_bridge does not convert them. Their channels are in OpenCV's
#: order, as those of 8UC3 (cv_bridge/src/cv_bridge.cpp, cvtColorForDisplay).
COLORS_OF_TYPES = {"8UC4": "bgra8", "16UC3": "bgr16", "16UC4": "bgra16"}

#: Encodings that every version of cv_bridge for ROS 2 converts, in addition to the table above.
CONVERTED = ("rgb16", "bgr16", "rgba16", "bgra16", *COLORS_OF_TYPES)

#: Characters of a name at most. cv_bridge matches names with std::regex, which overflows the stack
#: with a name of a megabyte.
LONGEST_NAME = 32

#: Converts one pixel.
TRIAL = """
from array import array
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
pixel = Image(height=1, width=1, step=6, encoding="rgb16", data=array("B", bytes(6)))
CvBridge().imgmsg_to_cv2(pixel, "bgr16")
"""
#: Maximum seconds for the trial, on a busy machine.
TRIAL_TIMEOUT = 60.0


class CvBridgeEncoding(NamedTuple):
    """One encoding, as cv_bridge describes it."""

    bridge: Any
    #: cv_bridge's name of the encoding, with colors.
    name: str
    dtype: np.dtype[Any]
    channels: int

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes from one pixel to the next in a row."""
        return self.dtype.itemsize * self.channels

    def to_bgr(
        self, rows: npt.NDArray[np.uint8], width: int, bigendian: bool
    ) -> tuple[Pixels, Levels | None]:
        """Return a uint8 (height, width, 3) image, blue, green, red, and the levels of 16 bits.

        Args:
            rows: uint8 (height, width * bytes_per_pixel), the padding cut off; they may be strided.
            width: pixels in a row.
            bigendian: the upper byte of each channel comes first.

        Raises:
            ImageError: cv_bridge does not convert this encoding to a color image.
        """
        # Without padding, in this machine's byte order: cv_bridge's Python part shifts rows whose
        # padding is not a multiple of a pixel, and with NumPy 2 fails in the other byte order.
        channels = np.ascontiguousarray(rows).view(self.dtype)
        if bigendian != (sys.byteorder == "big"):
            channels = channels.byteswap()
        message = ImageMessage(
            height=len(rows),
            width=width,
            encoding=self.name,
            step=width * self.bytes_per_pixel,
            is_bigendian=int(sys.byteorder == "big"),
            data=array("B", channels.tobytes()),
        )
        is_16_bit = self.dtype == np.uint16
        try:
            image = self.bridge.imgmsg_to_cv2(message, "bgr16" if is_16_bit else "bgr8")
        except Exception as error:  # CvBridgeError, and what OpenCV and NumPy raise below it
            raise ImageError(
                f"{unknown_encoding(self.name)}; cv_bridge does not convert it to color: {error}"
            ) from error
        if not is_16_bit:
            return np.asarray(image, np.uint8), None
        levels = levels_of(image)
        return to_8_bits(image, levels), levels


def read_image_of_any_encoding(message: bytes) -> Image:
    """Read a serialized sensor_msgs/Image, where need be with cv_bridge.

    Raises:
        ImageError: cut short, an encoding that nothing here converts, or a size that does not
            fit the data.
    """
    return read_image(message, cv_bridge_encoding)


@lru_cache(maxsize=8)
def cv_bridge_encoding(name: str) -> CvBridgeEncoding:
    """Return cv_bridge's facts about an encoding.

    Raises:
        ImageError: cv_bridge does not know it, is not installed, or does not work here.
    """
    if len(name) > LONGEST_NAME:
        raise ImageError(unknown_encoding(name))
    reason = why_not_usable()
    if reason:
        more = f"; {reason}" if name in CONVERTED else ""
        raise ImageError(unknown_encoding(name) + more)
    from cv_bridge import CvBridge, CvBridgeError

    bridge = CvBridge()
    color_name = COLORS_OF_TYPES.get(name, name)
    try:
        dtype, channels = bridge.encoding_to_dtype_with_channels(color_name)
    except CvBridgeError as error:
        raise ImageError(
            f"{unknown_encoding(name)}; cv_bridge does not know it: {error}"
        ) from error
    return CvBridgeEncoding(bridge, color_name, np.dtype(dtype), channels)


@lru_cache(maxsize=1)
def why_not_usable() -> str:
    """Return why cv_bridge cannot be used, to be read after "; "; empty if it can.

    A cv_bridge that was built for NumPy 1 ends a process with NumPy 2 with a segmentation fault
    when it converts its first image. So another process converts one pixel first.
    """
    if importlib.util.find_spec("cv_bridge") is None:
        return (
            "cv_bridge converts it, and is not installed: sudo apt install "
            "ros-$ROS_DISTRO-cv-bridge, and start the node again"
        )
    try:
        trial = subprocess.run(
            [sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=TRIAL_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cv_bridge converts it, and could not be tried: {error}"
    if trial.returncode == 0:
        return ""
    said = trial.stderr.strip().splitlines()
    ended = f"signal {-trial.returncode}" if trial.returncode < 0 else (said or ["no message"])[-1]
    return (
        f"cv_bridge converts it, and does not work here: a trial ended with {ended}. NumPy here is "
        f"{np.__version__}; cv_bridge needs the NumPy that it was built with"
    )
