"""Heads that are rolled: in the image plane, by any angle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.face_search import Sighting, at_best_roll, check
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks, FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.roi import Roi, roi_from_detection
from maix_facemesh_ros.backends.onnx.search import SearchArea
from maix_facemesh_ros.backends.onnx.tracker import FaceTracker, open_networks
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray, FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters
from posed_faces import degrees_between
from scenes import ASTRONAUT_CENTER, ASTRONAUT_WIDTH, plain, scene

SHAPES = ((900, 900), (640, 480), (1280, 720), (720, 1280), (1920, 480))


def rolled(astronaut: Pixels, degrees: float, size: tuple[int, int], face_width: float) -> Pixels:
    """Return an image with the astronaut in its middle, on gray.

    Args:
        astronaut: (512, 512, 3).
        degrees: roll, counterclockwise.
        size: width and height of the image in pixels.
        face_width: width of the upright face in pixels.
    """
    center = (float(ASTRONAUT_CENTER[0]), float(ASTRONAUT_CENTER[1]))
    scale = face_width / ASTRONAUT_WIDTH
    matrix = np.asarray(cv2.getRotationMatrix2D(center, degrees, scale), np.float64)
    matrix[:, 2] += np.array(size) / 2 - ASTRONAUT_CENTER
    image = cv2.warpAffine(astronaut, matrix, size, borderValue=(110, 110, 110))
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("degrees", [0, 45, 90])
def test_depth_and_pose_do_not_depend_on_the_shape_of_the_image(
    astronaut: Pixels, degrees: float
) -> None:
    network = FaceLandmarksNetwork()
    depths: list[float] = []
    poses: list[DoubleArray] = []
    for width, height in SHAPES:
        image = Image(rolled(astronaut, degrees, (width, height), 200), "rgb", Stamp(0, 0))
        roi = Roi(width / 2, height / 2, 300, 300, -math.radians(degrees))
        found = network.find(image, roi)
        matrix = [900, 0, (width - 1) / 2, 0, 900, (height - 1) / 2, 0, 0, 1]
        camera = CameraModel.from_calibration(width, height, matrix, [0] * 5, "plumb_bob")
        head = HeadPoseEstimator(camera).estimate(found.points, found.points_z)
        assert head is not None
        depths.append(float(np.ptp(head.points_3d[:468, 2])))
        poses.append(head.pose)

    np.testing.assert_allclose(depths, depths[0], rtol=0.01)
    for pose in poses[1:]:
        assert degrees_between(pose[:3, :3], poses[0][:3, :3]) < 0.2
        np.testing.assert_allclose(pose[2, 3], poses[0][2, 3], rtol=0.002)


def mesh_roll(points: FloatArray) -> float:
    """Return how far a mesh is rolled, in degrees counterclockwise, from chin to forehead."""
    up = points[10] - points[152]
    return math.degrees(math.atan2(-float(up[1]), float(up[0]))) - 90


@pytest.mark.parametrize(("face_width", "wrong"), [(60, 1), (120, 1), (200, 1)])
def test_heads_are_found_at_any_roll(astronaut: Pixels, face_width: float, wrong: int) -> None:
    """The default detector finds the head at each of 24 rolls, and the mesh has its roll."""
    upside_down = 0
    with FaceMesh() as mesh:
        for degrees in range(3, 363, 15):
            image = rolled(astronaut, degrees, (640, 480), face_width)
            faces = mesh.process(image)
            assert faces, degrees
            off = math.remainder(mesh_roll(faces[0].points) - degrees, 360)
            upside_down += abs(off) > 15
    assert upside_down <= wrong


@pytest.mark.parametrize(("any_roll", "runs"), [(True, 4), (False, 1)])
def test_the_detector_runs_on_turned_images_only_with_any_roll(
    any_roll: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    def detect(_: FullRangeDetector, image: Image, **__: float) -> list[Detection]:
        sizes.append(image.size)
        return []

    monkeypatch.setattr(FullRangeDetector, "detect", detect)
    with FaceMesh(any_roll=any_roll) as mesh:
        mesh.process(plain(640, 480))
    assert sorted(sizes, reverse=True) == [(640, 480), (640, 480), (480, 640), (480, 640)][:runs]


def test_an_upright_face_needs_one_run_of_each_network(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    detect, find = FullRangeDetector.detect, FaceLandmarksNetwork.find

    def counted_detect(network: FullRangeDetector, image: Image, **o: float) -> list[Detection]:
        runs.append("detector")
        return detect(network, image, **o)

    def counted_find(network: FaceLandmarksNetwork, image: Image, roi: Roi) -> FaceLandmarks:
        runs.append("landmarks")
        return find(network, image, roi)

    monkeypatch.setattr(FullRangeDetector, "detect", counted_detect)
    monkeypatch.setattr(FaceLandmarksNetwork, "find", counted_find)
    with FaceMesh() as mesh:
        for width in (60, 120, 200):
            runs.clear()
            mesh.process(rolled(astronaut, 3, (640, 480), width))
            assert runs == ["detector", "landmarks"]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_mesh_of_the_wrong_roll_is_replaced(astronaut: Pixels, degrees: float) -> None:
    """The detector's key points may be upside down; the mesh is not."""
    networks = open_networks(FaceMeshParameters())
    image = Image(rolled(astronaut, degrees, (640, 480), 120), "rgb", Stamp(0, 0))
    upright = Roi(320, 240, 220, 220, 0.0)
    detection = Detection((247, 167, 146, 146), 0.6, np.zeros((0, 2), np.float32))
    candidate = check(networks, image, Sighting(detection, upright, is_turned=False))
    assert not candidate.is_sure
    best = at_best_roll(networks, image, candidate)
    assert best.is_certain
    assert abs(math.remainder(mesh_roll(best.landmarks.points) - degrees, 360)) < 15


@pytest.mark.parametrize(("is_seen", "runs"), [(True, 1), (False, 3)])
def test_a_mesh_in_doubt_is_right_where_the_detector_sees_it(
    astronaut: Pixels, is_seen: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector's look takes a tenth of a run of the landmark network."""
    networks = open_networks(FaceMeshParameters())
    find, found = networks.landmarks, []

    def in_doubt(image: Image, roi: Roi) -> FaceLandmarks:
        found.append(replace(find(image, roi), presence=0.9))
        return found[-1]

    monkeypatch.setattr(networks, "landmarks", in_doubt)
    if not is_seen:
        monkeypatch.setattr(networks, "see_again", lambda *_: None)
    image = Image(rolled(astronaut, 3, (640, 480), 120), "rgb", Stamp(0, 0))
    (detection,) = networks.detections(image, FaceMeshParameters())
    roi = roi_from_detection(detection.box, detection.keypoints, networks.roi_rule)
    candidate = check(networks, image, Sighting(detection, roi, is_turned=False))
    assert len(found) == runs
    assert candidate.is_certain == candidate.is_sure == is_seen
    assert candidate.landmarks is found[0]


def test_where_one_head_is_rolled_others_are_found(astronaut: Pixels) -> None:
    image = np.hstack([rolled(astronaut, 170, (320, 480), width) for width in (120, 60, 90)])
    with FaceMesh(max_face_num=0) as mesh:
        faces = mesh.process(image)
    assert len(faces) == 3
    assert all(abs(mesh_roll(face.points)) % 360 > 90 for face in faces)


def test_an_empty_scene_stays_empty() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(noise, (31, 31), 0), np.uint8)
    with FaceMesh(max_face_num=0) as mesh:
        for image in (noise, blurred, plain(640, 480)):
            assert mesh.process(image) == []


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_face_is_seen_again_best_at_its_roll(
    astronaut: Pixels, quarters: int, width: int
) -> None:
    """At the edge of the image, where hair and ear are missing, it is seen at its roll as well."""
    networks = open_networks(FaceMeshParameters())
    pixels = rolled(astronaut, 90 * quarters, (640, 480), width)
    for left in (0, 320 - width // 2):
        shown = np.ascontiguousarray(pixels[:, left:])
        box = (320 - left - 0.5 * width, 240 - 0.5 * width, 1.0 * width, 1.0 * width)
        image = Image(shown, "rgb", Stamp(0, 0))
        seen = [networks.see_again(image, box, (turn,)) for turn in range(4)]
        scores = [0.0 if each is None else each.score for each in seen]
        best = seen[quarters]
        assert best is not None
        assert left or best.score == max(scores)
        x, y, w, h = best.box
        assert abs(x + w / 2 + left - 320) < 0.35 * width
        assert abs(y + h / 2 - 240) < 0.35 * width
        eyes = best.keypoints[1] - best.keypoints[0]
        roll = math.degrees(math.atan2(-eyes[1], eyes[0]))
        assert abs(math.remainder(roll - 90 * quarters, 360)) < 20


def test_nothing_is_seen_again_where_nothing_is() -> None:
    networks = open_networks(FaceMeshParameters())
    image = Image(plain(640, 480), "rgb", Stamp(0, 0))
    boxes = [(100.0, 100.0, 80.0, 80.0), (-90.0, -90.0, 20.0, 20.0), (700.0, 100.0, 80.0, 80.0)]
    boxes += [(639.6, 479.6, 0.2, 0.2), (-500.0, -500.0, 2000.0, 2000.0)]
    boxes += [(math.nan, 0.0, 80.0, 80.0), (0.0, 0.0, math.inf, 80.0)]
    for box in boxes:
        assert networks.see_again(image, box, range(4)) is None


def test_a_false_detection_in_a_stream_has_no_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = open_networks(FaceMeshParameters())
    looks: list[int] = []
    turned: list[tuple[int, int]] = []
    number = 0

    def somewhere_else(
        _: Image, areas: Sequence[SearchArea], __: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        if quarters:
            turned.append((number, quarters))
            assert {area.part for area in areas} == {(0, 0, 640, 480)}
            return []
        return [
            Detection((100.0 * (number % 5), top, 80.0, 80.0), 0.6, np.zeros((0, 2), np.float32))
            for top in (0.0, 200.0)
        ]

    def unseen(_: Image, __: object, turns: Sequence[int] = (0,)) -> None:
        looks.extend(turns)

    monkeypatch.setattr(networks, "detections_in", somewhere_else)
    monkeypatch.setattr(networks, "see_again", unseen)
    parameters = FaceMeshParameters(tracking=True)
    tracker = FaceTracker(parameters, networks)
    tracker.detect(Image(plain(640, 480), "rgb", Stamp(0, 0)), parameters)
    assert turned == [(0, 2), (0, 1), (0, 3)]
    monkeypatch.setattr(networks, "landmarks", lambda *_: pytest.fail("landmarks are searched"))
    looks.clear()
    turned.clear()
    runs = []
    for number in range(1, 40):
        pixels = plain(640, 480)
        if number >= 20:
            cv2.circle(pixels, (320, 240), 120, (250, 250, 250), -1)
        assert tracker.detect(Image(pixels, "rgb", Stamp(number, 0)), parameters) == []
        runs.append(looks.copy())
        looks.clear()
    # One of them has the other rolls tried in an image, both where something has newly changed.
    assert max(len(each) for each in runs[:19]) == 2 + 3
    assert max(len(each) for each in runs[19:]) == 2 + 2 * 3
    assert [each for each, _ in turned] == [12, 36], "once in 24"


def test_a_turned_search_waits_for_an_image_that_is_not_searched_finely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = open_networks(FaceMeshParameters())
    levels: list[tuple[int, bool, set[int]]] = []
    number = 0

    def nothing(
        _: Image, areas: Sequence[SearchArea], __: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        levels.append((number, bool(quarters), {area.level for area in areas}))
        return []

    monkeypatch.setattr(networks, "detections_in", nothing)
    parameters = FaceMeshParameters(tracking=True)
    tracker = FaceTracker(parameters, networks)
    for number in range(50):
        pixels = plain(640, 480)
        if number >= 12:  # in which the first turned search is due
            cv2.circle(pixels, (320, 240), 10, (250, 250, 250), -1)
        tracker.detect(Image(pixels, "rgb", Stamp(number, 0)), parameters)
    fine = [each for each, is_turned, found in levels if not is_turned and max(found)]
    turned = [each for each, is_turned, _ in levels if is_turned]
    # Due in 12, when there is a new change, and in 36.
    assert fine[:2] == [0, 12]
    assert turned == [0, 0, 0, 13, 36]


@pytest.mark.parametrize("light", [1 / 10, 1 / 25])
@pytest.mark.parametrize("face_width", [90, 120, 200])
def test_a_face_in_the_dark_is_found(astronaut: Pixels, face_width: float, light: float) -> None:
    image = rolled(astronaut, 3, (640, 480), face_width) * light
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    dark = np.clip(image + noise, 0, 255).astype(np.uint8)
    with FaceMesh() as mesh:
        (found,) = mesh.process(dark)
    x, y = found.points[1] - (320, 240)
    assert math.hypot(x, y) < 0.3 * face_width


def test_a_lit_face_in_a_dark_room_is_not_made_brighter(astronaut: Pixels) -> None:
    dark = np.zeros((480, 640, 3), np.uint8)
    dark[160:320, 240:400] = rolled(astronaut, 3, (160, 160), 60)
    assert dark.mean() < FullRangeDetector.DARK / 4
    with FaceMesh() as mesh:
        (found,) = mesh.process(dark)
    assert found.score > 0.6


def test_a_rolled_head_is_found_in_a_stream_and_tracked(astronaut: Pixels) -> None:
    image = rolled(astronaut, 170, (640, 480), 120)
    with FaceMesh(tracking=True, max_face_num=1) as mesh:
        found = [len(mesh.process(image, number / 30)) for number in range(92)]
        (face,) = mesh.process(image, 92 / 30)
    assert found.index(1) < 90
    assert face.id == 1
    assert abs(math.remainder(mesh_roll(face.points) - 170, 360)) < 15


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_equals_turning_the_image_beforehand(astronaut: Pixels, rotation: int) -> None:
    scene_image = scene(astronaut, (200, 180, 90.0), (450, 170, 70.0))
    quarters = rotation // 90
    arriving = np.ascontiguousarray(np.rot90(scene_image, quarters))  # counterclockwise
    height, width = arriving.shape[:2]
    cx, cy = (width - 1) / 2 + 5.0, (height - 1) / 2 - 3.0
    camera = CameraModel.from_calibration(
        width, height, [500, 0, cx, 0, 500, cy, 0, 0, 1], [0] * 5, "plumb_bob"
    )
    # The same camera, turned with the image: its center, and directions turned back from its frame.
    # A calibration counts from the center of the first pixel.
    turned_center, back = {
        90: ((height - 1 - cy, cx), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
        180: ((width - 1 - cx, height - 1 - cy), [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
        270: ((cy, width - 1 - cx), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    }[rotation]
    turned_camera = CameraModel.from_calibration(
        scene_image.shape[1],
        scene_image.shape[0],
        [500, 0, turned_center[0], 0, 500, turned_center[1], 0, 0, 1],
        [0] * 5,
        "plumb_bob",
    )
    with FaceMesh(blendshapes=True, pose=True) as mesh:
        mesh.camera = turned_camera
        expected = mesh.process(scene_image)
    with FaceMesh(rotation=rotation, pose=True, blendshapes=True) as mesh:
        mesh.camera = camera
        faces = mesh.process(arriving)

    assert len(faces) == len(expected) == 2
    estimator = HeadPoseEstimator(camera)
    for face, other in zip(faces, expected, strict=True):
        x, y = other.points.T
        points = {
            90: np.stack([y, height - x], axis=1),
            180: np.stack([width - x, height - y], axis=1),
            270: np.stack([width - y, x], axis=1),
        }[rotation]
        eyes = float(np.linalg.norm(other.points[33] - other.points[263]))
        assert np.linalg.norm(face.points - points, axis=1).max() < 1e-4 * eyes
        np.testing.assert_allclose(face.points_z, other.points_z, rtol=1e-5)
        assert face.blendshapes is not None and other.blendshapes is not None
        np.testing.assert_allclose(face.blendshapes, other.blendshapes, atol=1e-4)
        head = estimator.estimate(points, other.points_z)
        assert head is not None
        assert face.pose is not None
        np.testing.assert_allclose(face.pose, head.pose, atol=1e-6)
        assert other.pose is not None
        turned_back = np.array(back) @ other.pose[:3]
        np.testing.assert_allclose(face.pose[:3], turned_back, atol=1e-4)
        left, top, box_width, box_height = face.box
        inside = (face.points[1] - (left, top)) / (box_width, box_height)
        assert ((inside > 0) & (inside < 1)).all()
