"""YuNet files: what only they have, and the same faces as OpenCV finds.

What they have in common with YOLOv8-face: test_user_detectors.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests build their networks with onnx")

from blob_networks import black, detect, paint_blob
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.yunet import YuNetDetector
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import ModelError
from yunet_networks import write_yunet


def test_scores_stay_below_one(tmp_path: Path) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20)
    (face,) = detect(YuNetDetector(write_yunet(tmp_path)), image)
    # cls is 0.9933 * 1.005, not over 1; obj 0.9933.
    assert face.score == pytest.approx(0.99331 * np.sqrt(1.005), abs=1e-3)
    assert face.score <= 1


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = write_yunet(tmp_path, size=(64, 64), without="kps_16")
    with pytest.raises(ModelError) as refusal:
        YuNetDetector(path)
    message = str(refusal.value)
    for part in (str(path), "[1, 64, 1]", "[1, 4, 10]", "kps [1, 16, 10]", "2023mar"):
        assert part in message
    # Found: cls and obj of stride 16, but no kps.
    assert message.index("[1, 16, 1]") < message.index("Expected") < message.index("[1, 16, 10]")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        YuNetDetector(tmp_path / "missing.onnx")


def opencv_faces(path: Path, image: Pixels, score: float, overlap: float) -> list[Detection]:
    """What OpenCV's own YuNet finds in an RGB image."""
    if tuple(int(part) for part in cv2.__version__.split(".")[:2]) < (4, 8):
        pytest.skip(f"OpenCV {cv2.__version__} cannot read this YuNet, 4.8 can")
    size = (image.shape[1], image.shape[0])
    try:
        opencv = cv2.FaceDetectorYN.create(str(path), "", size, score, overlap, 5000)
    except cv2.error:
        pytest.skip(f"OpenCV {cv2.__version__} cannot read {path.name}")
    found = opencv.detect(image[:, :, ::-1].copy())[1]
    rows = np.zeros((0, 15)) if found is None else np.asarray(found, np.float32)
    return [
        Detection((row[0], row[1], row[2], row[3]), float(row[14]), row[4:14].reshape(5, 2))
        for row in rows
    ]


def assert_same_faces(faces: list[Detection], others: list[Detection]) -> None:
    assert len(faces) == len(others) > 0
    by_place = zip(
        *(sorted(some, key=lambda face: round(face.box[0])) for some in (faces, others)),
        strict=True,
    )
    for face, other in by_place:
        np.testing.assert_allclose(face.box, other.box, rtol=0, atol=0.01)
        np.testing.assert_allclose(face.keypoints, other.keypoints, rtol=0, atol=0.01)
        assert face.score == pytest.approx(other.score, abs=1e-4)


def test_opencv_finds_the_same_faces(tmp_path: Path) -> None:
    path = write_yunet(tmp_path)
    image = black(640, 640)
    for center, side, brightness in (
        ((120.0, 130.0), 16, 0.7),
        ((430.0, 200.0), 30, 1.0),
        ((150.0, 480.0), 22, 0.8),
    ):
        paint_blob(image, center, side, brightness)
    assert_same_faces(detect(YuNetDetector(path), image), opencv_faces(path, image, 0.5, 0.45))


@pytest.fixture
def real_file() -> Path:
    path = os.environ.get("YUNET_MODEL")
    if path is None:
        pytest.skip(
            "no package registry has YuNet: name a face_detection_yunet_2023mar.onnx in YUNET_MODEL"
        )
    return Path(path)


def test_the_real_file_finds_the_astronaut(real_file: Path, astronaut: Pixels) -> None:
    (face,) = detect(YuNetDetector(real_file), astronaut)
    assert face.box == pytest.approx((178, 63, 90, 113), abs=10)
    # Irises, nose, corners of the mouth as MediaPipe's FaceLandmarker sees them.
    expected = [(203, 101), (246, 103), (224, 127), (202, 139), (244, 141)]
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=8)


def test_opencv_finds_the_same_with_the_real_file(real_file: Path, astronaut: Pixels) -> None:
    image = cv2.resize(astronaut, (640, 640)).astype(np.uint8)
    assert_same_faces(
        detect(YuNetDetector(real_file), image, min_face_size=12 / 640),
        opencv_faces(real_file, image, 0.5, 0.45),
    )
