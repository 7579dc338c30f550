"""The landmarks, depths and expressions are those of the official MediaPipe FaceLandmarker.

data/mediapipe/README.md tells how its answers were made. Distances are in per cent of the distance
between the outer corners of the eyes. Depths are compared as MediaPipe measures them: `mediapipe_z`
tells the difference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels
from parity_scenes import SIZES, sized_scene
from scenes import MEDIAPIPE

IMAGES = ("astronaut", "single_face", "multi_face")

# Finds the faces of the images in one file and writes their landmarks into another.
FIND_LANDMARKS = """
import sys
import cv2, numpy
from maix_facemesh_ros import FaceMesh

images = numpy.load(sys.argv[1])
options = {"detector": "short_range", "any_roll": False}
with FaceMesh(**options, pose=True, assumed_field_of_view=60.0) as mesh:
    found = {name: mesh.process(images[name]) for name in images}
assert all(face.pose is not None for faces in found.values() for face in faces)
landmarks = {
    name: [numpy.column_stack([face.points, face.points_z]) for face in faces]
    for name, faces in found.items()
}
numpy.savez(sys.argv[2], **landmarks, opencv=cv2.__version__)
"""


@dataclass(frozen=True)
class Difference:
    """How far one face's landmarks are from MediaPipe's, in per cent of the eye distance."""

    mean: float
    worst: float
    worst_depth: float


def answer(name: str) -> dict[str, npt.NDArray[np.float64]]:
    with np.load(MEDIAPIPE / f"{name}.npz") as file:
        return dict(file)


def load(name: str, astronaut: Pixels, fetched: Path) -> Pixels:
    if name == "astronaut":
        return astronaut
    bgr = cv2.imread(str(fetched / f"{name}.jpg"))
    assert bgr is not None
    return np.asarray(bgr[:, :, ::-1], np.uint8)


def in_pixels(
    landmarks: npt.NDArray[np.floating], size: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """MediaPipe's (478, 3) landmarks as this package gives them: pixels, z larger = closer."""
    return np.asarray(landmarks * (size[0], size[1], -size[0]), np.float64)


def mediapipe_z(points_z: FloatArray, eyes: FloatArray, size: npt.NDArray[np.number]) -> FloatArray:
    """Return depths as MediaPipe measures those of a rolled face (`roi.project_landmarks`).

    Args:
        points_z: (478,) pixels.
        eyes: (2, 2) pixels, the line that the ROI was rolled with.
        size: width and height of the image in pixels.
    """
    across, down = eyes[1] - eyes[0]
    length = np.hypot(across, down)
    factor = np.hypot(across / length, down / length * size[0] / size[1])
    return np.asarray(points_z * factor, np.float32)


def difference(
    points: npt.NDArray[np.floating],
    points_z: npt.NDArray[np.floating],
    expected: npt.NDArray[np.float64],
) -> Difference:
    per_cent = 100 / np.linalg.norm(expected[33, :2] - expected[263, :2])
    distances = np.linalg.norm(points - expected[:, :2], axis=1) * per_cent
    depths = np.abs(points_z - expected[:, 2]) * per_cent
    return Difference(float(distances.mean()), float(distances.max()), float(depths.max()))


def nearest_answer(points: npt.NDArray[np.floating], answers: list[npt.NDArray[np.float64]]) -> int:
    return min(range(len(answers)), key=lambda n: np.abs(answers[n][:, :2] - points).mean())


@pytest.fixture(scope="module")
def short_range() -> Iterator[FaceMesh]:
    with FaceMesh(detector="short_range", any_roll=False, max_face_num=0) as mesh:
        yield mesh


def expected_faces(name: str) -> list[npt.NDArray[np.float64]]:
    file = answer(name)
    return [in_pixels(landmarks, file["size"]) for landmarks in file["landmarks"]]


@pytest.mark.parametrize("name", IMAGES)
def test_image(name: str, request: pytest.FixtureRequest, astronaut: Pixels) -> None:
    folder = Path() if name == "astronaut" else request.getfixturevalue("fetched")
    image = load(name, astronaut, folder)
    expected, blendshapes = expected_faces(name), answer(name)["blendshapes"]

    with FaceMesh(detector="short_range", any_roll=False, blendshapes=True) as mesh:
        faces = mesh.process(image)

    found = [nearest_answer(face.points, expected) for face in faces]
    assert sorted(found) == list(range(len(expected)))
    for face, number in zip(faces, found, strict=True):
        depths = mediapipe_z(face.points_z, face.box_keypoints[:2], answer(name)["size"])
        off = difference(face.points, depths, expected[number])
        assert off.mean <= 0.01
        assert off.worst <= 0.2
        assert off.worst_depth <= 0.2
        assert face.blendshapes is not None
        np.testing.assert_allclose(face.blendshapes, blendshapes[number], atol=1e-3)


@pytest.mark.parametrize("number", range(len(SIZES)), ids=[f"{w}x{h}" for w, h in SIZES])
def test_sizes(number: int, astronaut: Pixels, short_range: FaceMesh) -> None:
    """MediaPipe's faces and landmarks in images of every size, to a hundredth of a percent."""
    size = np.array(SIZES[number])
    with np.load(MEDIAPIPE / "sizes.npz") as file:
        expected = [in_pixels(landmarks, size) for landmarks in file[f"{size[0]}x{size[1]}"]]

    faces = short_range.process(sized_scene(astronaut, number))

    found = [nearest_answer(face.points, expected) for face in faces]
    assert sorted(found) == list(range(len(expected)))
    for face, answer_number in zip(faces, found, strict=True):
        depths = mediapipe_z(face.points_z, face.box_keypoints[:2], size)
        off = difference(face.points, depths, expected[answer_number])
        assert off.mean <= 0.01
        assert off.worst <= 0.05
        assert off.worst_depth <= 0.05


def test_a_wrong_mesh_of_mediapipe_is_put_right(fetched: Path, astronaut: Pixels) -> None:
    """MediaPipe's mesh of one face lies on her neck, with a presence of 0.8: `any_roll` sees it."""
    image = load("multi_face", astronaut, fetched)
    with FaceMesh(detector="short_range") as mesh:
        right = max(mesh.process(image), key=lambda face: face.box[0])
    with FaceMesh() as mesh:
        expected = mesh.process(image)
    assert (
        min(
            difference(
                right.points, right.points_z, np.column_stack([face.points, face.points_z])
            ).mean
            for face in expected
        )
        < 10
    )


def follow_video(video: Path, smoothing: str) -> list[Difference]:
    file = answer("single_face_video")
    frames = cv2.VideoCapture(str(video))
    differences = []
    with FaceMesh(
        detector="short_range", any_roll=False, tracking=True, max_face_num=1, smoothing=smoothing
    ) as mesh:
        for number, landmarks in enumerate(file["landmarks"]):
            there, frame = frames.read()
            assert there
            milliseconds = int(number * 1000 / file["fps"])
            (face,) = mesh.process(np.asarray(frame, np.uint8), milliseconds / 1000, bgr=True)
            assert face.id == 1
            expected = in_pixels(landmarks, file["size"])
            depths = mediapipe_z(face.points_z, face.points[[33, 263]], file["size"])
            differences.append(difference(face.points, depths, expected))
    return differences


def test_video(fetched: Path) -> None:
    frames = follow_video(fetched / "single_face.mp4", smoothing="one_euro")

    assert len(frames) == 72
    assert np.mean([frame.mean for frame in frames]) <= 0.05
    assert max(frame.worst for frame in frames) <= 0.2
    assert max(frame.worst_depth for frame in frames) <= 0.2


def test_video_differs_without_smoothing(fetched: Path) -> None:
    frames = follow_video(fetched / "single_face.mp4", smoothing="off")

    assert np.mean([frame.mean for frame in frames]) > 0.3


def test_opencv_5(astronaut: Pixels, fetched: Path, opencv_5: Path, tmp_path: Path) -> None:
    """OpenCV 5 warps differently, which must not be seen in the landmarks; it finds poses too."""
    images, landmarks = tmp_path / "images.npz", tmp_path / "landmarks.npz"
    arrays: dict[str, Any] = {name: load(name, astronaut, fetched) for name in IMAGES}
    np.savez(images, **arrays)
    path = [str(opencv_5), *filter(None, [os.environ.get("PYTHONPATH")])]
    subprocess.run(
        [sys.executable, "-c", FIND_LANDMARKS, str(images), str(landmarks)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=True,
        timeout=120,
    )

    means = []
    with np.load(landmarks) as found:
        assert str(found["opencv"]).startswith("5.")
        for name in IMAGES:
            expected = expected_faces(name)
            assert len(found[name]) == len(expected)
            for face in found[name]:
                match = expected[nearest_answer(face[:, :2], expected)]
                means.append(difference(face[:, :2], face[:, 2], match).mean)
    assert max(means) <= 0.01
