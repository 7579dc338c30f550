"""The views: markers, cloud and annotated image, read as their users do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray

from maix_facemesh_ros.analysis.attention import AttentionEstimator
from maix_facemesh_ros.blur import FaceBlur
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.mesh.connections import FACEMESH_CONTOURS
from maix_facemesh_ros.msg import FaceArray, FaceAttentionArray
from maix_facemesh_ros.ros.diagnostic_keys import ANSWERED, ARRIVED, NOT_ANSWERED
from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode
from maix_facemesh_ros.ros.images import TopicImages
from maix_facemesh_ros.ros.inputs import FaceMeshInput
from maix_facemesh_ros.ros.messages import faces_of
from maix_facemesh_ros.ros.publishers import annotated_image
from maix_facemesh_ros.ros.publishers import cloud as face_cloud
from maix_facemesh_ros.ros.publishers import markers as face_markers
from maix_facemesh_ros.ros.result import Result
from node_in_this_process import node_in_this_process
from running_node import TIMEOUT, Robot, StartNode, image_message
from scenes import plain, scene

pytest_plugins = ["running_node"]

LEFT, RIGHT = (170, 180, 95.0), (470, 170, 120.0)
ASSUMED = "assumed_field_of_view:=65.0"
CAMERA = CameraModel.from_field_of_view(640, 360, 65.0)
IN_SPACE = {"points", "mesh", "contours", "box", "label", "axes"}
ON_A_PLANE = IN_SPACE - {"axes"}

TOPICS = {
    "markers": MarkerArray,
    "points": PointCloud2,
    "image_annotated": Image,
    "image_annotated/compressed": CompressedImage,
    "image_blurred": Image,
    "image_blurred/compressed": CompressedImage,
    "attention": FaceAttentionArray,
}


class Viewer:
    """Keeps what the node shows, as RViz does with markers."""

    def __init__(self, robot: Robot, *topics: str) -> None:
        self._robot = robot
        self.received: dict[str, list[Any]] = {topic: [] for topic in topics}
        #: By namespace and id.
        self.scene: dict[tuple[str, int], Marker] = {}
        #: Namespace and id of each marker that was taken away.
        self.deleted: list[tuple[str, int]] = []
        for topic in topics:
            robot.create_subscription(
                TOPICS[topic], f"facemesh/{topic}", self._taking(topic), QoSProfile(depth=10)
            )

    def _taking(self, topic: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            self.received[topic].append(message)
            for marker in getattr(message, "markers", ()):
                self._apply(marker)

        return take

    def _apply(self, marker: Marker) -> None:
        if marker.action == Marker.DELETE:
            self.scene.pop((marker.ns, marker.id), None)
            self.deleted.append((marker.ns, marker.id))
        else:
            assert marker.action == Marker.ADD
            self.scene[marker.ns, marker.id] = marker

    def show(self, message: Image) -> tuple[FaceArray, dict[str, Any]]:
        """Send an image until all that is subscribed to has come for it; return that."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            # An image may be lost on its way, and a subscription may not be known to the node yet.
            message.header.stamp.sec += 1
            self.deleted.clear()
            self._robot.answers.clear()
            for messages in self.received.values():
                messages.clear()
            self._robot.images.publish(message)
            patience = time.monotonic() + 1.0
            while time.monotonic() < patience:
                self._robot.spin_for(0.02)
                answers = (a for a in self._robot.answers if a.header == message.header)
                if (answer := next(answers, None)) and (found := self._of(answer)):
                    return answer, found
        raise AssertionError(f"not all of {list(self.received)} have come")

    def _of(self, answer: FaceArray) -> dict[str, Any]:
        """Return the views of the answered image by topic; nothing unless all are there."""
        found = {
            topic: next((message for message in messages if _is_of(message, answer)), None)
            for topic, messages in self.received.items()
        }
        return found if None not in found.values() else {}


def _is_of(message: Any, answer: FaceArray) -> bool:
    markers = getattr(message, "markers", None)
    if markers is None:
        return bool(message.header == answer.header)
    if not markers:
        # Nothing in it says of which image it is.
        return not answer.faces
    return bool(markers[0].header == answer.header)


def places(marker: Marker) -> Any:
    return np.array([[point.x, point.y, point.z] for point in marker.points])


def names(faces: list[Face], namespaces: set[str]) -> set[tuple[str, int]]:
    return {(ns, face.id) for ns in namespaces for face in faces}


def test_markers_come_move_and_go(start: StartNode, robot: Robot, astronaut: Pixels) -> None:
    start("tracking:=false", "id_timeout:=60.0", ASSUMED, "marker_lifetime:=1.5", "gaze:=true")
    viewer = Viewer(robot, "markers")
    robot.wait_for_node()
    namespaces = IN_SPACE | {"gaze"}

    answer, _ = viewer.show(image_message(scene(astronaut, LEFT, RIGHT)))
    both = faces_of(answer)
    larger, smaller = (face.id for face in both)
    assert viewer.scene.keys() == names(both, namespaces)
    assert viewer.deleted == []
    before = places(viewer.scene["points", smaller])
    for marker in viewer.scene.values():
        assert marker.header == answer.header
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)
    face = both[1]
    assert face.points_3d is not None
    assert face.pose is not None
    assert face.gaze is not None
    np.testing.assert_allclose(before, face.points_3d, atol=1e-6)
    away = np.linalg.norm(face.pose[:3, 3])
    label = viewer.scene["label", smaller].text
    assert label.startswith(f"{smaller}: {face.score:.0%}, ~{away:.2f} m"), "an assumed size"
    # The larger head is nearer: the main person.
    assert "main person" not in label
    assert "main person" in viewer.scene["label", larger].text
    assert viewer.scene["box", larger].color.b < viewer.scene["box", smaller].color.b
    assert viewer.scene["label", smaller].scale.z > 0.01
    # The mesh is MediaPipe's: its 1322 lines, each from landmark to landmark.
    mesh = places(viewer.scene["mesh", smaller])
    assert mesh.shape == (2 * 1322, 3)
    assert {*map(tuple, mesh.round(6).tolist())} <= {*map(tuple, before.round(6).tolist())}
    # Red, green and blue are the columns of the pose, from the sellion.
    axes = viewer.scene["axes", smaller]
    ends = places(axes)
    np.testing.assert_allclose(ends[::2], np.tile(face.pose[:3, 3], (3, 1)), atol=1e-6)
    np.testing.assert_allclose((ends[1::2] - ends[::2]).T / 0.1, face.pose[:3, :3], atol=1e-6)
    assert [(c.r, c.g, c.b) for c in axes.colors[::2]] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    eyes, looked_at = places(viewer.scene["gaze", smaller])
    np.testing.assert_allclose(eyes, face.gaze.origin, atol=1e-6)
    np.testing.assert_allclose((looked_at - eyes) / 0.2, face.gaze.direction, atol=1e-5)
    _check_box(viewer.scene["box", smaller], face)

    # It moves a little, under the same names, and the other one goes.
    answer, _ = viewer.show(image_message(scene(astronaut, (185, 180, 95.0)), stamp=(50, 0)))
    remaining = faces_of(answer)
    assert [face.id for face in remaining] == [smaller]
    assert viewer.scene.keys() == names(remaining, namespaces)
    assert set(viewer.deleted) == {(ns, larger) for ns in namespaces}
    moved = places(viewer.scene["points", smaller]) - before
    assert moved[:, 0].mean() > 0.01

    # Whoever comes late gets all that is there.
    late = Viewer(robot, "markers")
    late.show(image_message(scene(astronaut, (185, 180, 95.0)), stamp=(100, 0)))
    assert late.scene.keys() == viewer.scene.keys()

    viewer.show(image_message(plain(), stamp=(150, 0)))
    assert viewer.scene == {}
    robot.wait_until(lambda: late.scene == {}, "removal of the markers")


def _check_box(marker: Marker, face: Face) -> None:
    """Check that the box is the face's, as the camera sees it."""
    x, y, width, height = face.box
    right, bottom = x + width, y + height
    corners = [(x, y), (right, y), (right, bottom), (x, bottom), (x, y)]
    np.testing.assert_allclose(CAMERA.project(places(marker)), corners, atol=0.01)


def test_images_without_a_frame_are_shown_in_that_of_the_parameter(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start(ASSUMED, "frame_id:=head_camera")
    frames: dict[str, set[str]] = {"markers": set(), "points": set()}

    def take_markers(message: MarkerArray) -> None:
        frames["markers"] |= {marker.header.frame_id for marker in message.markers}

    def take_points(message: PointCloud2) -> None:
        frames["points"].add(message.header.frame_id)

    robot.create_subscription(MarkerArray, "facemesh/markers", take_markers, QoSProfile(depth=10))
    robot.create_subscription(PointCloud2, "facemesh/points", take_points, QoSProfile(depth=10))
    robot.wait_for_node()
    message = image_message(scene(astronaut, LEFT))
    message.header.frame_id = ""

    def have_come() -> bool:
        # The faces have the header of their image.
        assert robot.ask(message).header == message.header
        robot.spin_for(0.1)
        return all(frames.values())

    # The empty images before had a frame, as most cameras' have.
    robot.wait_until(lambda: have_come() and "head_camera" in frames["points"], "markers, points")
    assert "head_camera" in frames["markers"]
    assert "" not in frames["markers"] | frames["points"]
    assert node.output().count("have an empty frame_id") == 1
    assert "'head_camera', the parameter frame_id" in node.output()


def test_faces_without_ids_do_not_share_markers(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("tracking:=false", "ids:=false", ASSUMED)
    viewer = Viewer(robot, "markers")
    robot.wait_for_node()
    answer, _ = viewer.show(image_message(scene(astronaut, LEFT, RIGHT)))
    assert [face.id for face in answer.faces] == [0, 0]
    assert viewer.scene.keys() == {(ns, number) for ns in IN_SPACE for number in (-1, -2)}
    for number, face in zip((-1, -2), faces_of(answer), strict=True):
        _check_box(viewer.scene["box", number], face)
        assert ":" not in viewer.scene["label", number].text
    viewer.show(image_message(scene(astronaut, LEFT), stamp=(50, 0)))
    assert viewer.scene.keys() == {(ns, -1) for ns in IN_SPACE}


def test_few_landmarks_without_pixels_have_markers(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    """Of five landmarks, no two are joined, and the box does not need their pixels."""
    start("landmarks_num:=5", "landmarks_abs:=false", "landmarks_rel:=true", ASSUMED)
    viewer = Viewer(robot, "markers")
    robot.wait_for_node()
    answer, _ = viewer.show(image_message(scene(astronaut, RIGHT)))
    (face,) = faces_of(answer)
    assert len(face.points) == 0
    assert face.points_3d is not None
    assert viewer.scene.keys() == names([face], IN_SPACE - {"mesh", "contours"})
    np.testing.assert_allclose(places(viewer.scene["points", face.id]), face.points_3d, atol=1e-6)
    _check_box(viewer.scene["box", face.id], face)


def test_without_pose_markers_stand_on_a_plane(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("marker_depth:=2.0", "landmarks_num:=68")
    viewer = Viewer(robot, "markers")
    robot.wait_for_node()
    answer, _ = viewer.show(image_message(scene(astronaut, RIGHT)))
    (face,) = faces_of(answer)
    assert {ns for ns, _ in viewer.scene} == ON_A_PLANE
    points = places(viewer.scene["points", face.id])
    assert points.shape == (68, 3)
    np.testing.assert_allclose(points[:, 0], (face.points[:, 0] / 640 - 0.5) * 2, atol=1e-5)
    np.testing.assert_allclose(points[:, 1], (face.points[:, 1] - 180) / 640 * 2, atol=1e-5)
    np.testing.assert_allclose(points[:, 2], 2 - face.points_z / 640 * 2, atol=1e-5)
    nose = int(np.argmax(face.points_z))
    assert points[nose, 2] == points[:, 2].min() < 2.0, "near ones are nearer"
    box = places(viewer.scene["box", face.id])
    assert (box[:, 2] == 2.0).all()
    # The lips are closed lines of the subset's landmarks: 20 of them, besides what else it joins.
    assert len(viewer.scene["contours", face.id].points) >= 2 * 20


def test_the_cloud_has_meters_ids_and_indices(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start(ASSUMED, "landmarks_num:=5")
    viewer = Viewer(robot, "points")
    robot.wait_for_node()
    answer, found = viewer.show(image_message(scene(astronaut, LEFT, RIGHT)))
    cloud = found["points"]
    assert cloud.header == answer.header
    points = cloud_points(cloud)
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
    _, found = viewer.show(image_message(plain(), stamp=(50, 0)))
    assert (found["points"].width, len(found["points"].data)) == (0, 0)


def cloud_points(cloud: PointCloud2) -> Any:
    """Read a cloud by its fields, as any user does."""
    kinds = {PointField.FLOAT32: "<f4", PointField.UINT32: "<u4"}
    layout = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [kinds[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, layout)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_the_annotated_image_is_the_image_with_its_faces(
    start: StartNode, robot: Robot, astronaut: Pixels, encoding: str
) -> None:
    start("tracking:=false")
    viewer = Viewer(robot, "image_annotated", "image_annotated/compressed")
    robot.wait_for_node()
    rgb = scene(astronaut, LEFT, RIGHT)
    sent = rgb if encoding == "rgb8" else np.ascontiguousarray(rgb[:, :, ::-1])
    viewer.show(image_message(sent, encoding))
    # From the second image on there is a rate.
    answer, found = viewer.show(image_message(sent, encoding, stamp=(50, 0)))
    drawn = found["image_annotated"]
    assert drawn.header == answer.header
    assert (drawn.width, drawn.height, drawn.encoding, drawn.step) == (640, 360, "rgb8", 1920)
    pixels = np.frombuffer(drawn.data, np.uint8).reshape(360, 640, 3)
    expected = rgb.copy()
    for face in faces_of(answer):
        draw_face(expected, face, mesh=True, box=True, label=True)
    # All but the corner in which the rate stands, light on dark; the rest of it is gray.
    assert np.array_equal(pixels[:330], expected[:330])
    assert np.array_equal(pixels[:, 100:], expected[:, 100:])
    corner = pixels[330:, :100]
    assert corner.min() < 40
    assert corner.max() > 216
    for face in faces_of(answer):
        _check_pixels(pixels.astype(int), rgb.astype(int), face)

    jpeg = found["image_annotated/compressed"]
    assert jpeg.header == answer.header
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded[:330, :, ::-1].astype(int) - expected[:330]).mean() < 4


def _check_pixels(drawn: Any, sent: Any, face: Face) -> None:
    """Check what a person sees: the box's edges, and near lines of the mesh brighter than far."""
    x, y, width, height = face.box
    green = (80, 250, 160)
    for column, row in ((x, y + height / 2), (x + width - 1, y + height / 2)):
        assert tuple(drawn[int(row), int(column)]) == green
    assert tuple(drawn[int(y + height - 1), int(x + width / 2)]) == green
    # The red of a line's color grows with its nearness: what a pixel has more than a part of what
    # was there before, at the landmarks that no contour covers.
    inner = np.setdiff1d(np.arange(468), FACEMESH_CONTOURS)
    columns, rows = face.points[inner].astype(int).T
    nearness = (face.points_z[inner] - face.points_z.min()) / np.ptp(face.points_z)
    known = np.column_stack([nearness, sent[rows, columns, 0], np.ones(len(inner))])
    (of_nearness, _, _), *_ = np.linalg.lstsq(known, drawn[rows, columns, 0], rcond=None)
    assert of_nearness > 15


def test_the_blurred_image_shows_no_face(start: StartNode, robot: Robot, astronaut: Pixels) -> None:
    start("tracking:=false")
    viewer = Viewer(robot, "image_blurred", "image_blurred/compressed")
    robot.wait_for_node()
    bgr = np.ascontiguousarray(scene(astronaut, LEFT, RIGHT)[:, :, ::-1])
    answer, found = viewer.show(image_message(bgr, "bgr8"))
    faces = faces_of(answer)
    assert len(faces) == 2
    blurred = found["image_blurred"]
    assert (blurred.width, blurred.height, blurred.encoding) == (640, 360, "bgr8")
    expected = bgr.copy()
    FaceBlur().apply(expected, faces, 0.0)
    pixels = np.frombuffer(blurred.data, np.uint8).reshape(360, 640, 3)
    assert np.array_equal(pixels, expected)
    jpeg = cv2.imdecode(np.frombuffer(found["image_blurred/compressed"].data, np.uint8), 1)
    assert jpeg is not None
    assert np.abs(jpeg.astype(int) - expected).mean() < 4


def test_attention_is_of_the_faces_in_the_image(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("tracking:=false", ASSUMED, "gaze:=true")
    viewer = Viewer(robot, "attention")
    robot.wait_for_node()
    answer, found = viewer.show(image_message(scene(astronaut, LEFT, RIGHT)))
    attention = found["attention"]
    larger, smaller = answer.faces
    assert [each.id for each in attention.faces] == [larger.id, smaller.id]
    assert attention.nearest_id == larger.id
    assert attention.main_id in (larger.id, smaller.id)
    for each in attention.faces:
        assert 0.0 <= each.looking_at_camera <= 1.0
        assert each.speaking == 0.0


# ---- Only for who looks, and after the faces ----------------------------------------------------


@pytest.fixture
def node(own_network: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001
    with node_in_this_process(monkeypatch) as node:
        node.set_parameters([Parameter("assumed_field_of_view", value=65.0)])
        yield node


def put_image(node: FaceMeshNode, message: bytes) -> None:
    """Give the node a serialized image, as if it had come on the topic."""
    assert node._pipeline is not None
    assert isinstance(node._pipeline.input, FaceMeshInput)
    assert isinstance(node._pipeline.input._images, TopicImages)
    node._pipeline.input._images.on_message(message)


def answer_one(node: FaceMeshNode, image: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the node's worker answer one image, and wait until all is made of it."""
    done = threading.Event()
    assert node._pipeline is not None
    publish = node._pipeline.outputs.publish

    def publish_and_say(result: Result) -> None:
        publish(result)
        done.set()

    with monkeypatch.context() as patch:
        patch.setattr(node._pipeline.outputs, "publish", publish_and_say)
        put_image(node, bytes(serialize_message(image_message(image))))
        assert done.wait(TIMEOUT)


def test_nothing_is_made_that_nobody_wants(
    node: FaceMeshNode, robot: Robot, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def spy_on(module: Any, function: str, topic: str) -> None:
        original = getattr(module, function)

        def spy(*arguments: Any, **keywords: Any) -> Any:
            made.append(topic)
            return original(*arguments, **keywords)

        monkeypatch.setattr(module, function, spy)

    spy_on(face_markers, "_markers_of", "markers")
    spy_on(face_cloud, "_points_of", "points")
    spy_on(annotated_image, "draw_face", "image_annotated")
    spy_on(FaceBlur, "apply", "image_blurred")
    spy_on(AttentionEstimator, "update", "attention")
    spy_on(cv2, "imencode", "compressed")
    image = scene(astronaut, LEFT)

    answer_one(node, image, monkeypatch)
    assert made == []
    for topic, message_type in TOPICS.items():
        subscription = robot.create_subscription(
            message_type, f"facemesh/{topic}", lambda _: None, QoSProfile(depth=10)
        )
        _wait_for_subscriptions(node, topic, 1)
        answer_one(node, image, monkeypatch)
        # A JPEG is of an image into which faces are drawn, or in which they are blurred; labels of
        # markers have the attention.
        assert made == (["attention", "markers"] if topic == "markers" else topic.split("/"))
        robot.destroy_subscription(subscription)
        _wait_for_subscriptions(node, topic, 0)
        made.clear()
        answer_one(node, image, monkeypatch)
        assert made == []


def _wait_for_subscriptions(node: FaceMeshNode, topic: str, count: int) -> None:
    end = time.monotonic() + TIMEOUT
    while node.count_subscribers(f"/facemesh/{topic}") != count or not _is_matched(
        node, topic, count
    ):
        assert time.monotonic() < end
        time.sleep(0.02)


def _is_matched(node: FaceMeshNode, topic: str, count: int) -> bool:
    (publisher,) = (p for p in node.publishers if p.topic_name == f"/facemesh/{topic}")
    return bool(publisher.get_subscription_count() == count)


def test_a_view_that_fails_costs_no_faces(
    node: FaceMeshNode, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are out before, the image counts as answered, and other views are published."""
    happened: list[str] = []
    assert node._pipeline is not None
    publish = node._pipeline.outputs.faces.publish

    def publish_and_say(result: Result) -> None:
        publish(result)
        happened.append(f"{len(result.faces)} faces")

    def fail(*arguments: Any) -> None:  # noqa: ARG001
        happened.append("a fault")
        raise RuntimeError("of the test")

    monkeypatch.setattr(node._pipeline.outputs.faces, "publish", publish_and_say)
    monkeypatch.setattr(face_cloud.FaceCloud, "publish", fail)
    monkeypatch.setattr(
        face_markers.FaceMarkers, "publish", lambda *_: happened.append("markers after it")
    )
    for _ in range(2):
        answer_one(node, scene(astronaut, LEFT), monkeypatch)
    assert happened == ["1 faces", "a fault", "markers after it"] * 2
    totals = [node._diagnostics.total(what) for what in (ARRIVED, ANSWERED, NOT_ANSWERED)]
    assert totals == [2, 2, 0]
