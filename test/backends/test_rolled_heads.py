"""Heads that are rolled: in the image plane, by any angle."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.face_search import Sighting, best_roll, check
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks, FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.roi import Roi
from maix_facemesh_ros.backends.onnx.tracker import FaceTracker, open_networks
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray, FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters
from posed_faces import degrees_between
from scenes import ASTRONAUT_CENTER, ASTRONAUT_POINTS, ASTRONAUT_WIDTH, plain, scene

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
    best = best_roll(networks, image, candidate)
    assert best.is_certain
    assert abs(math.remainder(mesh_roll(best.landmarks.points) - degrees, 360)) < 15


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


def test_a_false_detection_in_a_stream_is_tried_at_other_rolls_after_a_change_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = open_networks(FaceMeshParameters())
    looks: list[float] = []
    turned: list[int] = []

    def somewhere_else(*_: object) -> list[Detection]:
        box = (100.0 * (number % 5), 100.0 * (number % 3), 80.0, 80.0)
        return [Detection(box, 0.6, np.zeros((0, 2), np.float32))]

    def no_face(_: Image, roi: Roi) -> FaceLandmarks:
        looks.append(roi.rotation)
        points = ASTRONAUT_POINTS * (roi.width / 512)
        return FaceLandmarks(1e-4, points, np.zeros(478, np.float32), points)

    def nothing(_: Image, __: FaceMeshParameters, quarters: int = 0) -> list[Detection]:
        turned.append(quarters)
        return []

    monkeypatch.setattr(networks, "detections_in", somewhere_else)
    monkeypatch.setattr(networks, "detections", nothing)
    monkeypatch.setattr(networks, "landmarks", no_face)
    parameters = FaceMeshParameters(tracking=True)
    tracker = FaceTracker(parameters, networks)
    runs = []
    for number in range(40):
        looks.clear()
        turned.clear()
        pixels = plain(640, 480)
        if number >= 20:
            cv2.circle(pixels, (320, 240), 120, (250, 250, 250), -1)
        assert tracker.detect(Image(pixels, "rgb", Stamp(number, 0)), parameters) == []
        runs.append((len(looks), turned.copy()))
    assert runs[0][0] > 1
    assert runs[0][1] == [2, 1, 3]
    # In images without a change one look, but in every 30th one turn.
    assert max(looked for looked, _ in runs[1:20]) == 1
    assert sum(len(turns) for _, turns in runs[1:20]) == 1
    # After it the other rolls: of each detection one an image, and then of the whole image.
    assert all(looked <= 3 and len(turns) <= 1 for looked, turns in runs[20:])
    assert sum(looked for looked, _ in runs[20:36]) > 16
    assert [turn for _, turns in runs[20:36] for turn in turns] == [2, 1, 3]


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
