"""Where eyes look: eyes made to look somewhere, and real ones that look into the camera."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from cameras import CAMERAS, mediapipe_camera
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.analysis.gaze import (
    CENTER_DEPTH,
    CENTER_HEIGHT,
    CENTER_OUTWARDS,
    IRIS_DISTANCE,
    KAPPA,
    LEAST_CONTRAST,
    LEFT,
    RIGHT,
    TO_VISUAL_AXIS,
    _Eye,
    estimate_gaze,
)
from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray, Gaze
from maix_facemesh_ros.image import Pixels
from posed_faces import head_at, rotation, see
from scenes import ASTRONAUT_POINTS, MEDIAPIPE

CAMERA = CAMERAS["plumb_bob"]

#: Meters: half an iris.
IRIS_RADIUS = 0.0059


def direction(left: float, up: float) -> DoubleArray:
    """Return a direction in the head's frame: degrees to the person's left and up."""
    a, b = math.radians(left), math.radians(up)
    return np.array([math.cos(b) * math.cos(a), math.cos(b) * math.sin(a), math.sin(b)])


def irises(right: DoubleArray, left: DoubleArray) -> DoubleArray:
    """Return (10, 3) meters in the head's frame: the irises of eyes that look somewhere."""
    places = []
    for eye, looks, side, turn in zip(
        (RIGHT, LEFT), (right, left), (-1, 1), TO_VISUAL_AXIS, strict=True
    ):
        center = eye.middle + (-CENTER_DEPTH, side * CENTER_OUTWARDS, CENTER_HEIGHT)
        axis = turn.T @ looks
        middle = center + IRIS_DISTANCE * axis
        across = np.cross(axis, (0.0, 0.0, 1.0))
        up = np.cross(across, axis)
        rim = [across, up, -across, -up]
        places += [middle, *(middle + IRIS_RADIUS * part for part in rim)]
    return np.array(places)


def look(
    right: DoubleArray,
    left: DoubleArray,
    pose: DoubleArray,
    camera: CameraModel = CAMERA,
    noise: float = 0.0,
    seed: int = 0,
) -> Gaze | None:
    """Return the gaze that is found for eyes that look in directions of the head's frame."""
    points, points_z = see(camera, pose, irises(right, left))
    points = points + np.random.default_rng(seed).normal(0, noise, points.shape)
    head = HeadPoseEstimator(camera).estimate(points, points_z)
    assert head is not None
    return estimate_gaze(points, camera.rays(points), head.pose, 1.0)


def degrees_off(one: DoubleArray, other: DoubleArray) -> float:
    return math.degrees(math.acos(min(1.0, float(one @ other))))


@pytest.mark.parametrize("turn", [(0, 0, 0), (30, 0, 0), (-30, 10, 5), (0, -20, 0), (0, 0, 60)])
@pytest.mark.parametrize("up", [-15, 0, 15])
@pytest.mark.parametrize("left", [-25, 0, 25])
def test_where_eyes_look_is_found(left: int, up: int, turn: tuple[float, float, float]) -> None:
    pose = head_at((0.05, -0.03, 0.6), rotation(*turn))
    looks = direction(left, up)
    gaze = look(looks, looks, pose)
    assert gaze is not None
    seen = pose[:3, :3] @ looks
    for found in (gaze.direction, gaze.right, gaze.left):
        assert np.linalg.norm(found) == pytest.approx(1)
        assert degrees_off(found, seen) < 2.0
    between = (pose[:3, :3] @ ((RIGHT.middle + LEFT.middle) / 2)) + pose[:3, 3]
    assert np.linalg.norm(gaze.origin - between) < 0.01


def test_each_eye_has_its_own_direction() -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    # To something near before the nose.
    gaze = look(direction(12, 0), direction(-12, 0), pose)
    assert gaze is not None
    # The right eye looks to the person's left, which is to the right in the image.
    assert math.degrees(math.atan2(gaze.right[0], -gaze.right[2])) == pytest.approx(12, abs=1.5)
    assert math.degrees(math.atan2(gaze.left[0], -gaze.left[2])) == pytest.approx(-12, abs=1.5)
    assert abs(gaze.direction[0]) < 0.02


def test_up_and_left_are_where_they_should_be() -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    up = look(direction(0, 20), direction(0, 20), pose)
    left = look(direction(20, 0), direction(20, 0), pose)
    assert up is not None
    assert left is not None
    assert up.direction[1] < -0.3, "up is -y in the optical frame"
    assert left.direction[0] > 0.3, "the person's left is +x in the optical frame"
    assert max(up.direction[2], left.direction[2]) < -0.8, "towards the camera"


@pytest.mark.parametrize("closed", [RIGHT, LEFT])
def test_a_closed_eye_leaves_it_to_the_other(closed: object) -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    looks = direction(10, 5)
    points, _ = see(CAMERA, pose, irises(looks, looks))
    assert closed in (RIGHT, LEFT)
    eye = RIGHT if closed is RIGHT else LEFT
    points[eye.lids[0]] = points[eye.lids[1]]
    gaze = estimate_gaze(points, CAMERA.rays(points), pose, 1.0)
    assert gaze is not None
    shut, opened = (gaze.right, gaze.left) if eye is RIGHT else (gaze.left, gaze.right)
    assert shut.tolist() == [0, 0, 0]
    np.testing.assert_allclose(gaze.direction, opened, atol=1e-9)


def test_with_both_eyes_closed_there_is_no_gaze() -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    points, _ = see(CAMERA, pose, irises(direction(0, 0), direction(0, 0)))
    for eye in (RIGHT, LEFT):
        points[eye.lids[0]] = points[eye.lids[1]]
    assert estimate_gaze(points, CAMERA.rays(points), pose, 1.0) is None


def test_an_iris_far_outside_is_the_edge_of_the_ball() -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    points, _ = see(CAMERA, pose, irises(direction(0, 0), direction(0, 0)))
    points[[RIGHT.iris, LEFT.iris], 0] += 40
    gaze = estimate_gaze(points, CAMERA.rays(points), pose, 1.0)
    assert gaze is not None
    assert gaze.direction[0] > 0.95


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_has_no_gaze(wrong: float) -> None:
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    points, _ = see(CAMERA, pose, irises(direction(0, 0), direction(0, 0)))
    points[468] = wrong
    assert estimate_gaze(points, CAMERA.rays(points), pose, 1.0) is None


def test_a_smaller_head_looks_the_same_way() -> None:
    looks = direction(15, -5)
    pose = head_at((0.0, 0.0, 0.5), rotation(10, 0, 0))
    points, points_z = see(CAMERA, pose, irises(looks, looks))
    found = []
    for face_scale in (1.0, 0.8):
        head = HeadPoseEstimator(CAMERA, face_scale).estimate(points, points_z)
        assert head is not None
        gaze = estimate_gaze(points, CAMERA.rays(points), head.pose, face_scale)
        assert gaze is not None
        found.append(gaze)
    np.testing.assert_allclose(found[0].direction, found[1].direction, atol=1e-6)
    np.testing.assert_allclose(0.8 * found[0].origin, found[1].origin, atol=1e-6)


def test_noise_of_the_landmarks_makes_it_tremble_so_much() -> None:
    for distance in (0.3, 0.5, 1.0, 2.0):
        pose = head_at((0.0, 0.0, distance), rotation(10, 0, 0))
        looks = direction(5, 0)
        seen = pose[:3, :3] @ looks
        off = []
        for seed in range(40):
            gaze = look(looks, looks, pose, CAMERAS["no distortion"], noise=0.3, seed=seed)
            if gaze is not None:
                off.append(degrees_off(gaze.direction, seen))
        print(f"0.3 px of noise at {distance} m: {np.median(off):.1f} degrees")
        assert np.median(off) < 1 + 7 * distance


@pytest.mark.parametrize("name", ["astronaut", "multi_face", "single_face"])
def test_people_who_look_into_the_camera_are_seen_to_do_so(name: str) -> None:
    official = np.load(MEDIAPIPE / f"{name}.npz")
    width, height = (int(side) for side in official["size"])
    camera = mediapipe_camera(width, height)
    for landmarks in official["landmarks"]:
        points = landmarks[:, :2] * (width, height)
        head = HeadPoseEstimator(camera).estimate(points, -landmarks[:, 2] * width)
        assert head is not None
        gaze = estimate_gaze(points, camera.rays(points), head.pose, 1.0)
        assert gaze is not None
        to_camera = -gaze.origin / np.linalg.norm(gaze.origin)
        off = degrees_off(gaze.direction, to_camera)
        apart = degrees_off(gaze.right, gaze.left)
        print(f"{name}: {off:.1f} degrees off the camera, {apart:.1f} degrees between the eyes")
        assert off < 10


def test_the_visual_axis_is_nearer_to_the_nose_and_higher_than_the_optical_axis() -> None:
    for side, turn in zip((-1, 1), TO_VISUAL_AXIS, strict=True):
        ahead, to_the_left, up = turn @ (1.0, 0.0, 0.0)
        assert math.degrees(math.atan2(-side * to_the_left, ahead)) == pytest.approx(KAPPA[0])
        assert math.degrees(math.asin(up)) == pytest.approx(KAPPA[1])


def test_eyes_that_meet_on_the_camera_are_as_far_apart_as_the_distance_says() -> None:
    for distance in (0.3, 0.6, 1.2):
        pose = head_at((0.0, 0.0, distance), rotation(0, 0, 0))
        towards = [-pose[:3, 3] @ pose[:3, :3] - eye.middle for eye in (RIGHT, LEFT)]
        right, left = (looks / np.linalg.norm(looks) for looks in towards)
        gaze = look(right, left, pose)
        assert gaze is not None
        assert degrees_off(gaze.right, gaze.left) == pytest.approx(degrees_off(right, left), abs=2)
        assert gaze.right[0] > gaze.left[0], "they converge"


@pytest.fixture(scope="module")
def gazes() -> Iterator[FaceMesh]:
    with FaceMesh(
        tracking=False, pose=True, gaze=True, assumed_field_of_view=60.0, max_face_num=1
    ) as mesh:
        yield mesh


def cover(astronaut: Pixels, eye: _Eye, how: str) -> None:
    """Hide an eye of the astronaut's image, in place."""
    outer, inner = ASTRONAUT_POINTS[list(eye.corners)]
    x, y = ((outer + inner) / 2).round().astype(int).tolist()
    half = round(0.75 * float(np.linalg.norm(outer - inner)))
    part = astronaut[y - half : y + half, x - half : x + half]
    if how == "a dark lens":
        part[:] = part // 40 + 15
    elif how == "out of focus":
        part[:] = cv2.GaussianBlur(part, (0, 0), half / 2)
    else:  # a hand, in the color of the cheek
        cheek = astronaut[y + 2 * half : y + 4 * half, x - half : x + half].mean(axis=(0, 1))
        part[:] = np.clip(np.random.default_rng(0).normal(cheek, 3, part.shape), 0, 255)


@pytest.mark.parametrize("how", ["a dark lens", "out of focus", "a hand"])
def test_hidden_eyes_have_no_gaze(gazes: FaceMesh, astronaut: Pixels, how: str) -> None:
    (face,) = gazes.process(astronaut)
    assert face.gaze is not None
    assert face.eye_contrast is not None
    assert min(face.eye_contrast) > LEAST_CONTRAST

    covered = astronaut.copy()
    cover(covered, RIGHT, how)
    (face,) = gazes.process(covered)
    assert face.gaze is not None, "the other eye is visible"
    assert face.gaze.right.tolist() == [0, 0, 0]
    np.testing.assert_allclose(face.gaze.direction, face.gaze.left, atol=1e-9)

    cover(covered, LEFT, how)
    (face,) = gazes.process(covered)
    assert len(face.points) == 478
    assert face.gaze is None


def test_without_a_contrast_no_eye_is_taken_for_hidden() -> None:
    """As with the landmarks of a MaixCAM, which sends no image."""
    pose = head_at((0.0, 0.0, 0.5), rotation(0, 0, 0))
    points, _ = see(CAMERA, pose, irises(direction(0, 0), direction(0, 0)))
    rays = CAMERA.rays(points)
    assert estimate_gaze(points, rays, pose, 1.0, None) is not None
    assert estimate_gaze(points, rays, pose, 1.0, (0.0, 0.1)) is None
