"""Files of a user's own face detector, YOLOv8-face or YuNet: the faces that are in the image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests build their networks with onnx")

from blob_networks import assert_face, black, detect, face_score, paint_blob
from maix_facemesh_ros.backends.onnx.detection import BoxDetector
from maix_facemesh_ros.backends.onnx.roi import roi_from_detection
from maix_facemesh_ros.backends.onnx.yolov8_face import YoloV8FaceDetector
from maix_facemesh_ros.backends.onnx.yunet import YuNetDetector
from yolov8_networks import LAYOUTS, write_yolov8
from yunet_networks import write_yunet


class Kind(NamedTuple):
    """A kind of files."""

    open: Callable[[Path], BoxDetector]
    #: Given a folder and `size` or `symbolic`.
    write: Callable[..., Path]
    #: Width in the network's input of the smallest face that is found.
    smallest_face: int
    #: Side of the ROI: MaixPy's crop, or what was measured.
    roi_scale: float


YOLOV8 = Kind(YoloV8FaceDetector, write_yolov8, 16, 1.2)
YUNET = Kind(YuNetDetector, write_yunet, 12, 1.3)
KINDS = {
    **{
        f"yolov8 {each}": YOLOV8._replace(write=partial(write_yolov8, layout=each))
        for each in LAYOUTS
    },
    "yunet": YUNET,
    "yunet unnamed": YUNET._replace(write=partial(write_yunet, named=False)),
}
SYMBOLIC = {name: kind for name, kind in KINDS.items() if name != "yolov8 decoded"}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def detector(kind: Kind, tmp_path: Path) -> BoxDetector:
    return kind.open(kind.write(tmp_path))


@pytest.mark.parametrize(
    ("size", "center", "side"),
    [
        ((640, 640), (305.0, 331.0), 20),  # the network's own size: nothing is scaled
        ((640, 640), (200.0, 210.0), 6),  # stride 8
        ((640, 640), (303.0, 299.0), 12),  # stride 16
        ((1280, 720), (500.0, 380.0), 40),  # bars above and below
        ((1920, 1080), (1503.0, 402.0), 36),
        ((480, 640), (200.0, 300.0), 20),  # bars at the sides
        ((333, 777), (180.0, 400.0), 24),  # a scale and bars that are no whole numbers
        ((320, 240), (120.0, 100.0), 8),  # enlarged
    ],
)
def test_face_is_where_it_is(
    detector: BoxDetector, size: tuple[int, int], center: tuple[float, float], side: int
) -> None:
    image = black(*size)
    paint_blob(image, center, side)
    (face,) = detect(detector, image)
    assert_face(face, center, side)


def test_face_moves_with_the_blob(detector: BoxDetector) -> None:
    for x in range(300, 334, 3):
        image = black(640, 640)
        paint_blob(image, (x, 320), 10)
        (face,) = detect(detector, image)
        assert_face(face, (x, 320), 10)


@pytest.mark.parametrize("size", [(320, 224), (640, 384), (96, 160)])
def test_any_input_size(tmp_path: Path, kind: Kind, size: tuple[int, int]) -> None:
    detector = kind.open(kind.write(tmp_path, size=size))
    image = black(640, 400)
    side = 2 * round(2.6 / min(size[0] / 640, size[1] / 400))
    paint_blob(image, (320, 180), side)
    (face,) = detect(detector, image)
    assert_face(face, (320, 180), side)


@pytest.mark.parametrize("kind", SYMBOLIC.values(), ids=list(SYMBOLIC))
def test_symbolic_dimensions_follow_image_and_smallest_face(tmp_path: Path, kind: Kind) -> None:
    detector = kind.open(kind.write(tmp_path, symbolic=True))
    for width, height in ((1280, 720), (720, 1280), (1280, 720)):
        image = black(width, height)
        paint_blob(image, (600.5, 400.5), 7)
        # Seen only with an input near the image's own size: the network needs 4 pixels.
        assert detect(detector, image, min_face_size=kind.smallest_face / 320) == []
        (face,) = detect(detector, image, min_face_size=kind.smallest_face / width)
        assert_face(face, (600.5, 400.5), 7)


def test_several_faces_come_most_confident_first(detector: BoxDetector) -> None:
    image = black(640, 640)
    blobs = [((100.0, 120.0), 8, 0.7), ((420.0, 200.0), 30, 1.0), ((200.0, 500.0), 14, 0.8)]
    for center, side, brightness in blobs:
        paint_blob(image, center, side, brightness)
    faces = detect(detector, image)
    assert len(faces) == 3
    for face, index in zip(faces, (1, 2, 0), strict=True):
        assert_face(face, *blobs[index])


def test_score_threshold(detector: BoxDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20, brightness=0.6)
    score = face_score(153 / 255)
    (face,) = detect(detector, image, score_threshold=score - 0.01)
    assert face.score == pytest.approx(score, abs=0.005)
    assert detect(detector, image, score_threshold=score + 0.01) == []


def test_overlap_threshold(detector: BoxDetector) -> None:
    # Two boxes of 160x220, one 60 to the right of the other: they share 100 of 220 columns.
    image = black(640, 640)
    paint_blob(image, (270, 320), 20, brightness=1.0)
    paint_blob(image, (330, 320), 20, brightness=0.8)
    (face,) = detect(detector, image, overlap_threshold=100 / 220 - 0.05)
    assert_face(face, (270, 320), 20)
    assert len(detect(detector, image, overlap_threshold=100 / 220 + 0.05)) == 2


def test_image_without_a_face(detector: BoxDetector) -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (300, 400, 1), np.uint8).repeat(3, axis=2)
    assert detect(detector, gray) == []


def test_odd_images(detector: BoxDetector) -> None:
    for width, height in ((1, 1), (3000, 2), (1, 700)):
        assert detect(detector, black(width, height)) == []
    strided = black(1280, 720)[::2, ::2]
    assert not strided.flags.c_contiguous
    paint_blob(strided, (300, 200), 20)
    (face,) = detect(detector, strided)
    assert_face(face, (300, 200), 20)


def test_bgr_is_rgb_in_another_order(detector: BoxDetector) -> None:
    image = black(800, 600)
    paint_blob(image, (400, 300), 20)
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    (rgb,), (bgr,) = detect(detector, image), detect(detector, swapped, bgr=True)
    assert bgr.box == rgb.box
    np.testing.assert_array_equal(bgr.keypoints, rgb.keypoints)
    assert detect(detector, image, bgr=True) == []


def test_roi_is_a_square_around_the_box(kind: Kind, detector: BoxDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20)
    (face,) = detect(detector, image)
    roi = roi_from_detection(face.box, face.keypoints, detector.roi_rule)
    assert (roi.width, roi.height) == pytest.approx((220 * kind.roi_scale,) * 2, rel=0.02)


def test_threads_share_a_detector(detector: BoxDetector) -> None:
    def find(x: int) -> tuple[float, float, float, float]:
        image = black(640 + x, 480)
        paint_blob(image, (x, 240), 20)
        (face,) = detect(detector, image)
        return face.box

    places = list(range(100, 500, 40))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find, places))
    assert together == [find(x) for x in places]
