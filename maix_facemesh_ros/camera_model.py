"""The former place of `maix_facemesh_ros.camera.model`, for one release."""

import warnings

from maix_facemesh_ros.camera.model import CalibrationError, CameraModel, Region

__all__ = ["CalibrationError", "CameraModel", "Region"]

warnings.warn(
    f"{__name__} has moved: from maix_facemesh_ros import CameraModel",
    DeprecationWarning,
    stacklevel=2,
)
