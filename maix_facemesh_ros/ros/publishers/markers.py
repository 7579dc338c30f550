"""Faces as markers for RViz: points, mesh, contours, box, label, the head's axes and the gaze.

With a pose they are at the head's 3D position; without, on a plane in front of the camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from maix_facemesh_ros.analysis.attention import MAIN_PERSON, attention_words
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray, Face, Gaze
from maix_facemesh_ros.mesh.connections import (
    FACEMESH_CONTOURS,
    FACEMESH_IRISES,
    FACEMESH_TESSELATION,
    each_line_once,
)
from maix_facemesh_ros.mesh.landmark_subsets import LANDMARKS
from maix_facemesh_ros.ros.publishers.attention import AttentionOfResults
from maix_facemesh_ros.ros.result import Result

#: Sizes in meters of a head at the distance of one meter; they scale with its distance, so that
#: what is far away can still be seen (`_enlargement`). RViz draws a line that is less than a pixel
#: wide as dashes. A pixel of a window of 700 is 1.2 mm wide one meter from the viewer, and the
#: viewer of rviz/facemesh.rviz is half a meter before the first face.
POINT_SIZE = 0.003
MESH_WIDTH = 0.0013
LINE_WIDTH = 0.002
AXIS_WIDTH = 0.004
TEXT_HEIGHT = 0.018
#: Part of these sizes that does not change with the distance, as the viewer does not come nearer
#: with the head.
CONSTANT_PART = 0.3

#: Of the gaze's arrow, in meters at the distance of one meter: the width of its shaft, the width of
#: its head and the head's length. RViz lights it from the viewer: a head wider than long is bright
#: when it points at the viewer, where a slender one shows only its dark side.
GAZE_SHAFT_WIDTH = 0.006
GAZE_HEAD_WIDTH = 0.024
GAZE_HEAD_LENGTH = 0.015

#: Lengths in meters, whatever the distance: those of things in space.
AXIS_LENGTH = 0.1
GAZE_LENGTH = 0.2
#: From the eyes to the label, above the head.
LABEL_HEIGHT = 0.14

#: Red, green, blue and opacity, 0 to 1.
POINT_COLOR = ColorRGBA(r=0.9, g=1.0, b=1.0, a=1.0)
MESH_COLOR = ColorRGBA(r=0.35, g=0.75, b=1.0, a=0.8)
CONTOUR_COLOR = ColorRGBA(r=1.0, g=0.8, b=0.35, a=1.0)
BOX_COLOR = ColorRGBA(r=0.3, g=1.0, b=0.6, a=1.0)
MAIN_BOX_COLOR = ColorRGBA(r=1.0, g=0.9, b=0.3, a=1.0)
TEXT_COLOR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
GAZE_COLOR = ColorRGBA(r=1.0, g=0.45, b=0.1, a=1.0)
AXIS_COLORS = (
    ColorRGBA(r=1.0, a=1.0),
    ColorRGBA(g=1.0, a=1.0),
    ColorRGBA(b=1.0, a=1.0),
)

_MESH_LINES = each_line_once(FACEMESH_TESSELATION)
_CONTOUR_LINES = each_line_once(np.concatenate([FACEMESH_CONTOURS, FACEMESH_IRISES]))


class _Place(NamedTuple):
    """Positions of the parts of one face, in meters in the camera's frame."""

    #: (N, 3) landmarks.
    landmarks: npt.NDArray[np.floating]
    #: (5, 3) round the box, the first corner twice.
    box: DoubleArray
    #: (3,) the label's.
    label: DoubleArray
    #: How far away it is, for the sizes of points, lines and text.
    distance: float


class FaceMarkers:
    """Publishes the markers of each image, and deletes those of lost faces."""

    def __init__(self, node: Node, attention: AttentionOfResults) -> None:
        """Announce the topic.

        Args:
            node: has the topic.
            attention: is written on the labels.
        """
        self._attention = attention
        self._publisher = node.create_publisher(MarkerArray, "~/markers", QoSProfile(depth=2))
        self._shown: set[tuple[str, int]] = set()

    def publish(self, result: Result) -> None:
        """Publish the markers of one image's faces, if the topic has subscribers.

        A marker has the id of its face; faces without one are -1, -2, … in their order.
        """
        if not self._publisher.get_subscription_count():
            # A later subscriber starts with an empty scene.
            self._shown.clear()
            return
        header, parameters = result.header, result.parameters
        camera = result.camera or _camera_of_plane(*result.size)
        lifetime = _duration(parameters.marker_lifetime)
        words = attention_words(self._attention.of(result))
        markers = []
        for order, face in enumerate(result.faces):
            for marker in _markers_of(
                face, camera, parameters.marker_depth, words.get(face.id, ())
            ):
                marker.header, marker.lifetime = header, lifetime
                marker.id = face.id or -1 - order
                markers.append(marker)
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self._shown - shown)
        ]
        self._shown = shown
        self._publisher.publish(MarkerArray(markers=gone + markers))


@lru_cache(maxsize=1)
def _camera_of_plane(width: int, height: int) -> CameraModel:
    """Return the camera of an image that is as wide on a plane as the plane is away."""
    return CameraModel.from_field_of_view(width, height, float(np.degrees(2 * np.arctan(0.5))))


def _markers_of(
    face: Face, camera: CameraModel, depth: float, words: Sequence[str]
) -> Iterator[Marker]:
    """Yield the markers of one face, without header, id and lifetime; the label has the words."""
    in_space = face.pose is not None and face.points_3d is not None
    place = _place_in_space(face, camera) if in_space else _place_on_plane(face, camera, depth)
    enlargement = _enlargement(place.distance)
    points = _point_messages(place.landmarks)
    finite = np.isfinite(place.landmarks).all(axis=1)
    rows = _row_of_landmark(face, finite)
    for ns, lines, color, width in (
        ("mesh", _MESH_LINES, MESH_COLOR, MESH_WIDTH),
        ("contours", _CONTOUR_LINES, CONTOUR_COLOR, LINE_WIDTH),
    ):
        joined = rows[lines]
        ends = joined[(joined >= 0).all(axis=1)].ravel().tolist()
        if ends:
            # Lines share their points: a separate message for each end would
            # take most of the time.
            of_lines = [points[end] for end in ends]
            yield _marker(ns, Marker.LINE_LIST, of_lines, color, width * enlargement)
    if finite.any():
        shown = [points[row] for row in np.flatnonzero(finite).tolist()]
        yield _marker("points", Marker.POINTS, shown, POINT_COLOR, POINT_SIZE * enlargement)
    if np.isfinite(place.box).all():
        box = _point_messages(place.box)
        color = MAIN_BOX_COLOR if MAIN_PERSON in words else BOX_COLOR
        yield _marker("box", Marker.LINE_STRIP, box, color, LINE_WIDTH * enlargement)
    if np.isfinite(place.label).all():
        yield _label(face, place.label, TEXT_HEIGHT * enlargement, words)
    if in_space:
        assert face.pose is not None
        yield _axes(face.pose, AXIS_WIDTH * enlargement)
        if face.gaze is not None:
            yield _gaze_arrow(face.gaze, enlargement)


def _enlargement(distance: float) -> float:
    """Return the scale of lines, points and text at a distance, relative to one meter."""
    return CONSTANT_PART + (1 - CONSTANT_PART) * distance


def _place_in_space(face: Face, camera: CameraModel) -> _Place:
    """Positions by the head pose; the box is around the head, at its distance."""
    assert face.pose is not None
    assert face.points_3d is not None
    above = face.pose[:3, 3] + LABEL_HEIGHT * face.pose[:3, 2]
    distance = float(face.pose[2, 3])
    return _Place(face.points_3d, _at(camera, _corners(face), distance), above, distance)


def _place_on_plane(face: Face, camera: CameraModel, depth: float) -> _Place:
    """Positions on a plane in front of the camera, plus the relative depths of the landmarks."""
    landmarks = _at(camera, face.points, depth)
    if len(landmarks):
        landmarks[:, 2] -= face.points_z * (depth / camera.matrix[0, 0])
    box = _at(camera, _corners(face), depth)
    above = box[:2].mean(axis=0) - (0.0, TEXT_HEIGHT * _enlargement(depth), 0.0)
    return _Place(landmarks, box, above, depth)


def _at(camera: CameraModel, pixels: npt.NDArray[np.floating], depth: float) -> DoubleArray:
    """Return (N, 3) positions of pixels at a depth in meters; NaN outside the lens model."""
    return np.column_stack([camera.rays(pixels), np.ones(len(pixels))]) * depth


def _corners(face: Face) -> DoubleArray:
    """Return (5, 2) pixels around the box, the first corner twice."""
    x, y, width, height = face.box
    right, bottom = x + width, y + height
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom], [x, y]])


def _row_of_landmark(face: Face, finite: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return (478,) for each mesh index the row of its place, or -1 without a finite one."""
    rows = np.full(LANDMARKS, -1)
    indices = np.arange(len(finite)) if face.indices is None else face.indices[: len(finite)]
    rows[indices] = np.where(finite, np.arange(len(finite)), -1)
    return rows


def _point_messages(places: npt.NDArray[np.floating]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in places.tolist()]


def _marker(ns: str, kind: int, points: list[Point], color: ColorRGBA, thickness: float) -> Marker:
    marker = Marker(ns=ns, type=kind, action=Marker.ADD, color=color, points=points)
    marker.pose.orientation.w = 1.0
    marker.scale = Vector3(x=thickness, y=thickness, z=thickness)
    return marker


def _label(face: Face, place: DoubleArray, height: float, words: Sequence[str]) -> Marker:
    marker = _marker("label", Marker.TEXT_VIEW_FACING, [], TEXT_COLOR, height)
    number = f"{face.id}: " if face.id else ""
    facts = f"{number}{face.score:.0%}{_distance_text(face)}"
    # RViz centers the text at its place; a second line would reach into the face.
    marker.text = ", ".join([facts, *words])
    x, y, z = place.tolist()
    marker.pose.position = Point(x=x, y=y, z=z)
    return marker


def _distance_text(face: Face) -> str:
    """Return the distance of a head; with a tilde where its size is assumed."""
    if face.pose is None:
        return ""
    about = "~" if face.scale_source == "assumed" else ""
    return f", {about}{np.linalg.norm(face.pose[:3, 3]):.2f} m"


def _axes(pose: DoubleArray, thickness: float) -> Marker:
    """Return the head's axes from the sellion: x red, y green, z blue, as RViz has them."""
    origin = pose[:3, 3]
    ends = [end for axis in pose[:3, :3].T for end in (origin, origin + AXIS_LENGTH * axis)]
    points = _point_messages(np.array(ends))
    marker = _marker("axes", Marker.LINE_LIST, points, TEXT_COLOR, thickness)
    marker.colors = [color for color in AXIS_COLORS for _ in range(2)]
    return marker


def _gaze_arrow(gaze: Gaze, enlargement: float) -> Marker:
    """Return an arrow from between the eyes in the gaze direction."""
    ends = np.array([gaze.origin, gaze.origin + GAZE_LENGTH * gaze.direction])
    marker = _marker("gaze", Marker.ARROW, _point_messages(ends), GAZE_COLOR, 0.0)
    x, y, z = enlargement * np.array((GAZE_SHAFT_WIDTH, GAZE_HEAD_WIDTH, GAZE_HEAD_LENGTH))
    marker.scale = Vector3(x=x, y=y, z=z)
    return marker


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(sec=whole, nanosec=int((seconds - whole) * 1e9))
