"""A segment of a camera's images, and finding the faces in it, in any process."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.stream_stamps import StreamClock
from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.roi import Roi
from maix_facemesh_ros.backends.onnx.search import SearchArea, Thumbnail
from maix_facemesh_ros.backends.onnx.tracker import (
    FaceProvider,
    FaceTracker,
    TrackerState,
    open_networks,
)
from maix_facemesh_ros.bags.storage import UnpackLimits
from maix_facemesh_ros.face import Box, FloatArray
from maix_facemesh_ros.face_mesh import check_image
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.cdr import STAMP_END
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import (
    Camera,
    RecordedCalibration,
    RecordedImage,
    Recording,
)
from maix_facemesh_ros.offline.segment_faces import ImageFaces, SegmentFaces, StreamState
from maix_facemesh_ros.parameters import FaceMeshParameters

#: Images of a segment. With n of them of length l, n / l times `WARM_UP` images are processed
#: twice, and at the end all workers wait for the last l: both together take least when l is near
#: the root of 80 n.
LENGTH_SQUARED = 80
SHORTEST = 100
LONGEST = 1500

#: Images before a segment that are processed to have its faces tracked when it begins. The ROI of
#: a new face comes nearer step by step: after 8 images the landmarks of two runs that began at
#: different images are no further apart than they stay, 0.01 % of the eye distance.
WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive images of one camera; where it is cut depends on the recording alone."""

    #: Number of the first image, and of the one after the last.
    first: int
    end: int
    #: Log times in nanoseconds from and before which its images are; None: from the beginning on,
    #: to the end.
    start: int | None
    stop: int | None
    #: Number of the first image of the warm-up, and its log time; None: the beginning.
    warm_up_first: int
    warm_up_start: int | None


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """A segment to be processed, with all that another process needs for it."""

    path: Path
    unpacked: Path | None
    camera: Camera
    segment: Segment
    parameters: FaceMeshParameters
    limits: UnpackLimits
    #: State that the images before have left; None: the warm-up finds it.
    state: StreamState | None = None


def cut(log_times: npt.NDArray[np.int64], length: int | None = None) -> list[Segment]:
    """Cut a camera's images into segments, never between two of the same log time.

    Args:
        log_times: of each image, in order.
        length: images of a segment; None: it depends on the number of images.
    """
    suits = round(math.sqrt(LENGTH_SQUARED * len(log_times)))
    length = length or min(max(SHORTEST, suits), LONGEST)
    places = [0]
    while (place := places[-1] + length) < len(log_times):
        place = int(np.searchsorted(log_times, log_times[place], side="left"))
        if place <= places[-1]:
            place = int(np.searchsorted(log_times, log_times[places[-1]], side="right"))
        if place >= len(log_times):
            break
        places.append(place)
    ends = [*places[1:], len(log_times)]
    times = [None, *(int(log_times[place]) for place in places[1:]), None]
    return [
        Segment(first, end, start, stop, *_warm_up(log_times, first))
        for first, end, start, stop in zip(places, ends, times[:-1], times[1:], strict=True)
    ]


def _warm_up(log_times: npt.NDArray[np.int64], first: int) -> tuple[int, int | None]:
    if first <= WARM_UP:
        return 0, None
    start = log_times[first - WARM_UP]
    return int(np.searchsorted(log_times, start, side="left")), int(start)


class SegmentTracker:
    """Finds the faces in images of one camera, one after the other."""

    def __init__(
        self, parameters: FaceMeshParameters, provider: FaceProvider, state: StreamState
    ) -> None:
        """Continue a stream of images.

        Args:
            parameters: as the node has them.
            provider: of detections and landmarks.
            state: that of the stream.
        """
        self._parameters = parameters
        self._provider = _Counted(provider)
        self._tracker = FaceTracker(parameters, self._provider)
        self._tracker.state = state.tracker
        self._clock = StreamClock()
        self._stamp = state.stamp
        if state.stamp is not None:
            self._clock.advance(state.stamp, parameters.id_timeout)

    @property
    def state(self) -> StreamState:
        """The state of the stream."""
        return StreamState(self._tracker.state, self._stamp)

    def process(self, recorded: RecordedImage) -> ImageFaces:
        """Decode an image and find its faces."""
        try:
            image = recorded.read()
            check_image(image.pixels)
        except ImageError as error:
            return ImageFaces(recorded.log_time, str(error))
        self._stamp = image.stamp.seconds
        if self._clock.advance(self._stamp, self._parameters.id_timeout).is_new_stream:
            self._tracker.forget()
        self._provider.count = None
        faces = self._tracker.detect(image, self._parameters)
        return ImageFaces(
            recorded.log_time,
            stamp=image.stamp,
            frame_id=image.frame_id,
            size=image.size,
            detections=self._provider.count,
            faces=faces,
        )

    def close(self) -> None:
        """Free its resources."""
        self._tracker.close()


class _Counted:
    """A provider that counts the detections of an image."""

    def __init__(self, provider: FaceProvider) -> None:
        self._provider = provider
        self.roi_rule = provider.roi_rule
        self.file_name = provider.file_name
        self.provider = provider.provider
        #: None: the detector has not run.
        self.count: int | None = None

    def detections(
        self, image: Image, parameters: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        found = self._provider.detections(image, parameters, quarters)
        self.count = max(self.count or 0, len(found))
        return found

    def areas(self, image: Image, min_face_size: float) -> Sequence[SearchArea]:
        return self._provider.areas(image, min_face_size)

    def thumbnail(self, image: Image, parameters: FaceMeshParameters) -> Thumbnail:
        return self._provider.thumbnail(image, parameters)

    def detections_in(
        self,
        image: Image,
        areas: Sequence[SearchArea],
        parameters: FaceMeshParameters,
        quarters: int = 0,
    ) -> list[Detection]:
        found = self._provider.detections_in(image, areas, parameters, quarters)
        self.count = max(self.count or 0, len(found))
        return found

    def see_again(self, image: Image, box: Box, turns: Sequence[int] = (0,)) -> Detection | None:
        return self._provider.see_again(image, box, turns)

    def landmarks(self, image: Image, roi: Roi) -> FaceLandmarks:
        return self._provider.landmarks(image, roi)

    def eye_contrast(self, image: Image, points: FloatArray) -> tuple[float, float]:
        return self._provider.eye_contrast(image, points)

    def give_back_memory(self) -> None:
        """A worker's detector soon runs again, at the start of the next segment."""


def images_of(recording: Recording, camera: Camera, segment: Segment) -> Iterator[RecordedImage]:
    """Yield the images of a segment, in order."""
    for each in recording.images(camera, segment.start, segment.stop):
        if isinstance(each, RecordedImage):
            yield each


def find_faces(task: SegmentTask, recording: Recording, provider: FaceProvider) -> SegmentFaces:
    """Find the faces in the images of a segment.

    Args:
        task: the segment to process.
        recording: where the images are.
        provider: of detections and landmarks.
    """
    segment, parameters = task.segment, task.parameters
    before = task.state or StreamState(TrackerState(images=segment.warm_up_first))
    tracker = SegmentTracker(parameters, provider, before)
    if parameters.tracking and task.state is None and segment.start is not None:
        for each in recording.images(task.camera, segment.warm_up_start, segment.start):
            if isinstance(each, RecordedImage):
                tracker.process(each)
    found = SegmentFaces(before=tracker.state)
    calibration: bytes | None = None
    changed: bytes | None = None
    for each in recording.images(task.camera, segment.start, segment.stop):
        if isinstance(each, RecordedCalibration):
            # Another stamp makes no other calibration.
            if calibration is None or each.data[STAMP_END:] != calibration[STAMP_END:]:
                calibration = changed = each.data
            continue
        image = tracker.process(each)
        image.camera_info, changed = changed, None
        found.images.append(image)
    found.camera_info = changed
    found.damage.add(recording.damage)
    found.after = tracker.state
    tracker.close()
    return found


def find_in_segment(task: SegmentTask) -> bytes:
    """Return the faces of a segment as `SegmentFaces.to_bytes`; in a process for this alone."""
    cv2.setNumThreads(1)
    task = dataclasses.replace(task, parameters=dataclasses.replace(task.parameters, threads=1))
    recording = _recording(task.path, task.camera.topic, task.unpacked, task.limits)
    return find_faces(task, recording, _networks(task.parameters)).to_bytes()


# A process keeps opened recordings and networks.


@lru_cache(maxsize=1)
def _networks(parameters: FaceMeshParameters) -> FaceProvider:
    return open_networks(parameters)


@lru_cache(maxsize=4)
def _recording(path: Path, topic: str, unpacked: Path | None, limits: UnpackLimits) -> Recording:
    return open_recording(path, (topic,), unpacked, limits)
