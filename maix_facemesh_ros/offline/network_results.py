"""What the networks said of the images of a stretch, and networks that say it again.

Following faces from image to image is quick, but each step needs the one before. What takes the
time, decoding and the networks, depends on nothing but the image and where it is looked at. So
the networks' results can be computed anywhere and at any time; where the following asks for exactly
what was computed, it gets that, and else it has it computed. Its answer is the same to the last
bit.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.detection import BoxDetector, Detection
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.roi import Roi
from maix_facemesh_ros.backends.onnx.tracker import LandmarkFinder, Networks
from maix_facemesh_ros.bags.storage import BagError, Damage
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Image, Pixels, Stamp

NO_STAMP = Stamp(0, 0)


@dataclass(slots=True)
class ImageResults:
    """A recorded image, and what the networks have said of it so far."""

    log_time: int
    #: Why the image cannot be used; empty when it can be.
    error: str = ""
    stamp: Stamp = NO_STAMP
    frame_id: str = ""
    #: Width and height in pixels.
    size: tuple[int, int] = (0, 0)
    #: The serialized CameraInfo that is in force from this image on; None: that of before.
    camera_info: bytes | None = None
    #: What the detector found; None when it did not look.
    detections: list[Detection] | None = None
    landmarks: dict[Roi, FaceLandmarks] = field(default_factory=dict)

    @property
    def stand_in(self) -> Image:
        """An image of the same size, which takes no memory."""
        return Image(_black(*self.size), "rgb", self.stamp, self.frame_id)


@dataclass(slots=True)
class StretchResults:
    """The images of a stretch."""

    images: list[ImageResults] = field(default_factory=list)
    #: The CameraInfo that has come last, when it came after the last image.
    camera_info: bytes | None = None
    damage: Damage = field(default_factory=Damage)

    def to_bytes(self) -> bytes:
        """Return them as an .npz file, exactly and without pickle."""
        facts = [
            [
                *(each.log_time, each.error, *each.stamp, each.frame_id, *each.size),
                _hex(each.camera_info),
                len(each.detections) if each.detections is not None else None,
                len(each.landmarks),
            ]
            for each in self.images
        ]
        detections = [d for each in self.images for d in each.detections or ()]
        found = [pair for each in self.images for pair in each.landmarks.items()]
        arrays = {
            "facts": _text([facts, _hex(self.camera_info), self.damage.messages]),
            "boxes": np.array([[*d.box, d.score] for d in detections], np.float64),
            "keypoints": _stack([d.keypoints for d in detections]),
            "rois": np.array([[*roi, marks.presence] for roi, marks in found], np.float64),
            "points": _stack([marks.points for _, marks in found]),
            "points_z": _stack([marks.points_z for _, marks in found]),
            "points_rel": _stack([marks.points_rel for _, marks in found]),
        }
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> StretchResults:
        """Read what `to_bytes` has made.

        Raises:
            BagError: it is something else, or cut short.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return _from_arrays({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise BagError(f"results of the networks cannot be read: {error}") from error


class KnownNetworks:
    """The detector and the landmark network: what they have said of an image is not asked again.

    A `BoxDetector` and a `LandmarkFinder` at once.
    """

    def __init__(self, networks: Networks) -> None:
        self._detector: BoxDetector = networks.detector
        self._finder: LandmarkFinder = networks.landmarks
        self.roi_rule = networks.detector.roi_rule
        self.provider = networks.landmarks.provider
        self.file_name = networks.landmarks.file_name
        self._results = ImageResults(0)
        self._read: Callable[[], Image] | None = None
        self._image: Image | None = None
        #: Runs of the networks, because their answer was not known.
        self.runs = 0
        #: Whether the detector was asked for the image in hand.
        self.looked = False

    def take(self, results: ImageResults, read: Callable[[], Image]) -> None:
        """Turn to the next image.

        Args:
            results: what is known of it; what has to be computed is added.
            read: reads and decodes it, where that is needed.
        """
        self._results, self._read, self._image = results, read, None
        self.looked = False

    def let_go(self) -> None:
        """Free the image in hand, so that two are never in memory at once."""
        self._read = self._image = None

    def detect(
        self,
        image: Image,  # noqa: ARG002
        *,
        score_threshold: float,
        overlap_threshold: float,
        min_face_size: float,
    ) -> list[Detection]:
        """See `BoxDetector`; the pixels is that of `take`."""
        self.looked = True
        if self._results.detections is None:
            self._results.detections = self._detector.detect(
                self._decoded(),
                score_threshold=score_threshold,
                overlap_threshold=overlap_threshold,
                min_face_size=min_face_size,
            )
        return self._results.detections

    def find(self, image: Image, roi: Roi) -> FaceLandmarks:  # noqa: ARG002
        """See `LandmarkFinder`; the pixels is that of `take`."""
        known = self._results.landmarks.get(roi)
        if known is None:
            known = self._finder.find(self._decoded(), roi)
            self._results.landmarks[roi] = known
        return known

    def give_back_memory(self) -> None:
        """See `LandmarkFinder`; a worker's detector soon looks at another recording's start."""

    def _decoded(self) -> Image:
        self.runs += 1
        if self._image is None:
            assert self._read is not None
            self._image = self._read()
        return self._image


def _from_arrays(arrays: dict[str, npt.NDArray[np.generic]]) -> StretchResults:
    facts, last_info, damage = json.loads(bytes(arrays["facts"].astype(np.uint8)))
    boxes, rois = arrays["boxes"].tolist(), arrays["rois"].tolist()
    keypoints, points, points_z, points_rel = (
        arrays[name] for name in ("keypoints", "points", "points_z", "points_rel")
    )
    images = []
    box = mark = 0
    for log_time, error, sec, nanosec, frame_id, width, height, info, boxes_in, marks_in in facts:
        image = ImageResults(
            log_time,
            error,
            Stamp(sec, nanosec),
            frame_id,
            (width, height),
            _unhex(info),
        )
        if boxes_in is not None:
            image.detections = [
                Detection(tuple(boxes[n][:4]), boxes[n][4], keypoints[n])
                for n in range(box, box + boxes_in)
            ]
            box += boxes_in
        for n in range(mark, mark + marks_in):
            *roi, presence = rois[n]
            image.landmarks[Roi(*roi)] = FaceLandmarks(
                presence, points[n], points_z[n], points_rel[n]
            )
        mark += marks_in
        images.append(image)
    return StretchResults(images, _unhex(last_info), Damage(damage))


@lru_cache(maxsize=8)
def _black(width: int, height: int) -> Pixels:
    return np.broadcast_to(np.zeros((), np.uint8), (height, width, 3))


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _stack(arrays: list[FloatArray]) -> FloatArray:
    return np.stack(arrays) if arrays else np.zeros(0, np.float32)


def _text(value: object) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
