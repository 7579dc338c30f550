"""Stands in for cv_bridge, which has no wheel: what its CvBridge does with the messages of a test.

Compared with vision_opencv's own, built from its source: the same results, and the same refusals.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

DTYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
#: Encoding: its dtype, channels, and the conversion to blue, green, red.
COLORS = {
    f"{name}{bits}": (dtype, channels, conversion)
    for bits, dtype in ((8, np.uint8), (16, np.uint16))
    for name, channels, conversion in (
        ("mono", 1, cv2.COLOR_GRAY2BGR),
        ("bgr", 3, None),
        ("rgb", 3, cv2.COLOR_RGB2BGR),
        ("bgra", 4, cv2.COLOR_BGRA2BGR),
        ("rgba", 4, cv2.COLOR_RGBA2BGR),
    )
}


class CvBridgeError(TypeError):
    """A message that cannot be converted."""


class CvBridge:
    """Converts messages as cv_bridge does, to bgr8 and bgr16 only."""

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        if encoding in COLORS:
            dtype, channels, _ = COLORS[encoding]
            return np.dtype(dtype).name, channels
        generic = re.fullmatch("(8U|8S|16U|16S|32S|32F|64F)C([0-9]+)", encoding)
        if generic is None:
            raise CvBridgeError(f"Unrecognized image encoding [{encoding}]")
        return np.dtype(DTYPES[generic[1]]).name, (int(generic[2]) - 1) % 512 + 1

    def imgmsg_to_cv2(
        self, message: Any, desired_encoding: str = "passthrough"
    ) -> npt.NDArray[Any]:
        name, channels = self.encoding_to_dtype_with_channels(message.encoding)
        dtype = np.dtype(name)
        if message.is_bigendian == (sys.byteorder == "little"):
            raise AttributeError("`newbyteorder` was removed from the ndarray class in NumPy 2.0.")
        # As there: padding is taken for whole pixels.
        shape = (message.height, message.step // dtype.itemsize // channels, channels)
        image: npt.NDArray[Any] = np.ndarray(shape, dtype, message.data)[:, : message.width]
        if desired_encoding in ("passthrough", message.encoding):
            return image
        if message.encoding not in COLORS:
            raise CvBridgeError(
                f"[{message.encoding}] is not a color format. but [{desired_encoding}] is. The "
                "conversion does not make sense"
            )
        assert desired_encoding == ("bgr16" if dtype == np.uint16 else "bgr8")
        conversion = COLORS[message.encoding][2]
        image = np.ascontiguousarray(image)
        return image if conversion is None else np.asarray(cv2.cvtColor(image, conversion))
