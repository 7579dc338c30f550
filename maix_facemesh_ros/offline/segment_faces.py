"""The faces that were found in the images of a segment, and the tracker's state around it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.roi import Roi
from maix_facemesh_ros.backends.onnx.tracker import Track, TrackerState
from maix_facemesh_ros.bags.storage import BagError, Damage
from maix_facemesh_ros.face import Face, FloatArray
from maix_facemesh_ros.image import Stamp

NO_STAMP = Stamp(0, 0)


class StreamState(NamedTuple):
    """The state of a stream of images between two of them."""

    tracker: TrackerState = TrackerState()
    #: Stamp of the last image in seconds; None before the first one.
    stamp: float | None = None


START = StreamState()


@dataclass(slots=True)
class ImageFaces:
    """A recorded image, and the faces that the tracker found in it."""

    log_time: int
    #: Why the image cannot be used; empty when it can be.
    error: str = ""
    stamp: Stamp = NO_STAMP
    frame_id: str = ""
    #: Width and height in pixels.
    size: tuple[int, int] = (0, 0)
    #: The serialized CameraInfo that is in force from this image on; None: the previous one.
    camera_info: bytes | None = None
    #: Faces that the detector found; None when it did not run.
    detections: int | None = None
    #: With the tracker's own ids, unsmoothed and with all landmarks.
    faces: list[Face] = field(default_factory=list)


@dataclass(slots=True)
class SegmentFaces:
    """The images of a segment."""

    images: list[ImageFaces] = field(default_factory=list)
    #: The last CameraInfo, if it was recorded after the last image.
    camera_info: bytes | None = None
    damage: Damage = field(default_factory=Damage)
    #: State of the stream before the first image, and after the last one.
    before: StreamState = START
    after: StreamState = START

    def to_bytes(self) -> bytes:
        """Return them as an .npz file, exactly and without pickle."""
        facts = [
            [
                *(each.log_time, each.error, *each.stamp, each.frame_id, *each.size),
                _hex(each.camera_info),
                each.detections,
                [
                    [face.id, face.score, face.box, face.landmarks_score, face.eye_contrast]
                    + [len(face.box_keypoints), len(face.points)]
                    for face in each.faces
                ],
            ]
            for each in self.images
        ]
        states = [self.before, self.after]
        faces = [face for each in self.images for face in each.faces]
        arrays = {
            "facts": _text([facts, _hex(self.camera_info), self.damage.messages, states]),
            "keypoints": _joined([face.box_keypoints for face in faces]),
            "points": _joined([face.points for face in faces]),
            "points_z": _joined([face.points_z for face in faces]),
            "points_rel": _joined([face.points_rel for face in faces]),
        }
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SegmentFaces:
        """Decode the result of `to_bytes`.

        Raises:
            BagError: it is something else, or cut short.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return _from_arrays({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise BagError(f"the results of a segment cannot be read: {error}") from error


def _from_arrays(arrays: dict[str, npt.NDArray[Any]]) -> SegmentFaces:
    facts, last_info, damage, states = json.loads(bytes(arrays["facts"].astype(np.uint8)))
    keypoints, points, points_z, points_rel = (
        _Parts(arrays[name]) for name in ("keypoints", "points", "points_z", "points_rel")
    )
    images = []
    for log_time, error, sec, nanosec, frame_id, width, height, info, detections, faces in facts:
        found = [
            Face(
                id=number,
                score=score,
                box=tuple(box),
                box_keypoints=keypoints.next(pairs, 2),
                landmarks_score=presence,
                points=points.next(landmarks, 2),
                points_z=points_z.next(landmarks),
                points_rel=points_rel.next(landmarks, 2),
                eye_contrast=contrast and tuple(contrast),
            )
            for number, score, box, presence, contrast, pairs, landmarks in faces
        ]
        stamp = Stamp(sec, nanosec)
        image = ImageFaces(
            log_time, error, stamp, frame_id, (width, height), _unhex(info), detections, found
        )
        images.append(image)
    before, after = map(_state, states)
    return SegmentFaces(images, _unhex(last_info), Damage(damage), before, after)


def _state(values: Sequence[Any]) -> StreamState:
    (tracks, *rest), stamp = values
    found = tuple(Track(number, Roi(*roi), score) for number, roi, score in tracks)
    return StreamState(TrackerState(found, *rest), stamp)


class _Parts:
    """Reads an array of numbers part by part."""

    def __init__(self, numbers: FloatArray) -> None:
        self._numbers = numbers
        self._start = 0

    def next(self, rows: int, columns: int = 1) -> FloatArray:
        """Return the next (rows, columns), or (rows,) with one column."""
        end = self._start + rows * columns
        part = self._numbers[self._start : end]
        if len(part) < rows * columns:
            raise ValueError("numbers are missing")
        self._start = end
        return part.reshape(rows, columns) if columns > 1 else part


def _joined(arrays: list[FloatArray]) -> FloatArray:
    return np.concatenate([each.reshape(-1) for each in arrays] or [np.zeros(0, np.float32)])


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _text(value: object) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
