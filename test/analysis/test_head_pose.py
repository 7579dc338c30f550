"""Heads in space: as MediaPipe finds them with its camera, and as they are with real ones."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from cameras import CAMERA_MATRIX, CAMERAS, mediapipe_camera
from maix_facemesh_ros.analysis.head_pose import SELLION, HeadPoseEstimator, Method
from maix_facemesh_ros.camera.model import CalibrationError, CameraModel, Region
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.mesh.canonical_face import VERTICES
from posed_faces import FACING, degrees_between, head_at, rotation, see
from scenes import MEDIAPIPE

PLACES = [(0.0, 0.0, 0.3), (0.0, 0.0, 0.6), (0.15, 0.1, 0.7), (-0.4, 0.2, 2.0), (0.9, -0.5, 5.0)]
TURNS = [
    (0, 0, 0), (20, 0, 0), (45, 0, 0), (-45, 0, 0), (0, 30, 0), (0, -30, 0), (30, 15, 10),
    (0, 0, 90), (-20, 10, -90),
]  # fmt: skip


@pytest.mark.parametrize("name", ["astronaut", "multi_face", "single_face"])
def test_with_mediapipes_camera_the_pose_is_mediapipes(name: str) -> None:
    """`facial_transformation_matrixes`, brought into this package's axes and origin."""
    official = np.load(MEDIAPIPE / f"{name}.npz")
    width, height = (int(side) for side in official["size"])
    estimator = HeadPoseEstimator(mediapipe_camera(width, height), method=Method.MEDIAPIPE)
    opengl = np.diag([1.0, -1, -1])
    for landmarks, matrix in zip(official["landmarks"], official["matrices"], strict=True):
        head = estimator.estimate(landmarks[:, :2] * (width, height), -landmarks[:, 2] * width)
        assert head is not None
        turned = (opengl @ matrix[:3, :3])[:, [2, 0, 1]]
        place = opengl @ (matrix[:3, :3] @ VERTICES[SELLION] + matrix[:3, 3]) / 100
        degrees = degrees_between(head.pose[:3, :3], turned)
        percent = 100 * np.linalg.norm(head.pose[:3, 3] - place) / np.linalg.norm(place)
        print(f"{name}: {degrees:.3f} degrees, {percent:.4f} % of the distance")
        assert degrees < 0.5
        assert percent < 1


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_known_pose_is_found_again(camera: str, turn: tuple[float, float, float]) -> None:
    model = CAMERAS[camera]
    estimator = HeadPoseEstimator(model)
    tried = 0
    for place in PLACES:
        pose = head_at(place, rotation(*turn))
        points, points_z = see(model, pose)
        inside = ((points > 0) & (points < (model.width, model.height))).all()
        if not inside:
            continue  # A face that is cut off, in this camera.
        tried += 1
        head = estimator.estimate(points.astype(np.float32), points_z.astype(np.float32))
        assert head is not None
        degrees = degrees_between(head.pose[:3, :3], pose[:3, :3])
        distance = np.linalg.norm(pose[:3, 3])
        percent = 100 * np.linalg.norm(head.pose[:3, 3] - pose[:3, 3]) / distance
        assert degrees < 0.5, place
        assert percent < 1, place
    assert tried >= 3


@pytest.mark.parametrize("noise", [0.3])
def test_noise_of_the_landmarks_makes_the_pose_tremble_so_much(noise: float) -> None:
    """Independent noise, which is more than a network's: it errs by the whole face."""
    model, random = CAMERAS["no distortion"], np.random.default_rng(1)
    estimator = HeadPoseEstimator(model)
    for distance in (0.5, 1.0, 2.0, 4.0):
        pose = head_at((0.1 * distance, 0.0, distance), rotation(15, 5, 0))
        points, points_z = see(model, pose)
        turns, places = [], []
        for _ in range(50):
            head = estimator.estimate(
                points + random.normal(0, noise, points.shape),
                points_z + random.normal(0, noise, points_z.shape),
            )
            assert head is not None
            turns.append(degrees_between(head.pose[:3, :3], pose[:3, :3]))
            places.append(np.linalg.norm(head.pose[:3, 3] - pose[:3, 3]) / distance)
        width = np.ptp(points[:, 0])
        print(
            f"{noise} px of noise, a face of {width:.0f} px at {distance} m: "
            f"{np.median(turns):.2f} degrees, {100 * np.median(places):.2f} %"
        )
        assert np.median(turns) < 1.5 * distance
        assert np.median(places) < 0.01 * distance


@pytest.mark.parametrize("camera", CAMERAS)
def test_points_3d_are_seen_where_the_landmarks_are(camera: str) -> None:
    model = CAMERAS[camera]
    pose = head_at((0.05, -0.04, 0.8), rotation(20, -10, 5))
    points, points_z = see(model, pose)
    head = HeadPoseEstimator(model).estimate(points, points_z)
    assert head is not None
    assert head.points_3d.shape == (478, 3)
    assert head.points_3d.dtype == np.float32
    assert np.abs(model.project(head.points_3d) - points).max() < 0.02
    nose, ear = head.points_3d[1], head.points_3d[234]
    assert nose[2] < ear[2]
    # The canonical face is as deep as that.
    true = np.linalg.norm(VERTICES[1] - VERTICES[234]) / 100
    assert np.linalg.norm(nose - ear) == pytest.approx(true, rel=0.05)


def test_axes_and_origin_are_those_of_rep_155() -> None:
    model = CAMERAS["no distortion"]
    points, points_z = see(model, head_at((0.0, 0.0, 1.0), rotation(0, 0, 0)))
    head = HeadPoseEstimator(model).estimate(points, points_z)
    assert head is not None
    np.testing.assert_allclose(head.pose[:3, :3], FACING, atol=0.01)
    np.testing.assert_allclose(head.pose[:3, 3], (0, 0, 1), atol=0.01)
    assert np.linalg.det(head.pose[:3, :3]) == pytest.approx(1)
    assert head.pose[3].tolist() == [0, 0, 0, 1]
    # Between the eyes, above the tip of the nose, in the middle.
    seen = model.project(head.pose[None, :3, 3])[0]
    assert points[33, 0] < seen[0] < points[263, 0]
    assert seen[1] < points[1, 1]


@pytest.mark.parametrize(
    ("turn", "axis", "towards"),
    [
        # To the person's left is to the right in the image.
        ((30, 0, 0), 0, lambda x: x[0] > 0.4),
        ((0, 30, 0), 0, lambda x: x[1] > 0.4),
        # To the right shoulder: the top of the head goes to the left in the image.
        ((0, 0, 30), 2, lambda z: z[0] < -0.4),
    ],
)
def test_heads_turn_the_right_way(
    turn: tuple[float, float, float], axis: int, towards: object
) -> None:
    model = CAMERAS["no distortion"]
    points, points_z = see(model, head_at((0.0, 0.0, 1.0), rotation(*turn)))
    head = HeadPoseEstimator(model).estimate(points, points_z)
    assert head is not None
    assert callable(towards)
    assert towards(head.pose[:3, axis])


@pytest.mark.parametrize("face_scale", [0.5, 0.9, 1.2])
def test_everything_is_proportional_to_the_size_of_the_head(face_scale: float) -> None:
    model = CAMERAS["plumb_bob"]
    points, points_z = see(model, head_at((0.1, 0.1, 0.9), rotation(10, 0, 0)))
    one = HeadPoseEstimator(model).estimate(points, points_z)
    other = HeadPoseEstimator(model, face_scale).estimate(points, points_z)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.pose[:3, 3], face_scale * one.pose[:3, 3], rtol=1e-6)
    np.testing.assert_allclose(other.pose[:3, :3], one.pose[:3, :3], atol=1e-9)
    np.testing.assert_allclose(other.points_3d, face_scale * one.points_3d, rtol=1e-5)


def test_a_childs_head_seems_as_much_further_as_it_is_smaller() -> None:
    model = CAMERAS["no distortion"]
    points, points_z = see(model, head_at((0.0, 0.0, 1.0), rotation(0, 0, 0)), face_scale=0.8)
    head = HeadPoseEstimator(model).estimate(points, points_z)
    assert head is not None
    assert head.pose[2, 3] == pytest.approx(1 / 0.8, rel=0.01)


def test_it_turns_with_the_camera() -> None:
    """The same face in the corner of the image, as if the camera had been turned."""
    model = CAMERAS["no distortion"]
    angle = math.radians(20)
    turn = np.array(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    pose = head_at((0.0, 0.0, 1.0), rotation(0, 0, 0))
    turned = pose.copy()
    turned[:3] = turn @ pose[:3]
    head = HeadPoseEstimator(model).estimate(*see(model, turned))
    assert head is not None
    assert degrees_between(head.pose[:3, :3], turned[:3, :3]) < 0.5
    # MediaPipe's way: the face seems to have turned by a part of that.
    other = HeadPoseEstimator(model, method=Method.MEDIAPIPE).estimate(*see(model, turned))
    assert other is not None
    assert degrees_between(other.pose[:3, :3], turned[:3, :3]) > 5


def wrong_landmarks() -> list[tuple[DoubleArray, DoubleArray]]:
    points, points_z = see(CAMERAS["fisheye"], head_at((0.0, 0.0, 1.0), rotation(0, 0, 0)))
    not_a_number = points.copy()
    not_a_number[133] = math.nan
    return [
        (not_a_number, points_z),
        (points, points_z * math.nan),
        (points, points_z * math.inf),
        (points * 0 + 5, points_z * 0),
        (points * 0 + 5, points_z),
        (points * 1e6, points_z),
        (points * 1e30, points_z * 1e30),
        (points, points_z * 1e6),
    ]


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("camera", CAMERAS)
def test_what_is_no_face_has_no_pose(camera: str, case: int) -> None:
    head = HeadPoseEstimator(CAMERAS[camera]).estimate(*wrong_landmarks()[case])
    assert head is None or np.isfinite(head.pose).all()
    assert head is None or case >= 5, "nothing can be said of these"


def test_too_few_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match="needs all 478 landmarks"):
        HeadPoseEstimator(CAMERAS["plumb_bob"]).estimate(np.zeros((68, 2)), np.zeros(68))


# The camera


def test_projection_is_opencvs() -> None:
    random = np.random.default_rng(0)
    points = np.column_stack([random.uniform(-0.5, 0.5, (50, 2)), random.uniform(1, 3, 50)])
    for name, coefficients in (
        ("plumb_bob", (-0.35, 0.14, 0.002, -0.0015, -0.02)),
        ("rational_polynomial", (0.8, 0.05, 0.0004, -0.0002, 0.001, 1.15, 0.2, 0.01)),
        ("rational_polynomial", tuple(CAMERAS["thin_prism"].distortion)),
        ("rational_polynomial", tuple(CAMERAS["tilted"].distortion)),
        ("plumb_bob", (0.8, 0.05, 0.0004, -0.0002, 0.001, 1.15, 0.2, 0.01)),
        ("equidistant", (-0.02, 0.006, -0.004, 0.0007)),
    ):
        model = CameraModel.from_calibration(640, 480, CAMERA_MATRIX, coefficients, name)
        matrix, distortion = np.array(CAMERA_MATRIX).reshape(3, 3), np.array(coefficients)
        if name == "equidistant":
            expected, _ = cv2.fisheye.projectPoints(
                points[:, None], np.zeros(3), np.zeros(3), matrix, distortion
            )
        else:
            expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, distortion)
        # OpenCV counts from the center of the first pixel, this package from its corner.
        np.testing.assert_allclose(model.project(points), expected[:, 0] + 0.5, atol=1e-6)


@pytest.mark.parametrize("camera", CAMERAS)
def test_rays_lead_back_to_where_they_come_from(camera: str) -> None:
    model = CAMERAS[camera]
    across, down = np.meshgrid(
        np.linspace(0.1, 0.9, 9) * model.width, np.linspace(0.1, 0.9, 9) * model.height
    )
    points = np.column_stack([across.ravel(), down.ravel()])
    rays = model.rays(points)
    back = model.project(np.column_stack([rays, np.ones(len(rays))]))
    # The corners of the fisheye's image look more than 90 degrees to the side.
    seen = np.isfinite(rays).all(axis=1)
    assert seen.mean() >= (0.9 if camera == "fisheye" else 1.0)
    assert np.abs(back - points)[seen].max() < 0.05


def test_a_part_of_the_sensor_looks_where_the_whole_does() -> None:
    whole = CameraModel.from_calibration(1280, 960, CAMERA_MATRIX, (), "")
    part = CameraModel.from_calibration(
        1280, 960, CAMERA_MATRIX, (), "", binning=(2, 2), region=Region(200, 100, 640, 480)
    )
    assert (part.width, part.height) == (320, 240)
    seen = np.array([[300.0, 300.0]])
    np.testing.assert_allclose(part.rays((seen - (200, 100)) / 2), whole.rays(seen))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((640, 480, [0.0] * 9, (), ""), "not calibrated"),
        ((640, 480, CAMERA_MATRIX, (1.0,), "plumb_bob"), "4 or 5"),
        ((640, 480, CAMERA_MATRIX, (1.0,) * 5, "thin_prism"), "thin_prism"),
        ((0, 480, CAMERA_MATRIX, (), ""), "0x480"),
        ((640, 480, CAMERA_MATRIX[:8], (), ""), "8 numbers"),
        ((640, 480, (*CAMERA_MATRIX[:8], math.nan), (), ""), "calibrate the camera again"),
        ((640, 480, CAMERA_MATRIX, (-5.0, 0, 0, 0, 0), "plumb_bob"), "has an inverse in"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        CameraModel.from_calibration(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("degrees", [0.0, 180.0, -5.0, math.nan])
def test_an_angle_that_no_lens_has_is_refused(degrees: float) -> None:
    with pytest.raises(CalibrationError, match="the field of view is"):
        CameraModel.from_field_of_view(640, 480, degrees)


@pytest.mark.parametrize(
    ("model", "given", "taken"),
    [
        ("plumb_bob", (-0.3, 0.1, 0.01, 0.02), (-0.3, 0.1, 0.01, 0.02, 0)),
        ("plumb_bob", (-0.3, 0.1, 0.01, 0.02, 0.3, 0, 0, 0), (-0.3, 0.1, 0.01, 0.02, 0.3)),
        ("plumb_bob", (-0.3, 0.1, 0, 0, 0, 0, 0, 0, 0), (-0.3, 0.1, 0, 0, 0)),
        ("plumb_bob", (-0.3, *[0] * 13), (-0.3, 0, 0, 0, 0)),
        ("rational_polynomial", (0.1, 0, 0, 0, 0, 0.1, *[0] * 6), (0.1, 0, 0, 0, 0, 0.1, 0, 0)),
        ("rational_polynomial", (-0.3, 0.1, 0, 0), (-0.3, 0.1, 0, 0, 0)),
        ("equidistant", (0.01, 0.02, 0, 0, 0, 0, 0, 0), (0.01, 0.02, 0, 0)),
    ],
)
def test_zeros_after_the_coefficients_do_not_count(
    model: str, given: tuple[float, ...], taken: tuple[float, ...]
) -> None:
    camera = CameraModel.from_calibration(640, 480, CAMERA_MATRIX, given, model)
    assert tuple(camera.distortion) == taken
    assert camera.model == model


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("plumb_bob", (-0.3, 0.1, 0, 0, 0, 0.1)),
        ("plumb_bob", (-0.3, 0.1, 0)),
        ("equidistant", (0.01, 0, 0, 0, 0.1)),
        ("rational_polynomial", (*[0.0] * 14, 0.1)),
    ],
)
def test_numbers_that_no_model_has_are_refused(model: str, given: tuple[float, ...]) -> None:
    with pytest.raises(CalibrationError, match=f"{model} has {len(given)} coefficients"):
        CameraModel.from_calibration(640, 480, CAMERA_MATRIX, given, model)
