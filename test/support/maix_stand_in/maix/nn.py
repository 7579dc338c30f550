"""MaixPy's face detectors and its face landmarks, as far as they show in their results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from . import _knobs
from ._native import end_process, opencv_errors, whole, wholes
from .err import Err, failure
from .image import Color, Fit, Format, Image, Size, cv2image, image2cv

_MODELS = "/root/models/"
_NOT_SEEN = -1

# Numbers that are float in C++: with those of Python, some results would differ by one.
_Float = np.float32
_Matrix = npt.NDArray[np.float64]


class Object:
    """A face that a detector has found."""

    def __init__(
        self,
        x: int = 0,
        y: int = 0,
        w: int = 0,
        h: int = 0,
        class_id: int = 0,
        score: float = 0,
        points: Sequence[int] = (),
        angle: float = -9999,
    ) -> None:
        self.x, self.y, self.w, self.h = wholes((x, y, w, h))
        self.class_id = whole(class_id)
        self.score = score
        self._points = wholes(points)
        self.angle = angle
        self.seg_mask = None

    @property
    def points(self) -> list[int]:
        """Key points x0, y0, ..; a new list each time, as pybind11 makes it."""
        return list(self._points)

    @points.setter
    def points(self, points: Sequence[int]) -> None:
        self._points = wholes(points)


class Objects:
    """The faces of one image."""

    def __init__(self) -> None:
        self._objects: list[Object] = []

    def add(
        self,
        x: int = 0,
        y: int = 0,
        w: int = 0,
        h: int = 0,
        class_id: int = 0,
        score: float = 0,
        points: Sequence[int] = (),
        angle: float = -1,
    ) -> Object:
        """Append an object."""
        self._objects.append(Object(x, y, w, h, class_id, score, points, angle))
        return self._objects[-1]

    def remove(self, idx: int) -> Err:
        """Remove an object by its place."""
        if not 0 <= idx < len(self._objects):
            return Err.ERR_ARGS
        del self._objects[idx]
        return Err.ERR_NONE

    def at(self, idx: int) -> Object:
        """Return an object by its place."""
        if not 0 <= idx < len(self._objects):
            raise IndexError(f"no object {idx} of {len(self._objects)}")
        return self._objects[idx]

    def __getitem__(self, idx: int) -> Object:
        return self.at(idx)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects)


class YOLO11:
    """The face detector of a MaixCAM2."""

    _TYPE = "yolo11"
    _INPUT = (640, 480)

    def __init__(self, model: str = "", dual_buff: bool = True) -> None:
        self._size = (0, 0)
        self._dual_buff = dual_buff
        self._waiting: npt.NDArray[np.uint8] | None = None
        self.labels: list[str] = []
        self.label_path = ""
        self.mean: list[float] = []
        self.scale: list[float] = []
        if model:
            self.load(model)

    def load(self, model: str) -> Err:
        """Load a .mud file."""
        _load(model, self._TYPE)
        self._size = self._INPUT
        self.labels, self.mean, self.scale = ["face"], [0.0] * 3, [1 / 255] * 3
        return Err.ERR_NONE

    def detect(
        self,
        img: Image,
        conf_th: float = 0.5,
        iou_th: float = 0.45,
        fit: Fit = Fit.FIT_CONTAIN,
        keypoint_th: float = 0.5,
        sort: int = 0,
    ) -> Objects:
        """Find faces.

        Args:
            img: RGB, of any size.
            conf_th: the least score.
            iou_th: boxes that overlap more are one face.
            fit: how an image of another size is brought into the network's.
            keypoint_th: key points less certain are (-1, -1) in the network's input.
            sort: 1: the largest first; -1: the smallest; 0: the most certain.
        """
        if self._size == (0, 0):
            end_process("detect without a model")
        if img.format() != Format.FMT_RGB888:
            raise _wrong_format(img)
        same_size = (img.width(), img.height()) == self._size
        image = image2cv(img if same_size else img.resize(*self._size, fit), False)
        if self._dual_buff:
            # While one image is with the network, the result of the one before is there.
            before, self._waiting = self._waiting, image
            if before is None:
                return Objects()
            image = before
        found = self._find(image, conf_th, iou_th, keypoint_th)
        if sort:
            found.sort(key=lambda face: -math.copysign(1, sort) * face.w * face.h)
        objects = Objects()
        for face in found:
            if not same_size:
                _move_into_image(face, self._size, (img.width(), img.height()), fit)
            if _knobs.text("UNSEEN_EYE") == "1":
                face.points = [_NOT_SEEN, _NOT_SEEN, *face.points[2:]]
            objects._objects.append(face)
        return objects

    def input_size(self) -> Size:
        """Return the size of the network's input in pixels."""
        return Size(*self._size)

    def input_width(self) -> int:
        """Return the width of the network's input in pixels."""
        return self._size[0]

    def input_height(self) -> int:
        """Return the height of the network's input in pixels."""
        return self._size[1]

    def input_format(self) -> Format:
        """Return the only format that `detect` takes."""
        return Format.FMT_RGB888

    def _find(
        self, image: npt.NDArray[np.uint8], conf_th: float, iou_th: float, keypoint_th: float
    ) -> list[Object]:
        """Return faces in whole pixels of the network's input, cut off at its edge."""
        # Here and not above: an app may test that it can be imported where no onnxruntime is.
        from ._networks import find_faces

        faces = []
        for found in find_faces(image, conf_th, iou_th):
            x, y, width, height = (int(number) for number in found.box)
            face = Object(x, y, width, height, score=found.score)
            _cut_off(face, self._size)
            face.points = (
                [int(number) for number in found.keypoints.reshape(-1)]
                if found.keypoint_score > keypoint_th
                else [_NOT_SEEN] * 10
            )
            if _knobs.text("UNSEEN_EYE") == "moved":
                face.points = [_NOT_SEEN, _NOT_SEEN, *face.points[2:]]
            faces.append(face)
        return faces


class YOLOv8(YOLO11):
    """The face detector of the other MaixCAMs."""

    _TYPE = "yolov8"
    _INPUT = (320, 224)


class FaceLandmarksObject:
    """The landmarks of one face."""

    def __init__(self) -> None:
        self.valid = False
        self.score = 0.0
        self._points: list[int] = []
        self._points_z: list[int] = []

    @property
    def points(self) -> list[int]:
        """Landmarks x0, y0, ..; a new list each time, as pybind11 makes it."""
        return list(self._points)

    @points.setter
    def points(self, points: Sequence[int]) -> None:
        self._points = wholes(points)

    @property
    def points_z(self) -> list[int]:
        """Depths, larger = closer, in pixels of the crop; a new list each time."""
        return list(self._points_z)

    @points_z.setter
    def points_z(self, points_z: Sequence[int]) -> None:
        self._points_z = wholes(points_z)


class FaceLandmarks:
    """The face landmarks."""

    def __init__(self, model: str = "") -> None:
        self._side = 0
        #: From the last crop back into the image; used up by `detect`.
        self._to_image: _Matrix | None = None
        self.landmarks_num = 0
        self.mean: list[float] = []
        self.scale: list[float] = []
        if model:
            self.load(model)

    def load(self, model: str) -> Err:
        """Load a .mud file."""
        _load(model, "face_landmarks")
        from ._networks import LANDMARKS, LANDMARKS_SIZE

        self._side, self.landmarks_num = LANDMARKS_SIZE, LANDMARKS
        self.mean, self.scale = [0.0] * 3, [1 / 255] * 3
        return Err.ERR_NONE

    def crop_image(
        self,
        img: Image,
        x: int,
        y: int,
        w: int,
        h: int,
        points: Sequence[int],
        new_width: int = -1,
        new_height: int = -1,
        scale: float = 1.2,
    ) -> Image:
        """Cut out a face, upright by its eyes, and keep the way back into the image.

        Args:
            img: the whole image.
            x, y, w, h: the face's box.
            points: the eye on the image's left, the other eye; what follows is not used.
            new_width, new_height: size of the crop; -1: that of the network's input.
            scale: the crop's side, as a multiple of the longer side of the box.
        """
        x, y, w, h = wholes((x, y, w, h))
        eyes = wholes(points)
        if len(eyes) < 4:
            end_process(f"crop_image with {len(eyes)} numbers of the eyes instead of 4")
        width = self._side if whole(new_width) == -1 else new_width
        height = self._side if whole(new_height) == -1 else new_height
        corners = _crop_corners(x, y, w, h, eyes, scale)
        target = np.array([(0, 0), (0, height), (width, height)], np.float32)
        with opencv_errors():
            to_crop = cv2.getAffineTransform(corners, target)
            pixels = cv2.warpAffine(
                image2cv(img, False, False), to_crop, (width, height), flags=cv2.INTER_NEAREST
            )
            self._to_image = np.asarray(cv2.invertAffineTransform(to_crop), np.float64)
        return cv2image(np.asarray(pixels, np.uint8), False)

    def detect(
        self,
        img: Image,
        conf_th: float = 0.5,
        landmarks_abs: bool = True,
        landmarks_rel: bool = False,
    ) -> FaceLandmarksObject:
        """Find the landmarks in a crop.

        Args:
            img: the last crop.
            conf_th: the least score; below it, all landmarks are 0.
            landmarks_abs: give them in pixels of the image.
            landmarks_rel: give them in pixels of the crop, after the others.
        """
        if not self._side:
            end_process("detect without a model")
        if img.format() != Format.FMT_RGB888:
            raise _wrong_format(img)
        if (img.width(), img.height()) != (self._side, self._side):
            raise failure("image size not match model input size")
        if not landmarks_abs and not landmarks_rel:
            raise failure(code=Err.ERR_ARGS)
        from ._networks import find_landmarks

        landmarks, score = find_landmarks(image2cv(img, False, False))
        result = FaceLandmarksObject()
        result.score = score
        result.valid = score >= float(np.float32(conf_th))
        numbers = 2 * self.landmarks_num * (2 if landmarks_abs and landmarks_rel else 1)
        points: list[int] = []
        if result.valid:
            result.points_z = _rounded(-landmarks[:, 2])
            # Without a new crop only those in the crop are there, and take the place of the others.
            absolute = landmarks_abs and self._to_image is not None
            if absolute:
                points += self._into_image(landmarks)
            if landmarks_rel or not absolute:
                points += _truncated(landmarks[:, :2])
        else:
            result.points_z = [0] * self.landmarks_num
        result.points = points + [0] * (numbers - len(points))
        return result

    def draw_face(
        self,
        img: Image,
        points: Sequence[int],
        num: int,
        points_z: Sequence[int] = [],
        r_min: int = 2,
        r_max: int = 4,
    ) -> None:
        """Draw landmarks; with depths, near ones white and large and far ones black and small."""
        points, depths = wholes(points), wholes(points_z)
        if not points or len(points) % 2 or whole(num) * 2 > len(points):
            raise RuntimeError(
                "keypoints size must > 0 and x,y,...,x,y format, num must <= points size"
            )
        if depths and num > len(depths):
            raise RuntimeError("num must <= points_z size")
        shades = _shades(depths, r_min, r_max) if depths else [((r_max - r_min) // 2, 255)] * num
        for x, y, (radius, gray) in zip(points[::2], points[1::2], shades[:num], strict=False):
            img.draw_circle(x, y, radius, Color.from_rgb(gray, gray, gray), -1)

    def input_size(self, detect: bool = True) -> Size:  # noqa: ARG002
        """Return the size of the network's input in pixels."""
        return Size(self._side, self._side)

    def input_width(self, detect: bool = True) -> int:  # noqa: ARG002
        """Return the width of the network's input in pixels."""
        return self._side

    def input_height(self, detect: bool = True) -> int:  # noqa: ARG002
        """Return the height of the network's input in pixels."""
        return self._side

    def input_format(self) -> Format:
        """Return the only format that `detect` takes."""
        return Format.FMT_RGB888

    def _into_image(self, landmarks: npt.NDArray[np.float32]) -> list[int]:
        assert self._to_image is not None
        places = np.ones((len(landmarks), 3))
        places[:, :2] = landmarks[:, :2]
        moved = places @ self._to_image.T
        self._to_image = None
        return _truncated(moved)


def _load(model: str, kind: str) -> None:
    """Look a model file up; that of another kind is refused.

    Raises:
        RuntimeError: as the real one words it.
    """
    folder = _knobs.path("MODELS_AT")
    path = Path(model)
    if model.startswith(_MODELS):
        if folder is None:
            _load_networks(kind)
            return
        path = folder / model[len(_MODELS) :]
    if not path.is_file():
        raise failure("load model failed", Err.ERR_NOT_FOUND)
    named = re.search(rb"^\s*model_type\s*=\s*(\S+)", path.read_bytes(), re.MULTILINE)
    if named and named[1].decode(errors="replace") != kind:
        raise failure("load model failed", Err.ERR_ARGS)
    _load_networks(kind)


def _load_networks(kind: str) -> None:
    from ._networks import load_networks

    load_networks()
    print(f"-- [I] model info:\n\ttype: {kind}", flush=True)


def _wrong_format(img: Image) -> RuntimeError:
    name = img.format().name.removeprefix("FMT_")
    return failure(f"image format not match, input_type: RGB888, image format: {name}")


def _cut_off(face: Object, size: tuple[int, int]) -> None:
    """Leave of a box what is in the image, which may be nothing."""
    if face.x < 0:
        face.w, face.x = face.w + face.x, 0
    if face.y < 0:
        face.h, face.y = face.h + face.y, 0
    face.w = min(face.w, size[0] - face.x)
    face.h = min(face.h, size[1] - face.y)


def _move_into_image(
    face: Object, source: tuple[int, int], image: tuple[int, int], fit: Fit
) -> None:
    """Bring a face from the network's input into the image, truncated to whole pixels once more.

    Key points that are not seen are moved as well. With `FIT_COVER` the real one shifts key points
    to the wrong side.
    """
    scales = [_Float(source[axis]) / _Float(image[axis]) for axis in (0, 1)]
    if fit == Fit.FIT_FILL:
        steps = [_Float(image[axis]) / _Float(source[axis]) for axis in (0, 1)]
        box_shifts = point_shifts = [_Float(0), _Float(0)]
    else:
        scale = min(scales) if fit == Fit.FIT_CONTAIN else max(scales)
        steps = [_Float(1.0 / float(scale))] * 2
        point_shifts = [
            _Float(abs(source[axis] - _Float(image[axis]) * scale) / 2) for axis in (0, 1)
        ]
        covers = fit == Fit.FIT_COVER
        box_shifts = [-shift if covers else shift for shift in point_shifts]
    face.x, face.y = (
        int((_Float(place) - shift) * step)
        for place, shift, step in zip((face.x, face.y), box_shifts, steps, strict=True)
    )
    face.w, face.h = int(_Float(face.w) * steps[0]), int(_Float(face.h) * steps[1])
    face.points = [
        int((_Float(place) - point_shifts[at % 2]) * steps[at % 2])
        for at, place in enumerate(face.points)
    ]
    _cut_off(face, image)


def _crop_corners(
    x: int, y: int, w: int, h: int, eyes: Sequence[int], scale: float
) -> npt.NDArray[np.float32]:
    """Return (3, 2): the corners of the square to cut out, from the left top against the clock."""
    center = np.array([int(x + w * 0.5), int(y + h * 0.5)], np.float32)
    side = int(_Float(max(w, h)) * _Float(scale))
    roll = _Float(math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0]))
    cos, sin = np.cos(roll), np.sin(roll)
    turn = np.array([(cos, sin), (-sin, cos)], np.float32)
    unit = np.array([(-1, -1), (-1, 1), (1, 1)], np.float32)
    turned = cv2.gemm(unit, turn, side * 0.5, np.zeros_like(unit), 0.0)
    return np.asarray(turned + center, np.float32)


def _shades(depths: Sequence[int], r_min: int, r_max: int) -> list[tuple[int, int]]:
    """Return radius and gray of each landmark.

    The real one overlooks the lowest depth if none before it is higher. What is lower than the
    lowest that it knows has a negative gray, of which the last eight bits are left (on x86).
    """
    highest, lowest = -(2**31), 2**31 - 1
    for depth in depths:
        if depth > highest:
            highest = depth
        elif depth < lowest:
            lowest = depth
    shades = []
    span = _wrapped(highest - lowest)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_unit = np.float32(np.float64(1.0) / np.float64(span))
        for depth in depths:
            near = _Float(_wrapped(depth - lowest)) * per_unit
            if not np.isfinite(near):
                shades.append((r_min, 0))
                continue
            gray = int(near * _Float(255)) & 0xFF
            shades.append((max(int(near * _Float(r_max)), r_min), gray))
    return shades


def _wrapped(number: int) -> int:
    """Return what is left of a number in 32 bits."""
    return (number + 2**31) % 2**32 - 2**31


def _truncated(numbers: npt.NDArray[np.floating]) -> list[int]:
    return [int(number) for number in numbers.reshape(-1)]


def _rounded(numbers: npt.NDArray[np.floating]) -> list[int]:
    """Round halves away from 0, as C's roundf."""
    return [int(number) for number in np.trunc(numbers + np.copysign(0.5, numbers))]
