"""The faces in other packages' messages, read by a process that has those packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import ChannelOrder, Pixels
from maix_facemesh_ros.mesh.landmark_subsets import DLIB_68
from maix_facemesh_ros.ros.messages import faces_of
from maix_facemesh_ros.ros.publishers.human_faces import (
    ALIGNED_LANDMARKS,
    FOREHEAD_MARGIN,
    HumanFaces,
    align,
    crop,
)
from maix_facemesh_ros.ros.publishers.interop import OTHER_PACKAGES
from message_packages import build_message_package
from node_results import result_of
from running_node import Robot, StartNode, image_message
from scenes import ASTRONAUT_POINTS, plain, scene

pytest_plugins = ["running_node"]

PACKAGES = ("vision_msgs", "foxglove_msgs", "hri_msgs")
LEFT, RIGHT = (170, 180, 95.0), (470, 170, 120.0)

#: Prints each message as a line: topic, content.
LISTENER = """
import json, sys
from importlib import import_module
import numpy as np
import rclpy

def plain(value):
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if isinstance(value, bytes) or type(value).__name__ == "array":
        return len(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value

def listen(topic, package, name):
    def show(message):
        print(json.dumps([topic, plain(message)]), flush=True)
    node.create_subscription(getattr(import_module(package + ".msg"), name), topic, show, 100)

rclpy.init()
node = rclpy.create_node("listener")
for topic in sys.argv[1:]:
    listen(*topic.split(","))
rclpy.spin(node)
"""

PARTS = ("roi", "landmarks", "facs", "expression", "cropped", "aligned")
TOPICS = (
    "/facemesh/detections,vision_msgs,Detection2DArray",
    "/facemesh/image_annotations,foxglove_msgs,ImageAnnotations",
    "/humans/faces/tracked,hri_msgs,IdsList",
    "/humans/faces/f1/roi,hri_msgs,NormalizedRegionOfInterest2D",
    "/humans/faces/f1/landmarks,hri_msgs,FacialLandmarks",
    "/humans/faces/f1/facs,hri_msgs,FacialActionUnits",
    "/humans/faces/f1/expression,hri_msgs,Expression",
    "/humans/faces/f1/cropped,sensor_msgs,Image",
    "/humans/faces/f1/aligned,sensor_msgs,Image",
    "/humans/faces/f2/landmarks,hri_msgs,FacialLandmarks",
)


class Listener:
    """A process that has the packages; what it prints goes into a file."""

    def __init__(self, environment: dict[str, str], printed: Path) -> None:
        self._printed = printed
        self._read = 0
        with printed.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LISTENER, *TOPICS],
                env={**os.environ, **environment},
                stdout=output,
            )

    def messages(self) -> dict[str, dict[str, Any]]:
        """Return the newest message of each topic since the last call."""
        lines = self._printed.read_text()[self._read :].splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        self._read += sum(map(len, whole))
        return dict(json.loads(line) for line in whole)


@pytest.fixture
def with_packages(tmp_path: Path) -> dict[str, str]:
    environments = [build_message_package(name, tmp_path) for name in PACKAGES]
    return environments[-1]


@pytest.fixture
def listener(
    own_network: None,  # noqa: ARG001
    with_packages: dict[str, str],
    tmp_path: Path,
) -> Iterator[Listener]:
    listening = Listener(with_packages, tmp_path / "printed")
    yield listening
    listening.process.kill()
    listening.process.wait(20)


@pytest.mark.build
def test_faces_in_the_messages_of_other_packages(
    start: StartNode,
    robot: Robot,
    listener: Listener,
    with_packages: dict[str, str],
    astronaut: Pixels,
) -> None:
    parameters = [*(f"{name}:=true" for name in PACKAGES), "assumed_field_of_view:=65.0"]
    parameters.append("blendshapes:=true")
    start(*parameters, environment=with_packages)
    robot.wait_for_node()
    two = scene(astronaut, LEFT, RIGHT)
    stamp = 100

    def ask_until(image: Pixels, complete: Callable[[dict[str, Any]], bool]) -> Any:
        nonlocal stamp
        end = time.monotonic() + 30
        while time.monotonic() < end:
            stamp += 1
            answer = robot.ask(image_message(image, stamp=(stamp, 0)))
            robot.spin_for(0.2)
            messages = listener.messages()
            detections = messages.get("/facemesh/detections", {"header": {"stamp": {"sec": 0}}})
            if complete(messages) and detections["header"]["stamp"]["sec"] == stamp:
                return answer, messages
        raise AssertionError(f"only {sorted(messages)} have come")

    wanted = {topic.split(",")[0] for topic in TOPICS}
    answer, messages = ask_until(two, lambda messages: messages.keys() == wanted)
    faces = {face.id: face for face in faces_of(answer)}
    assert faces.keys() == {1, 2}

    detections = messages["/facemesh/detections"]
    assert [detection["id"] for detection in detections["detections"]] == [
        str(face.id) for face in answer.faces
    ]
    for detection in detections["detections"]:
        face = faces[int(detection["id"])]
        box = detection["bbox"]
        center = box["center"]["position"]
        x, y, width, height = face.box
        assert (box["size_x"], box["size_y"]) == pytest.approx((width, height))
        assert (center["x"], center["y"]) == pytest.approx((x + width / 2, y + height / 2))
        (result,) = detection["results"]
        assert result["hypothesis"]["class_id"] == "face"
        assert result["hypothesis"]["score"] == pytest.approx(face.score)
        assert face.pose is not None
        place = result["pose"]["pose"]["position"]
        assert [place[axis] for axis in "xyz"] == pytest.approx(face.pose[:3, 3], abs=1e-5)
        assert box["center"]["theta"] == 0.0
    assert all(d["header"] == detections["header"] for d in detections["detections"])
    assert detections["header"]["frame_id"] == "left_eye"

    annotations = messages["/facemesh/image_annotations"]
    # A loop of four corners and a cloud of dots for each face.
    assert [len(points["points"]) for points in annotations["points"]] == [4, 478, 4, 478]
    for (loop, dots), text, face in zip(
        (annotations["points"][:2], annotations["points"][2:]),
        annotations["texts"],
        faces_of(answer),
        strict=True,
    ):
        x, y, width, height = face.box
        corners = [(point["x"], point["y"]) for point in loop["points"]]
        assert np.allclose(
            corners, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        )
        shown = [(point["x"], point["y"]) for point in dots["points"]]
        np.testing.assert_allclose(shown, face.points, atol=1e-3)
        assert (loop["type"], dots["type"]) == (2, 1)
        assert text["text"].startswith(f"{face.id}: ")
        assert loop["timestamp"]["sec"] == text["timestamp"]["sec"] == stamp
    assert annotations["timestamp"]["sec"] == stamp

    tracked = messages["/humans/faces/tracked"]
    assert set(tracked["ids"]) == {"f1", "f2"}
    roi = messages["/humans/faces/f1/roi"]
    x, y, width, height = faces[1].box
    expected = (x / 640, y / 360, (x + width) / 640, (y + height) / 360)
    assert [roi[side] for side in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(expected)
    landmarks = messages["/humans/faces/f2/landmarks"]
    assert (landmarks["width"], landmarks["height"]) == (640, 360)
    assert len(landmarks["landmarks"]) == 70
    points = [(640 * point["x"], 360 * point["y"]) for point in landmarks["landmarks"]]
    np.testing.assert_allclose(points[:68], faces[2].points[list(DLIB_68)], atol=1e-2)
    _check_the_70_landmarks(np.array(points))
    confidences = [point["c"] for point in landmarks["landmarks"]]
    assert confidences == pytest.approx([faces[2].landmarks_score] * 70)
    for part in ("cropped", "aligned"):
        image = messages[f"/humans/faces/f1/{part}"]
        assert (image["width"], image["height"], image["step"]) == (128, 128, 3 * 128)
        assert image["encoding"] == "bgr8"
        assert image["data"] == 3 * 128 * 128
    units = messages["/humans/faces/f1/facs"]
    assert len(units["intensity"]) == len(units["confidence"]) == 99
    # She smiles (lip corner puller), and nothing is known of her tongue.
    assert units["intensity"][12] > 0.5
    assert units["confidence"][12] == pytest.approx(faces[1].landmarks_score)
    assert (units["intensity"][19], units["confidence"][19]) == (0, 0)
    assert messages["/humans/faces/f1/expression"]["expression"] == "happy"
    topics = dict(robot.get_topic_names_and_types())
    assert {f"/humans/faces/f{n}/{part}" for n in (1, 2) for part in PARTS} <= topics.keys()

    # Without faces all of it says so.
    _, messages = ask_until(
        plain(), lambda messages: messages.get("/humans/faces/tracked", {}).get("ids") == []
    )
    assert messages["/facemesh/detections"]["detections"] == []
    assert messages["/facemesh/image_annotations"]["points"] == []
    # And nothing publishes for faces that have gone.
    robot.wait_until(
        lambda: (
            not any(
                robot.count_publishers(f"/humans/faces/f{n}/{part}")
                for n in (1, 2)
                for part in PARTS
            )
        ),
        "end of the topics of two faces",
    )


def _check_the_70_landmarks(points: Any) -> None:
    """Check pixels of a face seen from the front against the names in hri_msgs/FacialLandmarks.

    Right is the person's, so on the left of the image.
    """
    x, y = points.T
    jaw, brows, nose, nostrils = (slice(0, 17), slice(17, 27), slice(27, 31), slice(31, 36))
    for part in (jaw, brows, nostrils):
        # The ears' side of the jaw is about upright.
        assert (np.diff(x[part]) > -0.02 * np.ptp(x)).all(), "from RIGHT to LEFT"
    assert int(np.argmax(y)) == 8, "MENTON"
    assert (np.diff(y[nose]) > 0).all(), "from SELLION to NOSE"
    # Of each eye and of both lines of the lips: the corners, and what is above and below.
    for right, left, above, below in (
        (36, 39, (37, 38), (41, 40)),
        (42, 45, (43, 44), (47, 46)),
        (48, 54, (49, 50, 51, 52, 53), (59, 58, 57, 56, 55)),
        (60, 64, (61, 62, 63), (67, 66, 65)),
    ):
        for line in (above, below):
            assert (np.diff(x[[right, *line, left]]) > 0).all()
        assert (y[list(above)] < y[list(below)]).all()
    for pupil, eye in ((68, slice(36, 42)), (69, slice(42, 48))):
        assert x[eye].min() < x[pupil] < x[eye].max()
        assert y[eye].min() - 1 < y[pupil] < y[eye].max() + 1
    assert y[brows].max() < y[36:48].min() < y[30] < y[48:68].min()


@pytest.mark.parametrize("name", OTHER_PACKAGES)
def test_nothing_is_made_that_nobody_wants(name: str, astronaut: Pixels) -> None:
    """Publishers without subscribers, and messages that must not be made."""

    class NobodyThere:
        def create_publisher(self, message_type: Any, topic: str, depth: Any) -> Any:  # noqa: ARG002
            made.append(topic)
            return self

        def get_subscription_count(self) -> int:
            return 0

    class Untouchable:
        def __call__(self, *_: Any, **__: Any) -> None:
            raise AssertionError("a message without subscribers")

        def __getattr__(self, name: str) -> Any:
            return Untouchable()

    made: list[str] = []
    package = OTHER_PACKAGES[name](NobodyThere(), Untouchable())
    face = Face(id=3, score=0.9, box=(10.0, 10.0, 90.0, 90.0), points=ASTRONAUT_POINTS)
    package.publish(result_of([face], size=(512, 512), rgb=astronaut))
    assert made, "the topics are there nevertheless"


@pytest.mark.parametrize(
    ("box", "black"),
    [
        ((100.0, 140.0, 200.0, 150.0), set()),
        ((-60.0, 100.0, 150.0, 150.0), {"left"}),
        ((430.0, -50.0, 120.0, 120.0), {"right", "top"}),
        ((100.0, 480.0, 60.0, 60.0), {"bottom"}),
        ((900.0, 900.0, 60.0, 60.0), {"left", "right", "top", "bottom"}),
    ],
)
def test_the_cropped_image_is_black_outside_the_image(
    box: tuple[float, float, float, float], black: set[str]
) -> None:
    """A square of 128 pixels with the middle of the box in its middle."""
    columns, rows = np.meshgrid(np.arange(512), np.arange(512))
    # Where a pixel comes from is its color.
    image = np.dstack([columns // 2, rows // 2, np.full((512, 512), 255)]).astype(np.uint8)
    pixels = crop(Face(id=1, box=box), image)
    assert pixels.shape == (128, 128, 3)
    edges = {
        "left": pixels[:, 0],
        "right": pixels[:, -1],
        "top": pixels[0],
        "bottom": pixels[-1],
    }
    assert {name for name, edge in edges.items() if not edge.any()} == black
    x, y, width, height = box
    if x < 512:
        middle = pixels[64, 64, :2].astype(float) * 2
        assert middle == pytest.approx((x + width / 2, y + height / 2), abs=3)


def test_the_eyes_of_an_aligned_image_are_where_hri_face_identification_has_them() -> None:
    """The medians of the 110 aligned images in its test/data; this head is turned a little."""
    points = ASTRONAUT_POINTS[list(ALIGNED_LANDMARKS)]
    image = np.zeros((512, 512, 3), np.uint8)
    for x, y in points[-2:].astype(int).tolist():
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    aligned = align(image, points.astype(np.float32))
    _, _, _, dots = cv2.connectedComponentsWithStats((aligned[:, :, 0] > 99).astype(np.uint8))
    eyes = sorted(dots[1:].tolist())
    np.testing.assert_allclose(eyes, [(41.9, 42.3), (89.1, 42.1)], atol=6)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_images_of_a_face_are_bgr8_whatever_the_camera_sends(
    order: ChannelOrder, astronaut: Pixels
) -> None:
    """hri_face_identification does not read their encoding."""

    class Topic:
        def __init__(self, name: str) -> None:
            self.name = name

        def get_subscription_count(self) -> int:
            return int(self.name.endswith(("cropped", "aligned")))

        def publish(self, message: Any) -> None:
            published[self.name] = message

    published: dict[str, Any] = {}
    node = SimpleNamespace(create_publisher=lambda _type, name, _depth: Topic(name))
    pixels = astronaut if order == "rgb" else astronaut[:, :, ::-1]
    face = Face(id=3, score=0.9, box=(150.0, 50.0, 150.0, 200.0), points=ASTRONAUT_POINTS)
    result = result_of([face], size=(512, 512), rgb=astronaut)
    assert result.image is not None
    image = replace(result.image, pixels=pixels, order=order)
    HumanFaces(node, MagicMock()).publish(replace(result, image=image))
    assert published.keys() == {"/humans/faces/f3/cropped", "/humans/faces/f3/aligned"}
    for message in published.values():
        assert message.encoding == "bgr8"
        blue, _, red = np.frombuffer(message.data, np.uint8).reshape(-1, 3).mean(axis=0)
        assert red > blue + 20, "skin"


@pytest.mark.parametrize("degrees", [0, 30, -70, 90, 180])
def test_the_aligned_image_has_level_eyes(degrees: float) -> None:
    """However the head is rolled: seen by a white dot on each pupil."""
    turn = cv2.getRotationMatrix2D((256, 256), degrees, 1.0)
    points = ASTRONAUT_POINTS[list(ALIGNED_LANDMARKS)] @ turn[:, :2].T + turn[:, 2]
    # The center of a pixel.
    points[-2:] = np.floor(points[-2:]) + 0.5
    image = np.zeros((512, 512, 3), np.uint8)
    for x, y in points[-2:].astype(int).tolist():
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    aligned = align(image, points.astype(np.float32))
    assert aligned.shape == (128, 128, 3)
    _, _, _, dots = cv2.connectedComponentsWithStats((aligned[:, :, 0] > 99).astype(np.uint8))
    (right, left) = sorted(dots[1:].tolist())
    low, high = points.min(axis=0), points.max(axis=0)
    low[1] -= FOREHEAD_MARGIN * (high[1] - low[1])
    scale = 128 / (high - low).max()
    distance = np.linalg.norm(points[-1] - points[-2]) * scale
    assert left[1] == pytest.approx(right[1], abs=0.7)
    assert left[0] - right[0] == pytest.approx(distance, abs=0.7)
    # The center of the box stays in the center.
    center = (low + high) / 2
    middle = np.mean([right, left], axis=0) + 0.5 - 64
    moved = np.linalg.norm(points[-2:].mean(axis=0) - center) * scale
    assert np.linalg.norm(middle) == pytest.approx(moved, abs=0.7)


def test_a_missing_package_is_one_line(start: StartNode, robot: Robot, astronaut: Pixels) -> None:
    """None of the three is on PyPI, so here they are missing."""
    node = start(*(f"{name}:=true" for name in PACKAGES))
    robot.wait_for_node()
    for _ in range(3):
        assert robot.ask(image_message(astronaut)).faces
    for name in PACKAGES:
        assert node.output().count(f"{name} is on, but nothing is published for it") == 1
