"""YuNet files: the faces that are in the image, and the same as OpenCV finds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the tests build their networks with onnx")

from blob_networks import (
    BOX_REACH,
    KEYPOINTS,
    STRIDES,
    BlobView,
    Graph,
    face_box,
    face_keypoints,
    face_score,
    paint_blob,
)
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.roi import roi_from_detection
from maix_facemesh_ros.backends.onnx.yunet import YuNetDetector
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.model_files import ModelError

KINDS = ("cls", "obj", "bbox", "kps")


def write_network(
    folder: Path,
    size: tuple[int, int] = (640, 640),
    symbolic: bool = False,
    named: bool = True,
    without: str = "",
) -> Path:
    """Write a YuNet that sees blobs: 12 outputs as face_detection_yunet_2023mar.onnx has them.

    Args:
        size: width, height of the input.
        symbolic: leave batch, height and width open, as libfacedetection.train's dynamic files.
        named: False: outputs in another order and without the names.
        without: an output to leave out.
    """
    width, height = size
    graph = Graph()
    outputs: dict[str, tuple[str, tuple[int | str, ...]]] = {}
    views = [BlobView(graph, "input", stride, red=2, peak_value=255.0) for stride in STRIDES]
    for kind in KINDS:
        for stride, view in zip(STRIDES, views, strict=True):
            value, channels = _output(view, kind)
            cells = (height // stride) * (width // stride)
            shape = ("batch", "dim", channels) if symbolic else (1, cells, channels)
            outputs[f"{kind}_{stride}"] = value, shape
    outputs.pop(without, None)
    if not named:
        outputs = {f"out{i}": outputs[name] for i, name in enumerate(sorted(outputs))}
    input_shape = ("batch", 3, "height", "width") if symbolic else (1, 3, height, width)
    return graph.save(folder / "yunet.onnx", input_shape, outputs, input_name="input")


def _output(view: BlobView, kind: str) -> tuple[str, int]:
    """One output of one stride, (1, cells, channels), and its channels."""
    graph = view.graph
    center = [graph.node("Add", place, 0.5) for place in (view.x, view.y)]
    if kind == "cls":
        # Over 1 where the face is certain: OpenCV clamps it, and so must we.
        channels = [graph.node("Mul", graph.node("Sigmoid", view.score), 1.005)]
    elif kind == "obj":
        channels = [graph.node("Sigmoid", view.score)]
    elif kind == "bbox":
        left, top, right, bottom = BOX_REACH
        middle = [((right - left) / 2, left + right), ((bottom - top) / 2, top + bottom)]
        side = graph.node("Max", view.side, 1e-3)
        channels = [
            graph.node("Add", place, graph.node("Mul", view.side, offset))
            for place, (offset, _) in zip(center, middle, strict=True)
        ] + [graph.node("Log", graph.node("Mul", side, extent)) for _, extent in middle]
    else:
        channels = [
            view.reach(place, distance)
            for point in KEYPOINTS
            for place, distance in zip(center, point, strict=True)
        ]
    rows_first = graph.node("Transpose", graph.concat(*channels), perm=[0, 2, 3, 1])
    return graph.reshape(rows_first, 1, -1, len(channels)), len(channels)


def detect(
    detector: YuNetDetector,
    image: Pixels,
    bgr: bool = False,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.45,
    min_face_size: float = 0.05,
) -> list[Detection]:
    return detector.detect(
        Image(image, "bgr" if bgr else "rgb", Stamp(0, 0)),
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        min_face_size=min_face_size,
    )


def black(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


def assert_face(
    face: Detection, center: tuple[float, float], side: float, brightness: float = 1.0
) -> None:
    """The face is the blob's, to a tenth of the blob's side (scaling blurs the blob)."""
    tolerance = 0.1 * side
    np.testing.assert_allclose(face.box, face_box(center, side), rtol=0, atol=2 * tolerance)
    expected = face_keypoints(center, side)
    np.testing.assert_allclose(face.keypoints, expected, rtol=0, atol=tolerance)
    assert face.keypoints.dtype == np.float32
    assert face.score == pytest.approx(face_score(brightness), abs=0.02)


@pytest.fixture(params=["fixed", "symbolic", "unnamed"])
def detector(request: pytest.FixtureRequest, tmp_path: Path) -> YuNetDetector:
    path = write_network(
        tmp_path, symbolic=request.param == "symbolic", named=request.param != "unnamed"
    )
    return YuNetDetector(path)


@pytest.mark.parametrize(
    ("size", "center", "side"),
    [
        ((640, 640), (305.0, 331.0), 26),
        ((640, 640), (200.0, 210.0), 14),
        ((1280, 720), (500.0, 380.0), 40),
        ((1920, 1080), (1503.0, 402.0), 60),
        ((480, 640), (200.0, 300.0), 20),
        ((333, 777), (180.0, 400.0), 24),
        ((320, 240), (120.0, 100.0), 8),
    ],
)
def test_face_is_where_it_is(
    detector: YuNetDetector, size: tuple[int, int], center: tuple[float, float], side: int
) -> None:
    image = black(*size)
    paint_blob(image, center, side)
    (face,) = detect(detector, image)
    assert_face(face, center, side)


def test_face_moves_with_the_blob(detector: YuNetDetector) -> None:
    for x in range(300, 334, 3):
        image = black(640, 640)
        paint_blob(image, (x, 320), 20)
        (face,) = detect(detector, image)
        assert_face(face, (x, 320), 20)


@pytest.mark.parametrize("size", [(320, 320), (640, 384), (160, 96)])
def test_any_input_size(tmp_path: Path, size: tuple[int, int]) -> None:
    detector = YuNetDetector(write_network(tmp_path, size))
    image = black(640, 400)
    side = 2 * round(2.6 / min(size[0] / 640, size[1] / 400))
    paint_blob(image, (320, 180), side)
    (face,) = detect(detector, image)
    assert_face(face, (320, 180), side)


def test_symbolic_dimensions_follow_image_and_smallest_face(tmp_path: Path) -> None:
    detector = YuNetDetector(write_network(tmp_path, symbolic=True))
    for width, height in ((1280, 720), (720, 1280), (1280, 720)):
        image = black(width, height)
        paint_blob(image, (600.5, 400.5), 7)
        # Seen only with an input near the image's own size: the network needs 4 pixels.
        assert detect(detector, image, min_face_size=12 / 320) == []
        (face,) = detect(detector, image, min_face_size=12 / width)
        assert_face(face, (600.5, 400.5), 7)


def test_several_faces_come_most_confident_first(detector: YuNetDetector) -> None:
    image = black(640, 640)
    blobs = [((100.0, 120.0), 16, 0.7), ((420.0, 200.0), 30, 1.0), ((150.0, 480.0), 22, 0.8)]
    for center, side, brightness in blobs:
        paint_blob(image, center, side, brightness)
    faces = detect(detector, image)
    assert len(faces) == 3
    for face, index in zip(faces, (1, 2, 0), strict=True):
        assert_face(face, *blobs[index])


def test_score_threshold(detector: YuNetDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20, brightness=0.6)
    score = face_score(153 / 255)
    (face,) = detect(detector, image, score_threshold=score - 0.01)
    assert face.score == pytest.approx(score, abs=0.005)
    assert detect(detector, image, score_threshold=score + 0.01) == []


def test_scores_stay_below_one(tmp_path: Path) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20)
    (face,) = detect(YuNetDetector(write_network(tmp_path)), image)
    # cls is 0.9933 * 1.005, not over 1; obj 0.9933.
    assert face.score == pytest.approx(0.99331 * np.sqrt(1.005), abs=1e-3)
    assert face.score <= 1


def test_overlap_threshold(detector: YuNetDetector) -> None:
    # Two boxes of 160x220, one 60 to the right of the other: they share 100 of 220 columns.
    image = black(640, 640)
    paint_blob(image, (270, 320), 20, brightness=1.0)
    paint_blob(image, (330, 320), 20, brightness=0.8)
    (face,) = detect(detector, image, overlap_threshold=100 / 220 - 0.05)
    assert_face(face, (270, 320), 20)
    assert len(detect(detector, image, overlap_threshold=100 / 220 + 0.05)) == 2


def test_image_without_a_face(detector: YuNetDetector) -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (300, 400, 1), np.uint8).repeat(3, axis=2)
    assert detect(detector, gray) == []
    for width, height in ((1, 1), (3000, 2), (1, 700)):
        assert detect(detector, black(width, height)) == []


def test_bgr_is_rgb_in_another_order(detector: YuNetDetector) -> None:
    image = black(800, 600)
    paint_blob(image, (400, 300), 30)
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    (rgb,), (bgr,) = detect(detector, image), detect(detector, swapped, bgr=True)
    assert bgr.box == rgb.box
    np.testing.assert_array_equal(bgr.keypoints, rgb.keypoints)
    assert detect(detector, image, bgr=True) == []


def test_roi_is_a_square_around_the_box(detector: YuNetDetector) -> None:
    image = black(640, 640)
    paint_blob(image, (320, 320), 20)
    (face,) = detect(detector, image)
    roi = roi_from_detection(face.box, face.keypoints, detector.roi_rule)
    assert (roi.width, roi.height) == pytest.approx((220 * 1.3, 220 * 1.3), rel=0.02)


def test_threads_share_a_detector(detector: YuNetDetector) -> None:
    def find(x: int) -> tuple[float, float, float, float]:
        image = black(640 + x, 480)
        paint_blob(image, (x, 240), 24)
        (face,) = detect(detector, image)
        return face.box

    places = list(range(100, 500, 40))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find, places))
    assert together == [find(x) for x in places]


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, size=(64, 64), without="kps_16")
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
    path = write_network(tmp_path)
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


@pytest.fixture
def astronaut() -> Pixels:
    data = pytest.importorskip("skimage.data", reason="scikit-image has the astronaut image")
    image: Pixels = data.astronaut()
    return image


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
