"""MaixPy's whole numbers as a `Face`: nearest to what they were before their fractions were cut."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maix_facemesh_ros.backends.maix_faces import face_of
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.maixcam_shared.maix_face import Crop, MaixFace

CROP = (256, 256)


def maix_face(points: FloatArray, points_z: FloatArray, crop: Crop) -> tuple[MaixFace, FloatArray]:
    """Return what MaixPy makes of landmarks in the crop, and where they are in the image."""
    scale = crop.side / CROP[0]
    cos, sin = math.cos(crop.angle), math.sin(crop.angle)
    x, y = ((points / CROP[0] - 0.5) * crop.side).T
    image = np.stack([crop.center_x + x * cos - y * sin, crop.center_y + x * sin + y * cos], axis=1)
    face = MaixFace(
        *(10, 20, 30, 40),
        score=0.75,
        keypoints=[1, 2, 3, 4, 5, 6, -1, -1, 9, 10],
        landmarks_score=0.5,
        crop=crop,
        points=[int(number) for number in image.reshape(-1)],
        points_rel=[int(number) for number in points.reshape(-1)],
        points_z=[round(float(z)) for z in points_z],
    )
    assert scale > 0
    return face, image.astype(np.float32)


def landmarks() -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(3)
    points = random.uniform(10, 246, (478, 2)).astype(np.float32)
    return points, random.uniform(-60, 60, 478).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, math.pi])
@pytest.mark.parametrize(
    ("side", "error"),
    [(64, 0.5 * 64 / 256), (200, 0.5 * 200 / 256), (256, 0.5), (900, 0.5)],
)
def test_points_are_within_half_a_pixel_of_the_finer_numbers(
    side: int, error: float, angle: float
) -> None:
    points, points_z = landmarks()
    found, true = maix_face(points, points_z, Crop(1000, 900, side, angle))
    face = face_of(found, CROP)
    # A point of the crop is off in both directions, so along x or y by up to sqrt(2) of it.
    assert np.abs(face.points - true).max() <= error * math.sqrt(2) + 1e-3
    # No shift to one side is left.
    assert np.abs((face.points - true).mean(axis=0)).max() < 0.1 * error
    assert np.abs(face.points_rel - points).max() <= 0.5
    assert face.points.dtype == face.points_z.dtype == face.points_rel.dtype == np.float32


def test_depths_come_in_the_scale_of_x_and_y() -> None:
    points, points_z = landmarks()
    found, _ = maix_face(points, points_z, Crop(500, 400, 512, 0.0))
    assert face_of(found, CROP).points_z == pytest.approx(2 * points_z, abs=1.0)


def test_fractions_were_cut_off_towards_zero() -> None:
    points = np.array([(-10.7, 5.2)] * 478, np.float32)
    found, _ = maix_face(points, np.zeros(478, np.float32), Crop(500, 400, 512, 0.0))
    assert face_of(found, CROP).points_rel[0].tolist() == [-10.5, 5.5]


def test_a_key_point_that_is_not_seen_is_no_number() -> None:
    found, _ = maix_face(*landmarks(), Crop(500, 400, 100, 0.0))
    face = face_of(found, CROP)
    assert face.box == (10.0, 20.0, 30.0, 40.0)
    assert face.box_keypoints[[0, 1, 2, 4]].tolist() == [
        *([1.5, 2.5], [3.5, 4.5], [5.5, 6.5], [9.5, 10.5])
    ]
    assert np.isnan(face.box_keypoints[3]).all()
    assert (face.score, face.landmarks_score) == (0.75, 0.5)


def test_a_key_point_at_the_left_edge_is_seen() -> None:
    found, _ = maix_face(*landmarks(), Crop(500, 400, 100, 0.0))
    face = face_of(found._replace(keypoints=[-1, 7, *range(8)]), CROP)
    assert face.box_keypoints[0].tolist() == [-1.5, 7.5]


def test_a_face_without_landmarks_has_none() -> None:
    found, _ = maix_face(*landmarks(), Crop(500, 400, 100, 0.0))
    face = face_of(found._replace(points=(), points_rel=(), points_z=()), CROP)
    assert face.points.shape == face.points_rel.shape == (0, 2)
    assert face.points_z.shape == (0,)
