"""Faces as markers for RViz: points, lines of the mesh, box, id and the head's axes.

With a pose they stand in space where the head is; without, on a plane before the camera.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from maix_facemesh_ros.face import DoubleArray, Face
from maix_facemesh_ros.mesh_connections import FACEMESH_CONTOURS
from maix_facemesh_ros.parameters import LANDMARKS, NodeParameters

#: Sizes in metres of a head at the distance of one metre; on a plane they grow with its distance.
POINT_SIZE = 0.002
LINE_WIDTH = 0.001
TEXT_HEIGHT = 0.04
AXIS_LENGTH = 0.08

#: Red, green, blue and opacity, 0 to 1.
POINT_COLOUR = ColorRGBA(r=0.9, g=1.0, b=1.0, a=1.0)
MESH_COLOUR = ColorRGBA(r=0.3, g=0.8, b=1.0, a=1.0)
BOX_COLOUR = ColorRGBA(r=0.3, g=1.0, b=0.6, a=1.0)
TEXT_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
AXIS_COLOURS = (
    ColorRGBA(r=1.0, a=1.0),
    ColorRGBA(g=1.0, a=1.0),
    ColorRGBA(b=1.0, a=1.0),
)


class FaceMarkers:
    """Publishes the markers of each picture, and takes away those of faces that have gone."""

    def __init__(self, node: Node) -> None:
        """Announce the topic."""
        self._publisher = node.create_publisher(MarkerArray, "~/markers", QoSProfile(depth=2))
        self._shown: set[tuple[str, int]] = set()

    def publish(
        self,
        header: Header,
        size: tuple[int, int],
        faces: Sequence[Face],
        parameters: NodeParameters,
    ) -> None:
        """Publish the markers of one picture's faces, if anybody wants them.

        Args:
            header: the picture's own.
            size: the picture's width and height in pixels.
            faces: those without an id are numbered by their order.
            parameters: those in force.
        """
        if not self._publisher.get_subscription_count():
            self._shown.clear()
            return
        lifetime = _duration(parameters.marker_lifetime)
        markers = []
        for order, face in enumerate(faces):
            for marker in _markers_of(face, size, parameters.marker_depth):
                marker.header, marker.id, marker.lifetime = header, face.id or order, lifetime
                markers.append(marker)
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self._shown - shown)
        ]
        self._shown = shown
        self._publisher.publish(MarkerArray(markers=gone + markers))


def _markers_of(face: Face, size: tuple[int, int], depth: float) -> Iterator[Marker]:
    """Give the markers of one face, without header, id and lifetime."""
    points: npt.NDArray[np.floating]
    if face.pose is not None and face.points_3d is not None:
        points = face.points_3d
        distance = float(face.pose[2, 3])
        box = _box_in_space(face, points, distance)
        above = face.pose[:3, 3] + 0.13 * face.pose[:3, 2]
    else:
        distance = depth
        points = _on_plane(face.points, size, depth)
        points[:, 2] -= face.points_z[: len(points)] * (depth / size[0])
        box = _on_plane(_corners(face), size, depth)
        above = box[:2].mean(axis=0) - (0.0, 0.7 * TEXT_HEIGHT * depth, 0.0)
    if len(points):
        yield _marker("points", Marker.POINTS, points, POINT_COLOUR, POINT_SIZE * distance)
        lines = _mesh_lines(points, face)
        if len(lines):
            yield _marker("mesh", Marker.LINE_LIST, lines, MESH_COLOUR, LINE_WIDTH * distance)
    if len(box):
        yield _marker("box", Marker.LINE_STRIP, box, BOX_COLOUR, LINE_WIDTH * distance)
    yield _label(face, above, TEXT_HEIGHT * distance)
    if face.pose is not None:
        yield _axes(face.pose, LINE_WIDTH * 3 * distance)


def _corners(face: Face) -> DoubleArray:
    """Return (5, 2) pixels around the box, the first corner twice."""
    x, y, width, height = face.box
    right, bottom = x + width, y + height
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom], [x, y]])


def _box_in_space(face: Face, points_3d: npt.NDArray[np.floating], distance: float) -> DoubleArray:
    """Return (5, 3) places around the box, as far away as the head; none without landmarks.

    The landmarks are known in both, in pixels and in space, so they tell where pixels are.
    """
    if len(face.points) < 3:
        return np.zeros((0, 3))
    pixels = np.column_stack([face.points, np.ones(len(face.points))])
    to_rays, *_ = np.linalg.lstsq(pixels, points_3d[:, :2] / points_3d[:, 2:], rcond=None)
    corners = np.column_stack([_corners(face), np.ones(5)])
    return np.column_stack([corners @ to_rays, np.ones(5)]) * distance


def _on_plane(pixels: npt.NDArray[np.floating], size: tuple[int, int], depth: float) -> DoubleArray:
    """Return (N, 3) places of pixels on a plane; the picture is as wide there as it is away."""
    width, height = size
    places = np.full((len(pixels), 3), depth, np.float64)
    places[:, 0] = (pixels[:, 0] / width - 0.5) * depth
    places[:, 1] = (pixels[:, 1] - height / 2) / width * depth
    return places


def _mesh_lines(points: npt.NDArray[np.floating], face: Face) -> DoubleArray:
    """Return (2M, 3) ends of the lines both of whose ends are there."""
    landmarks = np.full((LANDMARKS, 3), math.nan)
    landmarks[slice(len(points)) if face.indices is None else face.indices] = points
    ends = landmarks[FACEMESH_CONTOURS]
    lines: DoubleArray = ends[np.isfinite(ends).all(axis=(1, 2))].reshape(-1, 3)
    return lines


def _marker(
    ns: str, kind: int, points: npt.NDArray[np.floating], colour: ColorRGBA, thickness: float
) -> Marker:
    marker = Marker(ns=ns, type=kind, action=Marker.ADD, color=colour)
    marker.pose.orientation.w = 1.0
    marker.scale = Vector3(x=thickness, y=thickness, z=thickness)
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
    return marker


def _label(face: Face, place: DoubleArray, height: float) -> Marker:
    number = f"{face.id}: " if face.id else ""
    marker = Marker(ns="label", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, color=TEXT_COLOUR)
    marker.text = f"{number}{face.score:.0%}"
    marker.pose.position = Point(x=float(place[0]), y=float(place[1]), z=float(place[2]))
    marker.pose.orientation.w = 1.0
    marker.scale.z = height
    return marker


def _axes(pose: DoubleArray, thickness: float) -> Marker:
    """Return the head's axes from the sellion: x red, y green, z blue, as RViz has them."""
    origin = pose[:3, 3]
    ends = [end for axis in pose[:3, :3].T for end in (origin, origin + AXIS_LENGTH * axis)]
    marker = _marker("axes", Marker.LINE_LIST, np.array(ends), TEXT_COLOUR, thickness)
    marker.colors = [colour for colour in AXIS_COLOURS for _ in range(2)]
    return marker


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(sec=whole, nanosec=int((seconds - whole) * 1e9))
