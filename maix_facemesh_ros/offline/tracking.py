"""The faces of one camera through all of its segments, in order."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.enrichment import Enrichment
from maix_facemesh_ros.analysis.stream_stamps import StampCheck, StreamClock
from maix_facemesh_ros.backends.onnx.tracker import Track
from maix_facemesh_ros.backends.registry import open_blendshapes
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.camera.calibration import camera_of, is_rectified, read_calibration
from maix_facemesh_ros.camera.model import CalibrationError, CameraModel
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.messages.cdr import STAMP_END
from maix_facemesh_ros.offline.recordings import SECOND, Camera, Recording
from maix_facemesh_ros.offline.segment_faces import ImageFaces, SegmentFaces, StreamState
from maix_facemesh_ros.offline.segments import Segment, cut
from maix_facemesh_ros.parameters import NodeParameters, ParameterError

#: The ROIs of a face that was tracked from two different images on overlap by more than this.
SAME_TRACK_OVERLAP = 0.8


@dataclass(slots=True)
class CameraCount:
    """Outcome of a camera's images."""

    images: int = 0
    faces: int = 0
    #: Images that could not be used, by the reason. Reasons that differ in their numbers only, as
    #: the sizes of damaged JPEGs, count together, under the first of them.
    unusable: Counter[str] = field(default_factory=Counter)
    #: Still images in which the detector found more faces than `max_face_num`.
    with_more_faces: int = 0
    _first_of_its_kind: dict[str, str] = field(default_factory=dict)

    def add_unusable(self, reason: str) -> None:
        """Count an image that cannot be used."""
        kind = re.sub(r"[0-9]+", "0", reason)
        self.unusable[self._first_of_its_kind.setdefault(kind, reason)] += 1


class RecordedCamera:
    """One camera of a recording: its segments joined, with ids, smoothing and poses."""

    def __init__(
        self,
        recording: Recording,
        camera: Camera,
        parameters: NodeParameters,
        calibration: CameraModel | None = None,
        segment_length: int | None = None,
    ) -> None:
        """Start before the first image.

        Args:
            recording: where the images are.
            camera: which of its cameras.
            parameters: as the node has them.
            calibration: that of a file, instead of the one in the recording.
            segment_length: images of a segment; None: it depends on the number of images.
        """
        self.recording = recording
        self.camera = camera
        self.parameters = parameters
        self.log_times: npt.NDArray[np.int64] = recording.log_times(camera)
        self.segments: list[Segment] = cut(self.log_times, segment_length)
        self.count = CameraCount()
        #: State of the stream after the segments so far.
        self.state = StreamState()
        #: Why the calibration cannot be used; empty when it can.
        self.calibration_error = ""
        #: Warning about the stamps; empty if there is none.
        self.stamp_notice = ""
        self._stamp_check = StampCheck()
        self._clock = StreamClock()
        self._enrichment = Enrichment(parameters, open_blendshapes)
        #: For each id of the current segment's tracker the id in the whole recording.
        self._ids: dict[int, int] = {}
        self._new_ids = itertools.count(1)
        self._calibration: bytes | None = None
        self._from_file = calibration is not None
        self._model = calibration
        first = recording.first_calibration(camera) if camera.camera_info else None
        if first is not None:
            self._calibrate(first)

    @property
    def may_have_a_model(self) -> bool:
        """Whether a calibration is there, from a file or on a recorded topic."""
        return self._from_file or bool(self.camera.camera_info)

    def continues_with(self, found: SegmentFaces) -> bool:
        """Whether the next segment begins with the faces with which the last one has ended."""
        return self._same_tracks(found) is not None

    def process(self, found: SegmentFaces) -> Iterator[tuple[ImageFaces, list[Face]]]:
        """Yield each image of the next segment with its faces, complete."""
        ids = self._same_tracks(found) or {}
        self._ids = {number: self._ids[before] for number, before in ids.items()}
        self.state = found.after
        for image in found.images:
            if image.camera_info is not None:
                self._calibrate(image.camera_info)
            self.count.images += 1
            if image.error:
                self.count.add_unusable(image.error)
            else:
                self._complete(image)
                self._check(image)
            self.count.faces += len(image.faces)
            yield image, image.faces
        if found.camera_info is not None:
            self._calibrate(found.camera_info)

    def _same_tracks(self, found: SegmentFaces) -> dict[int, int] | None:
        """Return for each track with which a segment begins its id at the end of the last one.

        Both have seen the same image last. None: one of them has a face that the other has not.
        """
        tracks, before = found.before.tracker.tracks, list(self.state.tracker.tracks)
        if len(tracks) != len(before):
            return None
        same = {}
        for track in tracks:
            nearest = max(before, key=lambda each: _overlap(track, each))
            if _overlap(track, nearest) < SAME_TRACK_OVERLAP:
                return None
            before.remove(nearest)
            same[track.id] = nearest.id
        return same

    def _complete(self, image: ImageFaces) -> None:
        """Fill in the faces of an image as `FaceMesh` does."""
        for face in sorted(image.faces, key=lambda face: face.id):
            if face.id:
                if face.id not in self._ids:
                    self._ids[face.id] = next(self._new_ids)
                face.id = self._ids[face.id]
        time = self._clock.advance(image.stamp.seconds, self.parameters.id_timeout)
        if time.is_new_stream:
            self._enrichment.forget()
        self._enrichment.enrich(image.faces, time.seconds, image.size, self._model, self.parameters)

    def _check(self, image: ImageFaces) -> None:
        """Record the remarks on an image."""
        self.stamp_notice = self.stamp_notice or self._stamp_check.notice(
            image.stamp.seconds, image.log_time / SECOND
        )
        limit = self.parameters.face_limit
        # Of a stream, the detector does not run in every image.
        if not self.parameters.tracking and limit is not None and image.detections is not None:
            self.count.with_more_faces += image.detections > limit

    def _calibrate(self, data: bytes) -> None:
        if self._from_file or (
            self._calibration is not None and self._calibration[STAMP_END:] == data[STAMP_END:]
        ):
            return
        # Bags alone have calibrations, and need the library.
        from maix_facemesh_ros.bags.message_types import CAMERA_INFO, deserialize

        self._calibration = data
        rectified = is_rectified(self.camera.topic, self.parameters.rectified)
        try:
            message = deserialize(data, CAMERA_INFO)
            self._model = camera_of(message, rectified=rectified)
        except CalibrationError as error:
            self._model = None
            self.calibration_error = str(error)


def _overlap(track: Track, other: Track) -> float:
    """Return the intersection over union of two tracks' ROIs, without their rotation."""
    first, second = (
        (roi.center_x - roi.width / 2, roi.center_y - roi.height / 2, roi.width, roi.height)
        for roi in (track.roi, other.roi)
    )
    return overlap(first, second)


def parameters_for_stills(parameters: NodeParameters, *, all_faces: bool) -> NodeParameters:
    """Return the parameters for independent images.

    Args:
        parameters: as for a stream.
        all_faces: find all faces, however many.
    """
    limit = 0 if all_faces else parameters.max_face_num
    return dataclasses.replace(
        parameters, tracking=False, ids=False, smoothing="off", max_face_num=limit
    )


def calibration_of_file(parameters: NodeParameters) -> CameraModel | None:
    """Return the camera that `calibration_file` describes; None without one.

    Raises:
        ParameterError: it cannot be read, or describes no camera.
    """
    if not parameters.calibration_file:
        return None
    calibration = read_calibration(parameters.calibration_file)
    try:
        return camera_of(calibration, rectified=parameters.rectified == "yes")
    except CalibrationError as error:
        raise ParameterError(
            f"calibration_file is {parameters.calibration_file!r}: {error}"
        ) from error
