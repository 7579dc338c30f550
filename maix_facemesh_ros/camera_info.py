"""The former place of `maix_facemesh_ros.camera.calibration`, for one release."""

import warnings

from maix_facemesh_ros.camera.calibration import (
    FileCalibration,
    camera_of,
    check_camera_info,
    is_rectified,
    read_calibration,
)

__all__ = ["FileCalibration", "camera_of", "check_camera_info", "is_rectified", "read_calibration"]

warnings.warn(
    f"{__name__} has moved: from maix_facemesh_ros.camera.calibration import read_calibration",
    DeprecationWarning,
    stacklevel=2,
)
