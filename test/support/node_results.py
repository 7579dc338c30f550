"""Results as the node's publishers get them, made without images and networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.result import Result

STAMP = Stamp(1, 2)


def result_of(
    faces: Sequence[Face] = (),
    *,
    size: tuple[int, int] = (640, 480),
    stamp: Stamp = STAMP,
    frame_id: str = "camera",
    rgb: Pixels | None = None,
    jpeg: bytes | None = None,
    has_faces: bool = True,
    **values: Any,
) -> Result:
    """Return a result; `values` are the node's parameters."""
    image = None if rgb is None else Image(rgb, "rgb", stamp, frame_id)
    parameters = NodeParameters(**values)
    return Result(stamp, frame_id, size, faces, None, parameters, image, jpeg, has_faces)
