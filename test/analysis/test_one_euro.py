"""The One-Euro filter: still faces stop trembling, moving ones do not lag."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.smoothing import LandmarkSmoother, OneEuro
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.parameters import FaceMeshParameters

#: (478, 3) x, y, z of a face 100 pixels wide and high.
SHAPE = np.random.default_rng(1).uniform(0, 100, (478, 3))
SHAPE[0], SHAPE[1] = (0, 0, 0), (100, 100, 0)
INTERVAL = 1 / 30
DEFAULT = OneEuro.from_parameters(FaceMeshParameters())

Landmarks = npt.NDArray[np.float64]


def face_of(landmarks: Landmarks, number: int = 1) -> Face:
    return Face(
        id=number,
        points=landmarks[:, :2].astype(np.float32),
        points_z=landmarks[:, 2].astype(np.float32),
    )


def landmarks_of(face: Face) -> Landmarks:
    return np.column_stack([face.points, face.points_z]).astype(np.float64)


def smoothed(images: list[Landmarks], stamps: list[float] | None = None) -> list[Landmarks]:
    smoother = LandmarkSmoother()
    results = []
    for number, landmarks in enumerate(images):
        face = face_of(landmarks)
        smoother.smooth([face], stamps[number] if stamps else number * INTERVAL, DEFAULT)
        results.append(landmarks_of(face))
    return results


def trembling(count: int, scale: float = 1.0) -> list[Landmarks]:
    random = np.random.default_rng(2)
    return [(SHAPE + random.normal(0, 0.1, SHAPE.shape)) * scale for _ in range(count)]


def test_first_image_stays_as_it_is() -> None:
    np.testing.assert_array_equal(smoothed([SHAPE])[0], SHAPE.astype(np.float32))


def test_still_face_stops_trembling() -> None:
    raw = trembling(60)
    spread = np.std(smoothed(raw)[30:], axis=0).mean()
    assert spread < 0.5 * np.std(raw[30:], axis=0).mean()


def test_fast_face_does_not_lag() -> None:
    speed = 5.0  # pixels per image: one and a half face widths per second
    raw = [SHAPE + (speed * number, 0, 0) for number in range(30)]
    lag = raw[-1][:, 0] - smoothed(raw)[-1][:, 0]
    assert 0 < lag.mean() < 0.1 * speed


def test_second_image_is_the_formula_of_the_paper() -> None:
    step, face_size = 2.0, 100.0
    raw = [SHAPE, SHAPE + (step, 0, 0)]

    def share(cutoff: float) -> float:
        return 1 / (1 + 1 / (2 * math.pi * cutoff * INTERVAL))

    speed = share(1.0) * step / INTERVAL / face_size
    x = share(0.05 + 80.0 * speed) * step
    np.testing.assert_allclose(smoothed(raw)[1], SHAPE + (x, 0, 0), atol=1e-4)


def test_near_and_far_faces_are_smoothed_alike() -> None:
    near, far = smoothed(trembling(20, scale=4.0)), smoothed(trembling(20))
    np.testing.assert_allclose(near[-1], far[-1] * 4.0, atol=1e-3)


def test_depth_is_smoothed_too() -> None:
    raw = [SHAPE, SHAPE + (0, 0, 0.1)]
    depth = smoothed(raw)[1][:, 2] - SHAPE[:, 2]
    assert (depth > 0).all()
    assert (depth < 0.09).all()


def test_time_between_images_counts() -> None:
    raw = [SHAPE, SHAPE + 0.1]
    soon, late = smoothed(raw, [0, 0.01])[1], smoothed(raw, [0, 1.0])[1]
    assert np.abs(late - raw[1]).mean() < np.abs(soon - raw[1]).mean()


def test_stamp_that_does_not_advance_starts_anew() -> None:
    raw = trembling(3)
    for stamp in (2.0, 1.0):
        result = smoothed(raw, [1.0, 2.0, stamp])
        assert np.abs(result[1] - raw[1]).max() > 0.01
        np.testing.assert_allclose(result[2], raw[2], atol=1e-5)


def test_faces_are_smoothed_each_by_its_id() -> None:
    first, second = trembling(2)
    elsewhere = first + 300
    smoother = LandmarkSmoother()
    smoother.smooth([face_of(first, 1), face_of(elsewhere, 2)], 0.0, DEFAULT)
    faces = [face_of(elsewhere, 2), face_of(second, 1)]
    smoother.smooth(faces, INTERVAL, DEFAULT)

    np.testing.assert_allclose(landmarks_of(faces[0]), elsewhere, atol=1e-4)
    np.testing.assert_array_equal(landmarks_of(faces[1]), smoothed([first, second])[1])


def test_face_that_was_away_starts_anew() -> None:
    first, second = trembling(2)
    smoother = LandmarkSmoother()
    smoother.smooth([face_of(first)], 0.0, DEFAULT)
    smoother.smooth([], INTERVAL, DEFAULT)
    face = face_of(second)
    smoother.smooth([face], 2 * INTERVAL, DEFAULT)
    np.testing.assert_array_equal(landmarks_of(face), second.astype(np.float32))


def test_forget_starts_anew() -> None:
    first, second = trembling(2)
    smoother = LandmarkSmoother()
    smoother.smooth([face_of(first)], 0.0, DEFAULT)
    smoother.forget()
    face = face_of(second)
    smoother.smooth([face], INTERVAL, DEFAULT)
    np.testing.assert_array_equal(landmarks_of(face), second.astype(np.float32))


def test_faces_without_id_or_landmarks_are_left_alone() -> None:
    first, second = trembling(2)
    smoother = LandmarkSmoother()
    smoother.smooth([face_of(first, 0), Face(id=5)], 0.0, DEFAULT)
    untracked, empty = face_of(second, 0), Face(id=5)
    smoother.smooth([untracked, empty], INTERVAL, DEFAULT)
    np.testing.assert_array_equal(landmarks_of(untracked), second.astype(np.float32))
    assert empty.points.shape == (0, 2)
