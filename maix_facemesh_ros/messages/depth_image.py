"""Depth images from serialized messages: the values are a view of the bytes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.messages.image import read_image_fields

#: Types of the encodings of depth images (REP-118); mono16 is the name some drivers use.
DEPTH_TYPES: Final = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}


def read_depth_image(message: bytes) -> DepthImage:
    """Read a serialized sensor_msgs/Image with distances.

    Raises:
        ImageError: cut short, another encoding, or a size that does not fit the data.
    """
    stamp, frame_id, height, width, encoding, is_bigendian, step, data = read_image_fields(message)
    if encoding not in DEPTH_TYPES:
        raise ImageError(
            f"the encoding is {encoding[:40]!r}: a depth image has {', '.join(DEPTH_TYPES)}"
        )
    dtype = np.dtype((">" if is_bigendian else "<") + DEPTH_TYPES[encoding])
    if not width or not height:
        raise ImageError(f"the depth image is {width}x{height}: it has no pixels")
    row = width * dtype.itemsize
    if step < row or len(data) < step * (height - 1) + row:
        raise ImageError(
            f"the data has {len(data)} bytes and rows of {step} where {width}x{height} pixels of "
            f"{encoding} need rows of {row}"
        )
    values: npt.NDArray[Any] = np.ndarray(
        (height, width), dtype, data, strides=(step, dtype.itemsize)
    )
    return DepthImage(values, stamp, frame_id)
