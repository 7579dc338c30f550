"""Landmarks in space as a PointCloud2."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2, PointField

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.ros.result import Result

#: One point: meters in the header's frame, the face's id, and its index in the mesh.
POINT: Any = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("id", "<u4"), ("index", "<u4")])
_FIELDS = [
    PointField(
        name=name,
        offset=POINT.fields[name][1],
        datatype=PointField.FLOAT32 if POINT[name].kind == "f" else PointField.UINT32,
        count=1,
    )
    for name in POINT.names
]


class FaceCloud:
    """Publishes the landmarks of all faces of an image that have a pose, as one cloud."""

    def __init__(self, node: Node) -> None:
        """Announce the topic."""
        self._publisher = node.create_publisher(PointCloud2, "~/points", QoSProfile(depth=2))

    def publish(self, result: Result) -> None:
        """Publish the cloud of one image, also an empty one, if the topic has subscribers."""
        if not self._publisher.get_subscription_count():
            return
        parts = [_points_of(face) for face in result.faces if face.points_3d is not None]
        points = np.concatenate([np.empty(0, POINT), *parts])
        self._publisher.publish(
            PointCloud2(
                header=result.header,
                height=1,
                width=len(points),
                fields=_FIELDS,
                is_bigendian=False,
                point_step=POINT.itemsize,
                row_step=POINT.itemsize * len(points),
                data=array("B", points.tobytes()),
                is_dense=True,
            )
        )


def _points_of(face: Face) -> npt.NDArray[np.void]:
    assert face.points_3d is not None
    points = np.empty(len(face.points_3d), POINT)
    points["x"], points["y"], points["z"] = face.points_3d.T
    points["id"] = face.id
    points["index"] = np.arange(len(points)) if face.indices is None else face.indices
    return points
