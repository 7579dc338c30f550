"""What is to be looked at: markers, cloud and annotated picture, read as their users do."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest
from maix_facemesh_ros.msg import FaceArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray

from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.ros.messages import faces_of
from running_node import Robot, StartNode, image_message
from scenes import plain, scene

pytest_plugins = ["running_node"]

LEFT, RIGHT = (170, 180, 95.0), (470, 170, 120.0)
ASSUMED = "assumed_field_of_view:=65.0"


class Viewer:
    """Keeps what the node shows, as RViz does with markers."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.stamp = 100
        self.received: dict[str, list[Any]] = {}
        #: By namespace and id.
        self.scene: dict[tuple[str, int], Marker] = {}

    def subscribe(self, message_type: type, topic: str) -> None:
        received = self.received[topic] = []
        self._robot.create_subscription(
            message_type, f"facemesh/{topic}", received.append, QoSProfile(depth=10)
        )

    def show(self, picture: Picture) -> tuple[FaceArray, dict[str, Any]]:
        """Send a picture until all that is subscribed to has come for it; return that."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.stamp += 1
            message = image_message(picture, stamp=(self.stamp, 0))
            answer = self._robot.ask(message)
            self._robot.spin_for(0.15)
            found = {topic: self._of(topic, self.stamp) for topic in self.received}
            if all(found.values()):
                for marker in found["markers"].markers if "markers" in found else ():
                    self._apply(marker)
                return answer, found
        raise AssertionError(f"not all of {list(self.received)} have come")

    def _of(self, topic: str, stamp: int) -> Any:
        for message in self.received[topic]:
            markers = getattr(message, "markers", None)
            header = markers[0].header if markers else getattr(message, "header", None)
            if header is not None and header.stamp.sec == stamp:
                return message
        return None

    def _apply(self, marker: Marker) -> None:
        if marker.action == Marker.DELETE:
            del self.scene[marker.ns, marker.id]
        else:
            assert marker.action == Marker.ADD
            self.scene[marker.ns, marker.id] = marker


@pytest.fixture
def viewer(robot: Robot) -> Viewer:
    return Viewer(robot)


def places(marker: Marker) -> Any:
    return np.array([[point.x, point.y, point.z] for point in marker.points])


def test_markers_come_move_and_go(
    start: StartNode, robot: Robot, viewer: Viewer, astronaut: Picture
) -> None:
    start("tracking:=false", "id_timeout:=0.0", ASSUMED, "marker_lifetime:=1.5")
    viewer.subscribe(MarkerArray, "markers")
    robot.wait_for_node()
    everything = {"points", "mesh", "box", "label", "axes"}

    answer, _ = viewer.show(scene(astronaut, LEFT, RIGHT))
    larger, smaller = (face.id for face in answer.faces)
    assert viewer.scene.keys() == {(ns, n) for ns in everything for n in (larger, smaller)}
    before = places(viewer.scene["points", smaller])
    for marker in viewer.scene.values():
        assert marker.header == answer.header
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)
    face = faces_of(answer)[1]
    assert face.points_3d is not None
    np.testing.assert_allclose(before, face.points_3d, atol=1e-6)
    assert viewer.scene["label", smaller].text == f"{smaller}: {face.score:.0%}"
    assert viewer.scene["label", smaller].scale.z > 0.01
    assert len(viewer.scene["axes", smaller].colors) == 6
    # The box stands around the points, as the camera sees it.
    box = places(viewer.scene["box", smaller])
    flat, points = box[:, :2] / box[:, 2:], before[:, :2] / before[:, 2:]
    assert (flat.min(axis=0) <= points.min(axis=0) + 0.05).all()
    assert (flat.max(axis=0) >= points.max(axis=0) - 0.05).all()

    # It moves a little, under the same names, and the other one goes.
    answer, _ = viewer.show(scene(astronaut, (185, 180, 95.0)))
    (face,) = faces_of(answer)
    assert viewer.scene.keys() == {(ns, face.id) for ns in everything}
    moved = places(viewer.scene["points", face.id]) - before
    assert moved[:, 0].mean() > 0.01

    _, found = viewer.show(plain())
    assert {marker.action for marker in found["markers"].markers} == {Marker.DELETE}
    assert viewer.scene == {}


def test_without_pose_markers_stand_on_a_plane(
    start: StartNode, robot: Robot, viewer: Viewer, astronaut: Picture
) -> None:
    start("marker_depth:=2.0", "landmarks_num:=68")
    viewer.subscribe(MarkerArray, "markers")
    robot.wait_for_node()
    answer, _ = viewer.show(scene(astronaut, RIGHT))
    (face,) = faces_of(answer)
    assert {ns for ns, _ in viewer.scene} == {"points", "mesh", "box", "label"}
    points = places(viewer.scene["points", face.id])
    assert points.shape == (68, 3)
    np.testing.assert_allclose(points[:, 0], (face.points[:, 0] / 640 - 0.5) * 2, atol=1e-5)
    np.testing.assert_allclose(points[:, 1], (face.points[:, 1] - 180) / 640 * 2, atol=1e-5)
    nose = int(np.argmax(face.points_z))
    assert points[nose, 2] == points[:, 2].min() < 2.0, "near ones are nearer"
    box = places(viewer.scene["box", face.id])
    assert (box[:, 2] == 2.0).all()


def test_the_cloud_has_metres_ids_and_indices(
    start: StartNode, robot: Robot, viewer: Viewer, astronaut: Picture
) -> None:
    start(ASSUMED, "landmarks_num:=5")
    viewer.subscribe(PointCloud2, "points")
    robot.wait_for_node()
    answer, found = viewer.show(scene(astronaut, LEFT, RIGHT))
    cloud = found["points"]
    assert cloud.header == answer.header
    kinds = {PointField.FLOAT32: "<f4", PointField.UINT32: "<u4"}
    layout = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [kinds[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    points = np.frombuffer(cloud.data, layout)
    assert (cloud.width, cloud.height, cloud.row_step) == (10, 1, 10 * cloud.point_step)
    assert len(points) == 10
    for face in faces_of(answer):
        own = points[points["id"] == face.id]
        assert face.indices is not None
        assert face.points_3d is not None
        assert own["index"].tolist() == face.indices.tolist()
        np.testing.assert_allclose(
            np.column_stack([own["x"], own["y"], own["z"]]), face.points_3d, atol=1e-6
        )
    _, found = viewer.show(plain())
    assert (found["points"].width, len(found["points"].data)) == (0, 0)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_the_annotated_picture_is_the_picture_with_its_faces(
    start: StartNode, robot: Robot, viewer: Viewer, astronaut: Picture, encoding: str
) -> None:
    start("tracking:=false")
    viewer.subscribe(Image, "image_annotated")
    viewer.subscribe(CompressedImage, "image_annotated/compressed")
    robot.wait_for_node()
    rgb = scene(astronaut, LEFT, RIGHT)
    sent = rgb if encoding == "rgb8" else np.ascontiguousarray(rgb[:, :, ::-1])
    viewer.stamp += 1
    deadline = time.monotonic() + 20
    while not all(viewer.received.values()):
        assert time.monotonic() < deadline
        viewer.stamp += 1
        answer = robot.ask(image_message(sent, encoding, stamp=(viewer.stamp, 0)))
        robot.spin_for(0.3)
    drawn = viewer.received["image_annotated"][-1]
    assert drawn.header == answer.header
    assert (drawn.width, drawn.height, drawn.encoding, drawn.step) == (640, 360, "rgb8", 1920)
    pixels = np.frombuffer(drawn.data, np.uint8).reshape(360, 640, 3)
    expected = rgb.copy()
    for face in faces_of(answer):
        draw_face(expected, face, mesh=True, box=True, label=True)
    # All but the corner in which the rate stands.
    assert np.array_equal(pixels[:330], expected[:330])
    assert np.array_equal(pixels[:, 100:], expected[:, 100:])
    assert (expected != rgb).any()
    jpeg = viewer.received["image_annotated/compressed"][-1]
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded[:330, :, ::-1].astype(int) - expected[:330]).mean() < 4
    assert jpeg.header.frame_id == "left_eye"


def test_nothing_is_made_that_nobody_wants(
    start: StartNode, robot: Robot, astronaut: Picture
) -> None:
    """The topics are there, and what they would cost is in no step of a picture."""
    start(ASSUMED)
    robot.wait_for_node()
    picture = image_message(scene(astronaut, LEFT))
    topics = {name for name, _ in robot.get_topic_names_and_types()}
    assert {"/facemesh/markers", "/facemesh/points", "/facemesh/image_annotated"} <= topics

    def milliseconds() -> float:
        robot.next_diagnostics()
        for _ in range(10):
            robot.ask(picture)
        return float(robot.next_diagnostics()["views, median"].split()[0])

    assert milliseconds() < 1.0
    Viewer(robot).subscribe(MarkerArray, "markers")
    Viewer(robot).subscribe(Image, "image_annotated")
    robot.spin_for(1.0)
    assert milliseconds() > 1.0
