"""MediaPipe's two face detectors (BlazeFace): short range, and full range at any input size.

The full-range network is fully convolutional, so its input can be as large as the smallest face
asks for, in the image's own aspect. One size does not fit all faces: the network sees those from
about 12 to about 130 pixels of its input. So the image is processed on several levels, each a
fifth of the one before, down to one in which the whole image is at most as large as a face. The
small levels cost next to nothing.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.detection import (
    BoxDetector,
    Detection,
    logit,
    sigmoid,
    suppress_weighted,
    turn_detection_back,
)
from maix_facemesh_ros.backends.onnx.network import CPU, Network, image_bytes
from maix_facemesh_ros.backends.onnx.roi import OPENCV_WARPS_IN_STEPS, Roi, RoiRule, crop
from maix_facemesh_ros.backends.onnx.search import SearchArea
from maix_facemesh_ros.backends.onnx.variants import model_file
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.image import ChannelOrder, Image, Pixels
from maix_facemesh_ros.image_rotation import turn_image

#: The overlap (intersection over union) above which MediaPipe's FaceLandmarker blends boxes:
#: min_suppression_threshold of face_detector_graph_options.proto. (0.3 is the FaceDetector task's.)
MEDIAPIPE_OVERLAP = 0.5
#: `detect_iou_th` has MaixPy's default, 0.45, which is the YOLO detector's. These detectors scale
#: it, so that its default gives MediaPipe's overlap and more still means that fewer boxes are one
#: face.
OVERLAP_PER_DETECT_IOU_TH = MEDIAPIPE_OVERLAP / 0.45

#: OpenCV's INTER_TAB_SIZE: positions between pixels are rounded to a 32nd.
STEPS_IN_A_PIXEL = 32

#: Maximum number of boxes of one level, the most confident. Real faces give some ten each; without
#: a limit a `detect_conf_th` near 0 would take many thousands.
MOST_BOXES = 500


class ShortRangeDetector(BoxDetector):
    """BlazeFace short range: 128x128, to about 2 m. The detector of MediaPipe's FaceLandmarker."""

    roi_rule = RoiRule()

    SIZE = 128
    #: (stride in pixels, anchors per cell): face_detection_short_range's SsdAnchorsCalculator
    #: options.
    ANCHORS = ((8, 2), (16, 6))

    def __init__(self, provider: str = CPU) -> None:
        path = model_file("face_detection_short_range", provider)
        self._network = Network(path, kind="short_range", provider=provider)
        self._anchors = np.concatenate(
            [
                _cell_centers(self.SIZE, self.SIZE, stride, per_cell)
                for stride, per_cell in self.ANCHORS
            ]
        )

    def detect(
        self,
        image: Image,
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,  # noqa: ARG002  the input is fixed
    ) -> list[Detection]:
        """See `detection.BoxDetector`."""
        size = (self.SIZE, self.SIZE)
        roi = _letterbox_roi(image.pixels, size)
        level = _mediapipe_letterbox(image.pixels, roi, size)
        return _find_faces(
            self._network,
            self._anchors,
            level,
            roi,
            image.order,
            score_threshold,
            overlap_threshold,
        )


class FullRangeDetector(BoxDetector):
    """BlazeFace full range (sparse), its input sized for the image and the smallest face."""

    roi_rule = RoiRule()

    STRIDE = 4
    #: Sides of the network's input are multiples of this.
    MULTIPLE = 32
    #: A face is found reliably when it is this wide in the network's input.
    SMALLEST_FACE = 15
    #: Larger faces than this are left to the next level, where they are seen better.
    LARGEST_FACE = 130
    #: Each level is this much smaller than the one before, so that their ranges of face sizes
    #: overlap.
    LEVEL_RATIO = 5
    #: Side of the last level, square: a face that fills the image is found here.
    LAST_LEVEL = 96
    #: The longer side of the coarsest level in a stream, which has the image's aspect: near faces,
    #: from 15 % of the width on, are found in the very image then.
    COARSEST = 128
    #: An image is enlarged this much at most: there is nothing more to see in it.
    LARGEST_ENLARGEMENT = 2
    #: No side of the network's input is larger, however long and narrow the image.
    LARGEST_SIDE = 2048
    #: A level of at most this many pixels is searched at once in a stream, a larger one in tiles of
    #: these sides, or less. They overlap by half a face of the level's at least.
    LARGEST_WHOLE = 256 * 192
    TILE = (192, 160)
    SMALLEST_OVERLAP = 32
    #: A larger face is left to the level before, which sees it whole, pixels of the tile.
    LARGEST_IN_TILE = 64
    #: The square in which a face is seen again, and how wide the detection's box is in it, as a
    #: fraction. (Of 482 detections of faces, 256 of covered or dark ones, and 418 others, 99, 93
    #: and 3 % have a score above 0.55 then. Of 297 detections of rolled heads, 99 % have a higher
    #: one at their roll. In 96x96 pixels, half as wide, above 0.5: 100, 93, 7 and 96 %, in twice
    #: the time.)
    AGAIN = 64
    SEEN_AGAIN = 0.6
    #: A level whose mean is lower, in gray levels, is made as bright as that. (Of 53 faces at a
    #: twenty-fifth of the light 45 are found, instead of 12.)
    DARK = 60.0
    #: It is the same face where the boxes overlap by more (intersection over union).
    SAME_FACE_AGAIN = 0.25
    #: On the processor, levels of at most this many pixels share one network, whose weights then
    #: stay in the cache from one level to the next: up to 10 % faster than one for each size, and
    #: 3.6 MB less for each. On a larger level, a network of its own is 3 to 5 % faster.
    LARGEST_SHARED = 256 * 192
    #: Networks are kept for this many input sizes: nine are those of two cameras, one with 4:3 and
    #: one with 16:9, that share one detector.
    KEPT_SIZES = 12

    def __init__(self, provider: str = CPU) -> None:
        self._provider = provider
        self._networks: OrderedDict[tuple[int, int], Network] = OrderedDict()
        self._areas = lru_cache(self.KEPT_SIZES)(self._make_areas)
        self._anchors = lru_cache(self.KEPT_SIZES)(partial(_cell_centers, stride=self.STRIDE))
        # Loaded now, so that a damaged model file is reported at the start and not with the first
        # image, and so that no image of a stream takes the time.
        for side in (self.LAST_LEVEL, self.AGAIN):
            self._network(side, side)

    def detect(
        self,
        image: Image,
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,
    ) -> list[Detection]:
        """See `detection.BoxDetector`."""
        found: list[Detection] = []
        source, pixel = image.pixels, 1.0
        image_width, image_height = image.size
        for size in self.level_sizes(image_width, image_height, min_face_size):
            # Each level is made from the one before, blurred, so that no pixel of a large image
            # is skipped: a face seen at a twentieth of its size would drown in the camera's noise.
            roi = _letterbox_roi(source, size)
            level = crop(source, roi, size, cv2.BORDER_CONSTANT)
            pixel *= roi.width / size[0]
            source = np.asarray(cv2.blur(level, (self.LEVEL_RATIO, self.LEVEL_RATIO)), np.uint8)

            seen = Roi(image_width / 2, image_height / 2, size[0] * pixel, size[1] * pixel, 0.0)
            shown = replace(image, pixels=level)
            faces = self._find(shown, seen, score_threshold, overlap_threshold)
            is_last = size == (self.LAST_LEVEL, self.LAST_LEVEL)
            found += [
                face
                for face in faces
                if (is_last or max(face.box[2:]) <= self.LARGEST_FACE * pixel)
                and all(overlap(face.box, finer.box) <= overlap_threshold for finer in found)
            ]
        return sorted(found, key=lambda face: -face.score)

    def areas(self, size: tuple[int, int], min_face_size: float) -> tuple[SearchArea, ...]:
        """See `detection.BoxDetector`."""
        return self._areas(size, min_face_size)

    def _make_areas(self, size: tuple[int, int], min_face_size: float) -> tuple[SearchArea, ...]:
        image_width, image_height = size
        longest = max(image_width, image_height)
        shown = (
            max(round(self.COARSEST * image_width / longest), 1),
            max(round(self.COARSEST * image_height / longest), 1),
        )
        whole = (0, 0, image_width, image_height)
        everywhere = (-math.inf, -math.inf, math.inf, math.inf)
        coarsest = (self._up_to_multiple(shown[0]), self._up_to_multiple(shown[1]))
        areas = [SearchArea(0, whole, shown, coarsest, everywhere, math.inf)]

        width = self._finest_width(image_width, image_height, min_face_size)
        aspect = image_height / image_width
        widths = []
        while width * max(1.0, aspect) > 1.5 * self.LAST_LEVEL:
            widths.append(width)
            width /= 2
        for level, width in enumerate(reversed(widths), 1):
            areas += self._tiles(level, (width, width * aspect), image_width / width)
        return tuple(areas)

    def _tiles(self, level: int, size: tuple[float, float], pixel: float) -> Iterator[SearchArea]:
        inputs = [self._up_to_multiple(side) for side in size]
        is_whole = inputs[0] * inputs[1] <= self.LARGEST_WHOLE
        sides = [math.inf, math.inf] if is_whole else self.TILE
        columns, rows = (
            _overlapping(round(length * pixel), side * pixel, self.SMALLEST_OVERLAP * pixel)
            for length, side in zip(size, sides, strict=True)
        )
        largest = (self.LARGEST_FACE if is_whole else self.LARGEST_IN_TILE) * pixel
        for row in rows:
            for column in columns:
                part = (column.start, row.start, column.length, row.length)
                shown = (
                    max(round(column.length / pixel), 1),
                    max(round(row.length / pixel), 1),
                )
                yield SearchArea(
                    level,
                    part,
                    shown,
                    (self._up_to_multiple(shown[0]), self._up_to_multiple(shown[1])),
                    (column.core_start, row.core_start, column.core_end, row.core_end),
                    largest,
                )

    def search(
        self,
        image: Image,
        areas: Sequence[SearchArea],
        quarters: int = 0,
        *,
        score_threshold: float,
        overlap_threshold: float,
    ) -> list[Detection]:
        """See `detection.BoxDetector`."""
        found: list[Detection] = []
        for area in sorted(areas, key=lambda area: -area.level):
            x, y, width, height = area.part
            level = _shrunk(image.pixels[y : y + height, x : x + width], area.shown, area.size)
            faces = self._find_turned(
                replace(image, pixels=level), quarters, score_threshold, overlap_threshold
            )
            pixel = width / area.shown[0]
            faces = [_placed(face, (x, y), pixel) for face in faces]
            found += [
                face
                for face in faces
                if _is_in(face, area)
                and all(overlap(face.box, finer.box) <= overlap_threshold for finer in found)
            ]
        return sorted(found, key=lambda face: -face.score)

    def see_again(
        self, image: Image, box: Box, turns: Sequence[int], score_threshold: float
    ) -> Detection | None:
        """See the face in a box again, at the scale and place where the network sees it best.

        Args:
            image: as it is.
            box: x, y, width, height of a detection in pixels of the image.
            turns: clockwise quarter turns of what the network is given, 0 to 3, one by one.
            score_threshold: least confidence, 0..1.

        Returns:
            The most confident face there at any of the turns, in pixels of the image as it is;
            None: there is none.
        """
        if not np.isfinite(box).all():  # A user's detector may have given it.
            return None
        x, y, width, height = box
        side = max(max(width, height) / self.SEEN_AGAIN, 1.0)
        left, top = x + (width - side) / 2, y + (height - side) / 2
        size = self.AGAIN
        level = replace(image, pixels=_square(image.pixels, (left, top, side), size))
        faces = [
            face
            for quarters in turns
            for face in self._find_turned(level, quarters, score_threshold, MEDIAPIPE_OVERLAP)
        ]
        middle = (1 - self.SEEN_AGAIN) / 2 * size
        expected = (middle, middle, self.SEEN_AGAIN * size, self.SEEN_AGAIN * size)
        here = (face for face in faces if overlap(face.box, expected) > self.SAME_FACE_AGAIN)
        face = max(here, key=lambda each: each.score, default=None)
        return None if face is None else _placed(face, (left, top), side / size)

    def _find_turned(
        self, level: Image, quarters: int, score_threshold: float, overlap_threshold: float
    ) -> list[Detection]:
        """Run the network on one level that is turned for it.

        Args:
            level: its sides fit the network's input.
            quarters: clockwise quarter turns, 0 to 3.
            score_threshold: least confidence, 0..1.
            overlap_threshold: as in `detect`.

        Returns:
            The faces in pixels of the level as it is.
        """
        turned = turn_image(level, quarters)
        width, height = turned.size
        whole = Roi(width / 2, height / 2, width, height, 0.0)
        faces = self._find(turned, whole, score_threshold, overlap_threshold)
        return [turn_detection_back(face, quarters, level.size) for face in faces]

    def _find(
        self, level: Image, roi: Roi, score_threshold: float, overlap_threshold: float
    ) -> list[Detection]:
        """Run the network on one level; return the faces in pixels of the plane of `roi`."""
        return _find_faces(
            self._network(*level.size),
            self._anchors(*level.size),
            _brightened(level.pixels, self.DARK),
            roi,
            level.order,
            score_threshold,
            overlap_threshold,
        )

    def level_sizes(
        self, image_width: int, image_height: int, min_face_size: float
    ) -> list[tuple[int, int]]:
        """Return the size of the network's input on each level in pixels, the finest first."""
        sizes = []
        aspect = max(1.0, image_height / image_width)
        width = self._finest_width(image_width, image_height, min_face_size)
        while width * aspect > 1.5 * self.LAST_LEVEL:
            height = width * image_height / image_width
            sizes.append((self._up_to_multiple(width), self._up_to_multiple(height)))
            width /= self.LEVEL_RATIO
        return [*sizes, (self.LAST_LEVEL, self.LAST_LEVEL)]

    def _finest_width(self, image_width: int, image_height: int, min_face_size: float) -> float:
        return min(
            self.SMALLEST_FACE / min_face_size,
            self.LARGEST_ENLARGEMENT * image_width,
            self.LARGEST_SIDE / max(1.0, image_height / image_width),
        )

    def _up_to_multiple(self, side: float) -> int:
        return math.ceil(side / self.MULTIPLE) * self.MULTIPLE

    def _network(self, width: int, height: int) -> Network:
        """Return the network for an input; on a GPU, each size has to be compiled for itself."""
        is_shared = self._provider == CPU and width * height <= self.LARGEST_SHARED
        size = (0, 0) if is_shared else (width, height)
        network = self._networks.get(size)
        if network is None:
            network = self._networks[size] = Network(
                model_file("face_detection_full_range", self._provider),
                kind="full_range",
                dimensions={} if is_shared else {"width": width, "height": height},
                provider=self._provider,
            )
            if len(self._networks) > self.KEPT_SIZES:
                self._networks.popitem(last=False)
        self._networks.move_to_end(size)
        return network


class _Span(NamedTuple):
    """Pixels of the image that a tile shows along x or y, and which of them are its core."""

    start: int
    length: int
    core_start: float
    core_end: float


def _overlapping(length: int, longest: float, overlap: float) -> list[_Span]:
    """Divide a length into parts that overlap, of one length."""
    if length <= longest:
        return [_Span(0, length, -math.inf, math.inf)]
    number = math.ceil((length - overlap) / (longest - overlap))
    part = max(int(longest), 1)
    starts = [round(n * (length - part) / (number - 1)) for n in range(number)]
    borders = [(last + part + start) / 2 for last, start in itertools.pairwise(starts)]
    ends = [-math.inf, *borders, math.inf]
    return [_Span(start, part, *ends[n : n + 2]) for n, start in enumerate(starts)]


def _is_in(face: Detection, area: SearchArea) -> bool:
    x, y, width, height = face.box
    left, top, right, bottom = area.core
    return (
        left <= x + width / 2 < right
        and top <= y + height / 2 < bottom
        and max(width, height) <= area.largest
    )


def _brightened(pixels: Pixels, least: float) -> Pixels:
    """Return pixels whose mean is at least `least`; those of a brighter image as they are.

    Args:
        pixels: uint8 (h, w, 3).
        least: gray levels.
    """
    mean = sum(cv2.mean(pixels)[:3]) / 3
    if not 0 < mean < least:
        return pixels
    gain = min(least / mean, 255 / int(pixels.max()))
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=gain), np.uint8)


def _placed(face: Detection, corner: tuple[float, float], pixel: float) -> Detection:
    """Return a face of a level in pixels of the image.

    Args:
        face: in pixels of the level.
        corner: the left top corner of the level in the image.
        pixel: width of the level's pixels in the image.
    """
    (left, top), (x, y, width, height) = corner, face.box
    return Detection(
        (left + x * pixel, top + y * pixel, width * pixel, height * pixel),
        face.score,
        np.asarray(face.keypoints * pixel + (left, top), np.float32),
    )


def _shrunk(part: Pixels, shown: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """Scale a part of an image to `shown`, with black to the right and below up to `size`."""
    twice = (2 * shown[0], 2 * shown[1])
    if twice[0] < part.shape[1] and twice[1] < part.shape[0]:
        # Half is the mean of all pixels, and fast. So four pixels are averaged at least, however
        # small the level: a face would drown in the noise of single ones.
        part = np.asarray(cv2.resize(part, twice, interpolation=cv2.INTER_LINEAR), np.uint8)
    small = cv2.resize(
        part,
        shown,
        interpolation=cv2.INTER_AREA if shown[0] < part.shape[1] else cv2.INTER_LINEAR,
    )
    level = np.zeros((size[1], size[0], 3), np.uint8)
    level[: shown[1], : shown[0]] = small
    return level


def _square(pixels: Pixels, square: tuple[float, float, float], size: int) -> Pixels:
    """Scale a square of an image to a number of pixels, black outside the image.

    Args:
        pixels: uint8 (H, W, 3).
        square: left, top and side in pixels.
        size: side of the result.
    """
    left, top, side = square
    height, width = pixels.shape[:2]
    edges = np.array([left, top, left + side, top + side])
    inside = np.clip(np.rint(edges), 0, (width, height, width, height)).astype(int)
    result = np.zeros((size, size, 3), np.uint8)
    x, y, right, bottom = inside.tolist()
    if x == right or y == bottom:
        return result
    scale = size / side
    start = np.clip(((inside[:2] - edges[:2]) * scale).astype(int), 0, size - 1)
    shown = np.clip(np.rint((inside[2:] - inside[:2]) * scale).astype(int), 1, size - start)
    (column, row), (across, down) = start.tolist(), shown.tolist()
    small = _shrunk(pixels[y:bottom, x:right], (across, down), (across, down))
    result[row : row + down, column : column + across] = small
    return result


def _cell_centers(width: int, height: int, stride: int, per_cell: int = 1) -> FloatArray:
    """Return the (N, 2) centers of the output cells in pixels of the input, row by row."""
    y, x = np.mgrid[0 : height // stride, 0 : width // stride]
    centers = np.stack([x, y], axis=-1).reshape(-1, 2).repeat(per_cell, axis=0)
    return ((centers + 0.5) * stride).astype(np.float32)


def _letterbox_roi(image: Pixels, size: tuple[int, int]) -> Roi:
    """Return the part of the plane that fills `size` with the whole image centered in it."""
    height, width = image.shape[:2]
    pixel = max(width / size[0], height / size[1])
    return Roi(width / 2, height / 2, size[0] * pixel, size[1] * pixel, 0.0)


def _mediapipe_letterbox(image: Pixels, roi: Roi, size: tuple[int, int]) -> Pixels:
    """Scale the part of the plane in `roi`, black outside the image, exactly as MediaPipe does.

    Source: mediapipe/calculators/tensor/image_to_tensor_converter_opencv.cc. `roi.crop` computes
    the same positions, but not through MediaPipe's matrix: wherever a position falls halfway
    between two of OpenCV's 32 steps in a pixel (most do when the image's longer side is not
    divisible by 4), the rounding error of that matrix decides which one is taken.

    Args:
        image: uint8 (H, W, 3).
        roi: not rotated.
        size: width, height of the result in pixels.

    Returns:
        uint8 (size[1], size[0], 3).
    """
    width, height = size
    corners = cv2.boxPoints(((roi.center_x, roi.center_y), (roi.width, roi.height), 0.0))
    targets = np.array([(0, height), (0, 0), (width, 0), (width, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, targets)
    if OPENCV_WARPS_IN_STEPS:
        return np.asarray(cv2.warpPerspective(image, matrix, size), np.uint8)
    return _warp_in_steps(image, matrix, size)


def _warp_in_steps(image: Pixels, matrix: cv2.typing.MatLike, size: tuple[int, int]) -> Pixels:
    """Do what cv2.warpPerspective of OpenCV 4 does (imgwarp.cpp), to the last bit, in any OpenCV.

    Args:
        image: uint8 (H, W, 3).
        matrix: (3, 3), from pixels of `image` to pixels of the result.
        size: width, height of the result in pixels.

    Returns:
        uint8 (size[1], size[0], 3); black outside the image.
    """
    inverse = np.asarray(cv2.invert(matrix)[1], np.float64)
    rows, columns = np.mgrid[: size[1], : size[0]].astype(np.float64)
    # OpenCV adds up in blocks of 64 columns, which rounds differently from a single sum.
    start = columns // 64 * 64
    x, y, w = ((a * start + b * rows + c) + a * (columns - start) for a, b, c in inverse.tolist())
    steps = np.rint(np.stack([x, y], axis=-1) * (STEPS_IN_A_PIXEL / w)[..., np.newaxis])
    whole, part = np.divmod(steps.astype(np.int32), STEPS_IN_A_PIXEL)
    fractions = (part[..., 1] * STEPS_IN_A_PIXEL + part[..., 0]).astype(np.uint16)
    warped = cv2.remap(image, whole.astype(np.int16), fractions, cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


def _find_faces(
    network: Network,
    anchors: FloatArray,
    level: Pixels,
    roi: Roi,
    order: ChannelOrder,
    score_threshold: float,
    overlap_threshold: float,
) -> list[Detection]:
    """Run the network on one level and decode the faces into pixels of the source image.

    Decoding after mediapipe/calculators/tensor/tensors_to_detections_calculator.cc: box center,
    size and six key points in pixels of the input, places relative to the anchor.

    Args:
        level: uint8 (h, w, 3), the network's input.
        roi: what `level` shows of the source image, not rotated.
    """
    regressors, logits = network.run(image_bytes(level, order))
    confident = np.flatnonzero(logits[0, :, 0] >= logit(score_threshold))
    if not len(confident):
        return []
    if len(confident) > MOST_BOXES:
        confident = confident[np.argsort(-logits[0, confident, 0])[:MOST_BOXES]]
    places = regressors[0, confident].reshape(-1, 8, 2)
    half_sizes = places[:, 1] / 2
    places = places + anchors[confident, np.newaxis]
    corners = np.stack([places[:, 0] - half_sizes, places[:, 0] + half_sizes], axis=1)

    pixel = roi.width / level.shape[1]
    left_top = np.array([roi.center_x - roi.width / 2, roi.center_y - roi.height / 2], np.float32)
    return suppress_weighted(
        boxes=np.asarray(corners * pixel + left_top, np.float32).reshape(-1, 4),
        scores=sigmoid(logits[0, confident, 0]),
        keypoints=np.asarray(places[:, 2:] * pixel + left_top, np.float32),
        overlap_threshold=min(overlap_threshold * OVERLAP_PER_DETECT_IOU_TH, 1.0),
    )
