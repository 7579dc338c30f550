"""With `still_threshold` a face that keeps still costs no run of the landmark network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.face_landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.face import FloatArray, Picture

#: A camera's noise, in grey levels.
NOISE = 2.0


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Holds, in its only place, how often the landmark network has run."""
    count = [0]
    find = FaceLandmarksNetwork.find

    def counted(network: FaceLandmarksNetwork, *args: object, **keywords: object) -> object:
        count[0] += 1
        return find(network, *args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(FaceLandmarksNetwork, "find", counted)
    return count


def noisy(picture: Picture, count: int) -> list[Picture]:
    random = np.random.default_rng(0)
    return [
        np.clip(picture + random.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def follow(pictures: list[Picture], still_threshold: float) -> list[FloatArray]:
    with FaceMesh(
        tracking=True, max_face_num=1, smoothing="off", still_threshold=still_threshold
    ) as mesh:
        found = [mesh.process(picture, number / 30) for number, picture in enumerate(pictures)]
    return [face.points for (face,) in found]


def test_a_still_face_keeps_its_landmarks(astronaut: Picture, runs: list[int]) -> None:
    pictures = noisy(astronaut, 20)
    full = follow(pictures, still_threshold=0.0)
    assert runs[0] == len(pictures)
    runs[0] = 0
    kept = follow(pictures, still_threshold=4.0)
    assert runs[0] <= 6
    eyes = np.linalg.norm(full[0][33] - full[0][263])
    distances = np.linalg.norm(np.array(kept) - np.array(full), axis=2) / eyes
    assert distances.mean() < 0.005
    assert distances.max() < 0.03
    assert kept[-1] is not kept[-2]


def test_a_face_that_moves_or_blinks_is_looked_at(astronaut: Picture, runs: list[int]) -> None:
    shift = np.array([[1, 0, 3], [0, 1, 0]], np.float64)
    moved = np.asarray(cv2.warpAffine(astronaut, shift, (512, 512)), np.uint8)
    still = [astronaut] * 8
    (*_, points) = follow([*still, moved], still_threshold=4.0)
    (before, *_) = follow(still, still_threshold=4.0)
    assert np.mean(points - before, axis=0) == pytest.approx((3.0, 0.0), abs=0.5)

    follow(still, still_threshold=4.0)
    runs[0] = 0
    follow(still, still_threshold=4.0)
    without = runs[0]
    eye = before[[33, 133, 159, 145]].astype(int)
    (left, top), (right, bottom) = eye.min(axis=0), eye.max(axis=0)
    blinking = astronaut.copy()
    blinking[top : bottom + 1, left:right] = blinking[bottom + 4, left:right]
    runs[0] = 0
    follow([*still, blinking], still_threshold=4.0)
    assert runs[0] == without + 1


def test_a_lost_face_and_a_new_stream_are_forgotten(astronaut: Picture, runs: list[int]) -> None:
    mesh = FaceMesh(tracking=True, max_face_num=1, still_threshold=4.0)
    for _ in range(8):
        mesh.process(astronaut)
    assert mesh.process(np.zeros_like(astronaut)) == []
    mesh.process(astronaut, 0.0)
    runs[0] = 0
    mesh.process(astronaut, 0.1)
    assert runs[0] == 1
