"""Cameras from sensor_msgs/CameraInfo, whatever library has read the message."""

from __future__ import annotations

import re
from typing import Any

from maix_facemesh_ros.camera_model import CameraModel, Region


def camera_of(message: Any, *, rectified: bool) -> CameraModel:
    """Return the camera that a CameraInfo describes.

    Args:
        message: with the fields of sensor_msgs/msg/CameraInfo.
        rectified: the pictures are without distortion, as the message's P describes them.

    Raises:
        CalibrationError: it describes none.
    """
    binning = (message.binning_x, message.binning_y)
    part = message.roi
    region = Region(part.x_offset, part.y_offset, part.width, part.height)
    size = (message.width, message.height)
    if rectified:
        return CameraModel.from_projection(*size, message.p, binning=binning, region=region)
    return CameraModel.from_calibration(
        *size, message.k, message.d, message.distortion_model, binning=binning, region=region
    )


def is_rectified(topic: str, rectified: str) -> bool:
    """Tell if the pictures on a topic are rectified.

    Args:
        topic: its full name.
        rectified: the parameter of this name: yes, no, or auto, by the topic's name.
    """
    if rectified != "auto":
        return rectified == "yes"
    return re.search(r"/image_rect[^/]*(/compressed)?$", topic) is not None
