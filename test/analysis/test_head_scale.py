"""The true size of heads from depth images with the faults of depth cameras."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from depth_images import Faults, rendered
from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.analysis.head_scale import AVERAGED, OUTLIERS, FindDepth, HeadScales
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.depth_image import DepthBuffer, DepthImage
from maix_facemesh_ros.errors import ArgumentTypeError
from maix_facemesh_ros.face import DoubleArray, Face, Gaze
from maix_facemesh_ros.image import Stamp
from posed_faces import head_at, rotation, see

#: As of the color images of depth cameras.
CAMERA = CameraModel.from_calibration(1280, 720, (900.0, 0, 640, 0, 900, 360, 0, 0, 1), (), "")
SIZE = (1280, 720)
SCALES = (0.7, 0.85, 1.0, 1.15)
TURNS = ((0, 0, 0), (30, 10, 5), (-45, 0, 0), (0, -20, 0))
ESTIMATOR = HeadPoseEstimator(CAMERA)


def seen(pose: DoubleArray, face_scale: float, face_id: int = 0) -> Face:
    """Return the face with the assumed size, as `Enrichment` has it before the depth."""
    points, points_z = see(CAMERA, pose, face_scale=face_scale)
    seen_points, depths = points.astype(np.float32), points_z.astype(np.float32)
    head = ESTIMATOR.estimate(seen_points, depths)
    assert head is not None
    return Face(
        id=face_id,
        points=seen_points,
        points_z=depths,
        pose=head.pose,
        points_3d=head.points_3d,
        head_scale=1.0,
    )


def always(depth: DepthImage | None) -> FindDepth:
    return lambda: depth


def distance_error(face: Face, pose: DoubleArray) -> float:
    """Return the error of the head's place, in percent of its distance."""
    assert face.pose is not None
    error = np.linalg.norm(face.pose[:3, 3] - pose[:3, 3])
    return float(100 * error / np.linalg.norm(pose[:3, 3]))


@pytest.mark.parametrize("distance", [0.3, 0.5, 1.0, 2.0, 4.0])
def test_distance_and_size_are_true_from_one_depth_image(distance: float) -> None:
    random = np.random.default_rng(1)
    distances, scales = [], []
    for face_scale in SCALES:
        for turn in TURNS:
            pose = head_at((0.05 * distance, -0.03 * distance, distance), rotation(*turn))
            face = seen(pose, face_scale)
            before = distance_error(face, pose)
            depth = Faults(holes=0.3, noise=0.02).applied(
                rendered(CAMERA, pose, face_scale), random
            )
            HeadScales().apply([face], SIZE, always(depth))
            assert face.scale_source == "depth"
            assert face_scale == 1.0 or before > 10
            distances.append(distance_error(face, pose))
            scales.append(100 * abs(face.head_scale / face_scale - 1))
    print(f"{distance} m: distance within {max(distances):.2f} %, size {max(scales):.2f} %")
    assert max(distances) < 1.0
    assert max(scales) < 2.0


Change = Callable[[DoubleArray], DoubleArray | float]


def over_face(depth: DoubleArray, face: Face, where: tuple[float, ...], change: Change) -> None:
    """Change the depths in a part of the face's box: left, right, top, bottom, 0 to 1."""
    low, high = face.points[:468].min(axis=0), face.points[:468].max(axis=0)
    left, right, top, bottom = where
    x = (low[0] + np.array([left, right]) * (high[0] - low[0])).astype(int)
    y = (low[1] + np.array([top, bottom]) * (high[1] - low[1])).astype(int)
    part = depth[y[0] : y[1], x[0] : x[1]]
    part[:] = change(part)


#: Place and depths of what is in front of a face or measured wrongly; worst error in percent at
#: 0.5 m, and at 2 m, where the noise is about a hand's distance from the face.
OBSTACLES: dict[str, tuple[tuple[float, ...], Change, float, float]] = {
    "a hand before the mouth": ((0, 1, 0.6, 1), lambda part: part.min() - 0.1, 1.0, 3.0),
    "a hand before one cheek": ((0, 0.45, 0, 1), lambda part: part.min() - 0.1, 1.0, 3.0),
    "a fringe": ((0, 1, 0, 0.35), lambda part: part - 0.03, 1.5, 1.0),
    "glasses that the infrared light passes": ((0, 1, 0.25, 0.42), lambda part: part + 1, 1.0, 1.0),
    "a large hole": ((0, 1, 0.4, 1), lambda _: 0.0, 2.0, 2.0),
    "edges that are 3 pixels off": ((0, 1, 0, 1), lambda part: np.roll(part, 3, 1), 1.0, 1.0),
}


@pytest.mark.parametrize("distance", [0.5, 2.0])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_is_not_the_face_hardly_matters(obstacle: str, distance: float) -> None:
    random = np.random.default_rng(1)
    where, change, near, far = OBSTACLES[obstacle]
    errors = []
    for face_scale in (0.7, 1.15):
        for turn in TURNS[:2]:
            pose = head_at((0.0, 0.0, distance), rotation(*turn))
            face, depth = seen(pose, face_scale), rendered(CAMERA, pose, face_scale)
            over_face(depth, face, where, change)
            image = Faults().applied(depth, random)
            HeadScales().apply([face], SIZE, always(image))
            assert face.scale_source == "depth"
            errors.append(distance_error(face, pose))
    print(f"{obstacle}, {distance} m: within {max(errors):.2f} %")
    assert max(errors) < (near if distance <= 1.0 else far)


def constant(meters: float, seconds: float = 0.0) -> DepthImage:
    values = np.full((360, 640), meters, np.float32)
    return DepthImage(values, Stamp.from_seconds(seconds))


@pytest.mark.parametrize(
    "depth", [None, constant(0.0), constant(np.nan), constant(np.inf), constant(9.0)]
)
def test_without_usable_depth_nothing_changes(depth: DepthImage | None) -> None:
    """At 9 m the head would be nine times as large as the average."""
    face = seen(head_at((0.0, 0.0, 1.0), rotation(0, 0, 0)), 1.0)
    pose, points = face.pose, face.points_3d
    HeadScales().apply([face], SIZE, lambda: depth)
    assert face.pose is pose
    assert face.points_3d is points
    assert (face.head_scale, face.scale_source) == (1.0, "assumed")


def test_depth_of_another_resolution_and_lens() -> None:
    pose = head_at((0.1, 0.0, 0.8), rotation(10, 0, 0))
    half = CameraModel.from_calibration(640, 360, (450.0, 0, 320, 0, 450, 180, 0, 0, 1), (), "")
    other = CameraModel.from_calibration(512, 512, (300.0, 0, 250, 0, 300, 260, 0, 0, 1), (), "")
    # The half has the view of the image, so it needs no model.
    for camera, model in ((half, None), (half, half), (other, other)):
        face = seen(pose, 0.8)
        image = replace(
            Faults(0.0, 0.0).applied(rendered(camera, pose, 0.8), np.random.default_rng()),
            camera=model,
        )
        HeadScales().apply([face], SIZE, always(image))
        assert distance_error(face, pose) < 0.5
    misplaced = seen(pose, 0.8)
    HeadScales().apply([misplaced], SIZE, lambda: replace(image, camera=None))
    assert distance_error(misplaced, pose) > 5, "the model matters"


def test_all_lengths_change_together_and_directions_stay() -> None:
    pose = head_at((0.1, 0.0, 0.8), rotation(20, 0, 0))
    face = seen(pose, 0.8)
    forward = np.array([0.0, 0.0, -1.0])
    face.gaze = Gaze(np.array([0.1, 0.0, 1.0]), forward, forward, forward)
    before = replace(face)
    image = Faults(0.0, 0.0).applied(rendered(CAMERA, pose, 0.8), np.random.default_rng())
    HeadScales().apply([face], SIZE, lambda: image)
    assert face.pose is not None
    assert before.pose is not None
    assert face.points_3d is not None
    assert before.points_3d is not None
    assert before.gaze is not None
    assert face.head_scale == pytest.approx(0.8, rel=0.01)
    np.testing.assert_array_equal(face.pose[:3, :3], before.pose[:3, :3])
    np.testing.assert_allclose(face.points_3d, face.head_scale * before.points_3d, rtol=1e-5)
    np.testing.assert_allclose(face.gaze.origin, face.head_scale * before.gaze.origin)
    np.testing.assert_array_equal(face.gaze.direction, before.gaze.direction)


def test_a_head_keeps_its_size_while_there_is_no_depth() -> None:
    pose = head_at((0.0, 0.0, 1.0), rotation(0, 0, 0))
    depth = rendered(CAMERA, pose, 0.8)
    scales, random = HeadScales(), np.random.default_rng(3)
    first = seen(pose, 0.8, face_id=1)
    scales.apply([first], SIZE, lambda: Faults().applied(depth, random))
    later, stranger = seen(pose, 0.8, face_id=1), seen(pose, 0.8, face_id=2)
    scales.apply([later, stranger], SIZE, lambda: None)
    assert (later.head_scale, later.scale_source) == (first.head_scale, "depth")
    assert (stranger.head_scale, stranger.scale_source) == (1.0, "assumed")
    scales.forget()
    forgotten = seen(pose, 0.8, face_id=1)
    scales.apply([forgotten], SIZE, lambda: None)
    assert forgotten.scale_source == "assumed"


def test_the_size_is_averaged_and_single_errors_do_not_count() -> None:
    pose = head_at((0.0, 0.0, 1.0), rotation(0, 0, 0))
    depth, random = rendered(CAMERA, pose, 0.8), np.random.default_rng(3)
    scales, found = HeadScales(), []

    def size(image: DepthImage | None) -> float:
        face = seen(pose, 0.8, face_id=1)
        scales.apply([face], SIZE, lambda: image)
        return face.head_scale

    for _ in range(3 * AVERAGED):
        found.append(size(Faults(noise=0.05).applied(depth, random)))
    assert np.std(found[AVERAGED:]) < 0.001
    assert size(constant(0.5)) == pytest.approx(0.8, rel=0.01), "a hand in front of the camera"
    for _ in range(OUTLIERS):
        last = size(constant(0.5))
    assert last < 0.6, "it was no error"


def test_depth_may_come_after_the_next_image() -> None:
    pose = head_at((0.0, 0.0, 1.0), rotation(0, 0, 0))
    image = Faults().applied(rendered(CAMERA, pose, 0.8), np.random.default_rng(1), 10.0)
    scales, buffer = HeadScales(), DepthBuffer()
    first, second = seen(pose, 0.8, face_id=1), seen(pose, 0.8, face_id=1)
    scales.apply([first], SIZE, lambda: buffer.at(10.0))
    assert first.scale_source == "assumed"
    buffer.add(image)
    scales.apply([second], SIZE, lambda: buffer.at(10.033))
    assert second.scale_source == "depth"
    assert distance_error(second, pose) < 1.0


@pytest.mark.parametrize(
    ("stamps", "asked", "found"),
    [
        ([10.0, 10.033], 10.0, 10.0),
        ([9.967, 10.0], 10.0, 10.0),
        ([9.99, 10.023], 10.0, 9.99),
        ([9.98, 10.013], 10.0, 10.013),
        ([9.99], 10.0, None),  # A nearer one may come.
        ([9.9, 10.1], 10.0, None),  # None is near.
        ([], 10.0, None),
        ([12.0, 10.0], 10.0, 10.0),  # The clock was set back.
    ],
)
def test_the_depth_image_of_an_image(
    stamps: list[float], asked: float, found: float | None
) -> None:
    buffer = DepthBuffer()
    for seconds in stamps:
        buffer.add(constant(1.0, seconds))
    image = buffer.at(asked)
    assert (None if image is None else image.stamp.seconds) == pytest.approx(found)
    buffer.clear()
    assert buffer.at(asked) is None


def test_arrays_that_are_not_depth_are_refused() -> None:
    for values in (np.zeros((4, 4)), np.zeros((4, 4, 1), np.uint16), np.zeros((0, 4), np.uint16)):
        with pytest.raises(ArgumentTypeError, match="give uint16 millimeters or float32 meters"):
            DepthImage(values)


def test_a_size_costs_less_than_a_pose() -> None:
    """A pose takes 0.16 ms (docs/heads.md), and 0.3 ms are allowed."""
    pose = head_at((0.0, 0.0, 1.0), rotation(0, 0, 0))
    face, random = seen(pose, 0.8), np.random.default_rng(1)
    depth = replace(Faults().applied(rendered(CAMERA, pose, 0.8), random), camera=CAMERA)
    times: dict[str, list[float]] = {"pose": [], "size": []}
    for _ in range(200):
        started = time.perf_counter()
        ESTIMATOR.estimate(face.points, face.points_z)
        estimated = time.perf_counter()
        HeadScales().apply([replace(face)], SIZE, lambda: depth)
        times["pose"].append(estimated - started)
        times["size"].append(time.perf_counter() - estimated)
    ratio = statistics.median(times["size"]) / statistics.median(times["pose"])
    print(f"{ratio:.2f} of the time of a pose")
    assert ratio < 1.9
