"""With `landmarks_interval` landmarks move along with their face, and the network looks less."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import Face, FaceMesh
from maix_facemesh_ros.backends.onnx import flow as face_flow
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels

#: A camera's noise, in gray levels.
NOISE = 2.0

INTERVAL = 5
#: Images until the ROI of a new face has settled.
SETTLING = 8


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


def noisy(image: Pixels, count: int) -> list[Pixels]:
    random = np.random.default_rng(0)
    return [
        np.clip(image + random.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def moved(
    image: Pixels, shift: tuple[float, float], degrees: float = 0.0, growth: float = 1.0
) -> Pixels:
    """Return the image shifted, turned around its middle and enlarged."""
    height, width = image.shape[:2]
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, growth)
    motion = np.asarray(motion) + np.array([(0, 0, shift[0]), (0, 0, shift[1])])
    return np.asarray(cv2.warpAffine(image, motion, (width, height)), np.uint8)


def follow(images: list[Pixels], interval: int = INTERVAL, *, bgr: bool = False) -> list[Face]:
    """Return the only face of each image."""
    with FaceMesh(
        tracking=True, max_face_num=1, smoothing="off", landmarks_interval=interval
    ) as mesh:
        found = [mesh.process(image, number / 30, bgr=bgr) for number, image in enumerate(images)]
    return [face for (face,) in found]


def distances(faces: list[Face], others: list[Face]) -> FloatArray:
    """Return how far each landmark is from the other's, as a fraction of the eye distance."""
    points, other = (np.array([face.points for face in each]) for each in (faces, others))
    eyes = np.linalg.norm(other[:, 33] - other[:, 263], axis=1)
    return np.asarray(np.linalg.norm(points - other, axis=2) / eyes[:, np.newaxis])


def test_a_still_face_keeps_its_landmarks(astronaut: Pixels, runs: list[int]) -> None:
    images = noisy(astronaut, 30)
    full = follow(images, interval=1)
    assert runs[0] == len(images)
    runs[0] = 0
    kept = follow(images)
    assert runs[0] <= SETTLING + (len(images) - SETTLING) / INTERVAL + 1
    assert distances(kept, full).mean() < 0.002
    assert distances(kept, full).max() < 0.02
    assert kept[-1].points is not kept[-2].points


def test_landmarks_move_along_with_the_face(astronaut: Pixels, runs: list[int]) -> None:
    steps = [0] * SETTLING + list(range(1, 16))
    images = [moved(astronaut, (2.0 * n, -1.0 * n), 0.5 * n, 1 + 0.005 * n) for n in steps]
    full = follow(images, interval=1)
    runs[0] = 0
    carried = follow(images)
    assert runs[0] <= SETTLING + 5
    gaps = distances(carried, full)
    assert gaps.mean() < 0.004
    assert gaps.mean(axis=1).max() < 0.01
    # The way it went is thirty times as long.
    assert distances(full[-1:], full[:1]).mean() > 0.3
    depths = [np.ptp(face.points_z) for face in (carried[-1], full[-1], full[0])]
    assert depths[0] == pytest.approx(depths[1], rel=0.02)
    assert depths[1] > 1.03 * depths[2]
    assert [face.id for face in carried] == [1] * len(images)
    assert all(face.landmarks_score > 0.5 for face in carried)


def test_an_eye_that_closes_is_looked_at_at_once(astronaut: Pixels, runs: list[int]) -> None:
    still = [astronaut] * SETTLING
    face = follow(still, interval=100)[-1]
    eye = face.points[[33, 133, 159, 145]].astype(int)
    (left, top), (right, bottom) = eye.min(axis=0), eye.max(axis=0)
    closed = astronaut.copy()
    closed[top - 2 : bottom + 1, left:right] = closed[bottom + 4, left:right]
    mouth = face.points[[61, 291, 13, 17]].astype(int)
    (left, top), (right, bottom) = mouth.min(axis=0), mouth.max(axis=0)
    open_mouth = astronaut.copy()
    cv2.ellipse(
        open_mouth,
        ((left + right) // 2, bottom),
        ((right - left) // 3, 12),
        0,
        0,
        360,
        (40, 10, 10),
        -1,
    )
    runs[0] = 0
    follow(still, interval=100)
    without = runs[0]
    for image in (closed, open_mouth):
        runs[0] = 0
        follow([*still, image], interval=100)
        assert runs[0] == without + 1
    runs[0] = 0
    follow([*still, astronaut], interval=100)
    assert runs[0] == without


def test_a_face_that_has_gone_is_not_carried_on(astronaut: Pixels) -> None:
    gray = np.full_like(astronaut, 128)
    noise = np.random.default_rng(0).integers(0, 255, astronaut.shape, np.uint8)
    elsewhere = np.roll(astronaut, (100, 150), (0, 1))
    for image in (np.zeros_like(astronaut), gray, noise):
        with FaceMesh(tracking=True, max_face_num=1, landmarks_interval=100) as mesh:
            for _ in range(SETTLING):
                assert len(mesh.process(astronaut)) == 1
            assert mesh.process(image) == []
    full, carried = (follow([astronaut] * SETTLING + [elsewhere], n)[-1] for n in (1, 100))
    np.testing.assert_array_equal(carried.points, full.points)


def test_a_new_stream_begins_with_the_network(astronaut: Pixels, runs: list[int]) -> None:
    mesh = FaceMesh(tracking=True, max_face_num=1, landmarks_interval=100)
    for _ in range(SETTLING):
        mesh.process(astronaut)
    runs[0] = 0
    mesh.process(astronaut)
    assert runs[0] == 0
    # Further back than `id_timeout`.
    mesh.process(astronaut, -1.0)
    assert runs[0] == 1


def test_a_image_of_another_size_is_looked_at(astronaut: Pixels) -> None:
    mesh = FaceMesh(tracking=True, max_face_num=1, landmarks_interval=100)
    for image in (*[astronaut] * SETTLING, astronaut[:300], astronaut[:, :300]):
        assert len(mesh.process(image)) == 1


def test_order_of_the_channels_makes_no_difference(astronaut: Pixels) -> None:
    images = [moved(astronaut, (float(n), 0.0)) for n in range(12)]
    rgb = follow(images)
    bgr = follow([np.ascontiguousarray(image[:, :, ::-1]) for image in images], bgr=True)
    views = follow([image[:, :, ::-1] for image in images], bgr=True)
    for face, other, view in zip(rgb, bgr, views, strict=True):
        np.testing.assert_array_equal(face.points, other.points)
        np.testing.assert_array_equal(face.points, view.points)


@pytest.mark.parametrize("scale", [0.1, 0.25, 3.0])
def test_small_large_and_cut_off_faces(astronaut: Pixels, scale: float) -> None:
    """Faces that cannot be tracked get the network; a large one is processed in a smaller image."""
    image = np.asarray(cv2.resize(astronaut, None, fx=scale, fy=scale), np.uint8)
    cut_off = np.ascontiguousarray(image[:, int(225 * scale) :])
    for shown in (image, cut_off):
        meshes = [
            FaceMesh(tracking=True, max_face_num=1, smoothing="off", landmarks_interval=interval)
            for interval in (1, 3)
        ]
        for number in range(12):
            moving = moved(shown, (0.01 * shown.shape[1] * number / 12, 0.0))
            full, carried = (mesh.process(moving) for mesh in meshes)
            assert len(full) == len(carried)
            if full and number > SETTLING:
                assert distances(carried, full).mean() < 0.02


def test_several_faces_are_carried_each_by_itself(astronaut: Pixels, runs: list[int]) -> None:
    images = [
        np.hstack([moved(astronaut, (float(n), 0.0)), moved(astronaut, (0.0, -1.5 * n))])
        for n in [0] * SETTLING + list(range(1, 13))
    ]
    meshes = [
        FaceMesh(tracking=True, max_face_num=2, smoothing="off", landmarks_interval=interval)
        for interval in (1, INTERVAL)
    ]
    for image in images:
        full, carried = (sorted(mesh.process(image), key=lambda face: face.id) for mesh in meshes)
        assert [face.id for face in full] == [face.id for face in carried] == [1, 2]
        assert distances(carried, full).mean() < 0.01
    assert runs[0] < 2 * len(images) * 1.7


def test_with_1_nothing_is_remembered(astronaut: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_flow.FaceFlow, "__init__", lambda *_, **__: pytest.fail("made"))
    follow([astronaut] * 3, interval=1)


def test_the_interval_can_be_changed_between_images(astronaut: Pixels, runs: list[int]) -> None:
    mesh = FaceMesh(tracking=True, max_face_num=1)
    for interval, expected in ((1, 10), (100, 0), (1, 10)):
        mesh.change(landmarks_interval=interval)
        for _ in range(3):
            mesh.process(astronaut)
        runs[0] = 0
        for _ in range(10):
            mesh.process(astronaut)
        assert runs[0] == expected
