"""The former place of `maix_facemesh_ros.ros.replay.golden`, for one release."""

import warnings

from maix_facemesh_ros.ros.replay.golden import GoldenFaces

__all__ = ["GoldenFaces"]

warnings.warn(
    f"{__name__} has moved: from maix_facemesh_ros.ros.replay.golden import GoldenFaces",
    DeprecationWarning,
    stacklevel=2,
)
