"""Faces and their landmarks from MaixPy's networks on the NPU.

`maix` is handed in by the caller, because importing it is a matter of its own: only on the main
thread, and it takes SIGINT (see the callers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .maix_face import NOT_SEEN, Crop, MaixFace, Thresholds

#: The first version with `nn.FaceLandmarks`, and a later one in which it does not work.
FIRST_VERSION = (4, 10, 0)
BROKEN_VERSIONS = ((4, 11, 6),)

LANDMARKS_MODEL = "/root/models/face_landmarks.mud"

#: MaixPy's `crop_image` cuts out a square of 1.2 times the longer side of the box, in whole pixels
#: (MaixCDK, maix_nn_face_landmarks.hpp). As a fraction, so that nothing is lost to rounding.
CROP_SCALE = (6, 5)

#: Two eyes that give `crop_image` an upright face.
UPRIGHT = (0, 0, 1, 0)


class NpuError(RuntimeError):
    """MaixPy cannot find faces here; the message gives its requirements."""


class _Detector(NamedTuple):
    """A face detector of MaixPy: its class in `maix.nn`, its model, where to get that."""

    class_name: str
    model: str
    origin: str


_YOLOV8 = _Detector(
    "YOLOv8", "/root/models/yolov8n_face.mud", "https://maixhub.com/model/zoo/407 (YOLOv8-face)"
)
#: By `maix.sys.device_name()` in lower case; the others have YOLOv8.
_DETECTORS = {
    "maixcam2": _Detector("YOLO11", "/root/models/yolo11s_face.mud", "the system image of MaixCAM2")
}


class NpuFaces:
    """MaixPy's face detector and landmark network, with workarounds for their traps."""

    def __init__(self, maix: Any, detector_model: str = "", landmarks_model: str = "") -> None:
        """Load both networks.

        Args:
            maix: the module, with `nn` and `sys` imported.
            detector_model: path of the detector's .mud file; empty: the device's own.
            landmarks_model: path of the landmarks' .mud file; empty: the device's own.

        Raises:
            NpuError: MaixPy is too old, a model file is missing, or it cannot be loaded.
        """
        check_version(maix.sys.maixpy_version())
        device = maix.sys.device_name()
        detector = _DETECTORS.get(device.lower(), _YOLOV8)
        self._detector_model = detector_model or detector.model
        self._landmarks_model = landmarks_model or LANDMARKS_MODEL
        # Without dual_buff: it is faster, but gives each image the faces of the one before, and
        # the landmarks would be looked for where the face was.
        self._detector = _load(
            lambda path: getattr(maix.nn, detector.class_name)(model=path, dual_buff=False),
            self._detector_model,
            detector.origin,
        )
        self._landmarks = _load(
            lambda path: maix.nn.FaceLandmarks(model=path),
            self._landmarks_model,
            "the system image of MaixPy 4.10.0 or newer",
        )
        self._device = device
        self._version = maix.sys.maixpy_version()

    @property
    def facts(self) -> dict[str, str]:
        """Facts about the networks by name, for diagnostics."""
        return {
            "device": self._device,
            "MaixPy": self._version,
            "detector model": self._detector_model,
            "landmarks model": self._landmarks_model,
        }

    @property
    def detector_size(self) -> tuple[int, int]:
        """Width and height of the detector's input in pixels; the camera fits best at this size."""
        return self._detector.input_width(), self._detector.input_height()

    @property
    def image_format(self) -> Any:
        """The `maix.image.Format` of the networks' input."""
        return self._detector.input_format()

    @property
    def crop_size(self) -> tuple[int, int]:
        """Width and height of the landmark network's input in pixels."""
        return self._landmarks.input_width(), self._landmarks.input_height()

    def find(self, image: Any, thresholds: Thresholds) -> list[MaixFace]:
        """Find the faces of one image, the largest first.

        Args:
            image: a `maix.image.Image` in `image_format`, of any size.
            thresholds: thresholds for faces. A face without landmarks does not count for
                `max_face_num`.
        """
        limit = thresholds.max_face_num
        unseen = self._unseen_in(image)
        faces: list[MaixFace] = []
        for found in self._detector.detect(
            image,
            conf_th=thresholds.detect_conf_th,
            iou_th=thresholds.detect_iou_th,
            sort=1,
        ):
            if 0 < limit <= len(faces):
                break
            face = self._landmarks_of(image, found, unseen, thresholds.landmarks_conf_th)
            if face is not None and (face.points or not thresholds.require_landmarks):
                faces.append(face)
        return faces

    def draw(self, image: Any, faces: Sequence[MaixFace]) -> None:
        """Draw landmarks into an image as MaixPy's examples do: near ones white and large."""
        for face in faces:
            if face.points:
                self._landmarks.draw_face(
                    image, list(face.points), len(face.points_z), list(face.points_z)
                )

    def _unseen_in(self, image: Any) -> tuple[int, int]:
        """Return where MaixPy moves a key point that is not seen in an image of this size.

        It scales (-1, -1) of the detector's input like any other point (MaixCDK,
        maix_nn_yolo11.hpp: _correct_bbox), unless the sizes are the same.
        """
        (width, height), across, down = self.detector_size, image.width(), image.height()
        if (width, height) == (across, down):
            return NOT_SEEN, NOT_SEEN
        scale = min(width / across, height / down)
        left, top = (width - across * scale) / 2, (height - down * scale) / 2
        return int((NOT_SEEN - left) / scale), int((NOT_SEEN - top) / scale)

    def _landmarks_of(
        self, image: Any, found: Any, unseen: tuple[int, int], threshold: float
    ) -> MaixFace | None:
        """Find the landmarks of one detection; None if its box has no size."""
        keypoints: list[int] = list(found.points)
        _name_unseen(keypoints, unseen)
        eyes = _eyes(keypoints)
        crop = crop_of(found.x, found.y, found.w, found.h, eyes)
        if crop.side < 1:
            return None
        # Each crop right before its own detect: the landmarks object remembers the last one only.
        cut_out = self._landmarks.crop_image(image, found.x, found.y, found.w, found.h, eyes)
        if not cut_out:
            return None
        landmarks = self._landmarks.detect(cut_out, threshold, True, True)
        absolute: Sequence[int] = ()
        relative: Sequence[int] = ()
        depths: Sequence[int] = ()
        if landmarks and landmarks.valid:
            points, depths = landmarks.points, landmarks.points_z
            absolute, relative = points[: 2 * len(depths)], points[2 * len(depths) :]
        return MaixFace(
            x=found.x,
            y=found.y,
            width=found.w,
            height=found.h,
            score=found.score,
            keypoints=keypoints,
            landmarks_score=landmarks.score if landmarks else 0.0,
            crop=crop,
            points=absolute,
            points_rel=relative,
            points_z=depths,
        )


def crop_of(x: int, y: int, width: int, height: int, eyes: Sequence[int]) -> Crop:
    """Return the square that `crop_image` cuts out for a box and two eyes."""
    numerator, denominator = CROP_SCALE
    return Crop(
        # Truncated towards zero, as C++ does.
        center_x=int(x + width / 2),
        center_y=int(y + height / 2),
        side=max(width, height) * numerator // denominator,
        angle=math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0]),
    )


def check_version(version: str) -> None:
    """Check that this MaixPy has face landmarks that work.

    Raises:
        NpuError: it is too old, or one in which they are broken.
    """
    numbers = tuple(int(part) for part in version.lstrip("v").split(".")[:3] if part.isdigit())
    first = ".".join(map(str, FIRST_VERSION))
    if numbers < FIRST_VERSION:
        raise NpuError(
            f"MaixPy {version} has no face landmarks: update it to {first} or newer "
            "(Settings, Update MaixPy; or pip install -U maixpy on the device)"
        )
    if numbers in BROKEN_VERSIONS:
        raise NpuError(f"the face landmarks of MaixPy {version} do not work: update to a newer one")


def _name_unseen(keypoints: list[int], unseen: tuple[int, int]) -> None:
    """Set key points that are at `unseen`, to a pixel's rounding, to `NOT_SEEN`."""
    for at in range(0, len(keypoints) - 1, 2):
        if abs(keypoints[at] - unseen[0]) <= 1 and abs(keypoints[at + 1] - unseen[1]) <= 1:
            keypoints[at : at + 2] = [NOT_SEEN, NOT_SEEN]


def _eyes(keypoints: list[int]) -> list[int]:
    """Return the eyes for `crop_image`.

    Without key points the real one ends the process, and an eye that is not seen turns the crop to
    any side, so the face then counts as upright.
    """
    eyes = keypoints[:4]
    not_seen = [NOT_SEEN, NOT_SEEN]
    if len(eyes) < 4 or eyes[:2] == not_seen or eyes[2:] == not_seen:
        return list(UPRIGHT)
    return eyes


def _load(load: Callable[[str], Any], model: str, origin: str) -> Any:
    try:
        return load(model)
    except RuntimeError as error:
        wrong = f"cannot be loaded ({error})" if Path(model).is_file() else "is missing"
        raise NpuError(f"the model file {model} {wrong}: get it from {origin}") from error
