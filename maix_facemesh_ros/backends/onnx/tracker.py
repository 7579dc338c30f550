"""The tracker of the onnx backend: detections → landmarks of each face → ROI in the next image.

What an image shows it asks a `FaceProvider`, which is `Networks` (MediaPipe's, or a user's own
face detector, on onnxruntime). It touches no pixels itself, except by optical flow with
`landmarks_interval` above 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector, ShortRangeDetector
from maix_facemesh_ros.backends.onnx.detection import (
    BoxDetector,
    Detection,
    turn_detection_back,
)
from maix_facemesh_ros.backends.onnx.eye_contrast import eye_contrast
from maix_facemesh_ros.backends.onnx.face_search import (
    FULL_EFFORT,
    LEAST_EFFORT,
    NEW_EFFORT,
    SEEN_AGAIN,
    SMALL_EFFORT,
    TURNS,
    Effort,
    FaceNetworks,
    FaceSearch,
    smallest_turned_face,
)
from maix_facemesh_ros.backends.onnx.flow import FaceFlow
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks, FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.rejected import RejectedDetections
from maix_facemesh_ros.backends.onnx.roi import (
    Roi,
    bounding_box,
    face_box,
    next_roi,
)
from maix_facemesh_ros.backends.onnx.same_face import (
    LARGER,
    area_of,
    distinct,
    largest,
    largest_first,
    set_landmarks,
)
from maix_facemesh_ros.backends.onnx.search import (
    IMAGES_AFTER_A_LOSS,
    SEARCH_AFTER_A_LOSS,
    LargerFaceSchedule,
    SearchArea,
    SearchSchedule,
    Thumbnail,
)
from maix_facemesh_ros.backends.onnx.side_by_side import SideBySide
from maix_facemesh_ros.backends.onnx.yolov8_face import YoloV8FaceDetector
from maix_facemesh_ros.backends.onnx.yunet import YuNetDetector
from maix_facemesh_ros.face import Box, Face, FloatArray
from maix_facemesh_ros.image import Image
from maix_facemesh_ros.image_rotation import turn_face_back, turn_image
from maix_facemesh_ros.parameters import FaceMeshParameters
from maix_facemesh_ros.processors import usable_processors

#: detector: how to open it, given the path of the user's file and the execution provider.
DETECTORS: dict[str, Callable[[Path, str], BoxDetector]] = {
    "full_range": lambda _, provider: FullRangeDetector(provider),
    "short_range": lambda _, provider: ShortRangeDetector(provider),
    "yolov8_face": YoloV8FaceDetector,
    "yunet": YuNetDetector,
}


class FaceProvider(FaceNetworks, Protocol):
    """Provides detections and landmarks of an image to the tracker."""

    #: Name of the landmark model's file, and onnxruntime's name of the execution provider.
    file_name: str
    provider: str

    def areas(self, image: Image, min_face_size: float) -> Sequence[SearchArea]:
        """Return the parts in which an image can be searched; none: as a whole only.

        Args:
            image: as it is.
            min_face_size: smallest face to find, as a fraction of the image's width.
        """
        ...

    def thumbnail(self, image: Image, parameters: FaceMeshParameters) -> Thumbnail:
        """Return the small image that tells which areas have changed."""
        ...

    def eye_contrast(self, image: Image, points: FloatArray) -> tuple[float, float]:
        """Return `Face.eye_contrast` of (478, 2) landmarks."""
        ...

    def give_back_memory(self) -> None:
        """Free the memory that the detector has kept for its next run."""
        ...


class Networks:
    """The detector and the landmark network; results depend on the image and arguments alone."""

    def __init__(
        self,
        detector: BoxDetector,
        landmarks: FaceLandmarksNetwork,
        second_detector: FullRangeDetector,
    ) -> None:
        self._detector = detector
        self._landmarks = landmarks
        self._second_detector = second_detector
        self.roi_rule = detector.roi_rule
        self.file_name = landmarks.file_name
        self.provider = landmarks.provider

    def detections(
        self, image: Image, parameters: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        """See `FaceProvider`."""
        if image.size == (1, 1):  # OpenCV 4.5.4 refuses an array of one pixel.
            return []
        found = self._detector.detect(
            turn_image(image, quarters),
            score_threshold=parameters.detect_conf_th,
            overlap_threshold=parameters.detect_iou_th,
            min_face_size=parameters.min_face_size,
        )
        return [turn_detection_back(detection, quarters, image.size) for detection in found]

    def areas(self, image: Image, min_face_size: float) -> Sequence[SearchArea]:
        """See `FaceProvider`."""
        return self._detector.areas(image.size, min_face_size)

    def thumbnail(self, image: Image, parameters: FaceMeshParameters) -> Thumbnail:
        """See `FaceProvider`."""
        return Thumbnail.of(image, parameters.min_face_size)

    def detections_in(
        self,
        image: Image,
        areas: Sequence[SearchArea],
        parameters: FaceMeshParameters,
        quarters: int = 0,
    ) -> list[Detection]:
        """See `FaceProvider`."""
        return self._detector.search(
            image,
            areas,
            quarters,
            score_threshold=parameters.detect_conf_th,
            overlap_threshold=parameters.detect_iou_th,
        )

    def see_again(self, image: Image, box: Box, turns: Sequence[int] = (0,)) -> Detection | None:
        """See `FaceProvider`."""
        return self._second_detector.see_again(image, box, turns, SEEN_AGAIN)

    def landmarks(self, image: Image, roi: Roi) -> FaceLandmarks:
        """See `FaceProvider`."""
        return self._landmarks.find(image, roi)

    def eye_contrast(self, image: Image, points: FloatArray) -> tuple[float, float]:
        """See `FaceProvider`."""
        return eye_contrast(image.pixels, points)

    def give_back_memory(self) -> None:
        """See `FaceProvider`."""
        self._landmarks.give_back_memory()


def open_networks(parameters: FaceMeshParameters) -> Networks:
    """Load the networks of the parameters.

    Raises:
        BackendError: the execution provider is not there.
        ModelError: a model file is missing, damaged, or of another network.
    """
    provider = parameters.execution_provider
    detector = DETECTORS[parameters.detector](Path(parameters.detector_model), provider)
    # Whatever the detector, this one tells best whether there is a face, and its roll.
    second = detector if isinstance(detector, FullRangeDetector) else FullRangeDetector(provider)
    return Networks(detector, FaceLandmarksNetwork(provider), second)


#: When the detector has not run for this number of images, a second or so, its memory is given
#: back: 23 MB of the default one's at 640x480.
IMAGES_UNTIL_REST = 30

#: Without a face, the image is turned for the detector in every n-th image: one turned search takes
#: as long as two images of a moving camera.
TURN_INTERVAL = 24
#: In this number of images from a new change on, see `search`, heads at any roll are searched more
#: thoroughly.
NEW_IMAGES = 3
#: Else, without a face, one detection is tried at other rolls in every n-th image at most.
ROLL_INTERVAL = 8
#: While faces are tracked, the image is turned once in n of the detector's regular runs.
TURNED_DETECTIONS = 4
#: While as many faces are tracked as may be given, the detector runs for larger ones only, of
#: this part of the least width that counts.
LARGER_FACE_MARGIN = 0.8


class Track(NamedTuple):
    """A face that is tracked in the next image."""

    id: int
    roi: Roi
    #: Score of the last detection of this face.
    score: float


class TrackerState(NamedTuple):
    """The tracker's state between images, except optical flow, the schedule and rejections.

    A tracker that continues from a state searches all areas when it first searches.
    """

    tracks: Sequence[Track] = ()
    #: Number of processed images of the stream, which determines when the detector runs.
    images: int = 0
    #: Number of assigned ids.
    ids: int = 0
    images_since_detection: int = 0
    images_since_loss: int = IMAGES_AFTER_A_LOSS
    #: Whether there are faces without landmarks, which only the detector sees.
    has_untracked: bool = False


class FaceTracker:
    """Finds faces and their landmarks on the host's processor, and tracks them."""

    def __init__(
        self, parameters: FaceMeshParameters, provider: FaceProvider | None = None
    ) -> None:
        """Start a stream.

        Args:
            parameters: those of the start.
            provider: of detections and landmarks; None: the networks are loaded.

        Raises:
            BackendError: the execution provider is not there.
            ModelError: a model file is missing, damaged, or of another network.
        """
        self._provider = provider or open_networks(parameters)
        threads = parameters.threads or usable_processors()
        self._side_by_side = SideBySide(threads)
        self._search = FaceSearch(self._provider, self._side_by_side)
        self.facts = {
            "detector": parameters.detector,
            "detector model": parameters.detector_model or "the package's own",
            "landmarks model": self._provider.file_name,
            "execution provider": self._provider.provider,
            "threads": str(threads),
        }
        self.state = TrackerState()

    @property
    def state(self) -> TrackerState:
        """The tracker's state; setting it continues another tracker's stream."""
        return TrackerState(
            tuple(self._tracks),
            self._images,
            self._ids,
            self._images_since_detection,
            self._images_since_loss,
            self._has_untracked,
        )

    @state.setter
    def state(self, state: TrackerState) -> None:
        self._tracks = list(state.tracks)
        self._images = state.images
        self._ids = state.ids
        self._images_since_detection = state.images_since_detection
        self._images_since_loss = state.images_since_loss
        self._has_untracked = state.has_untracked
        self._flows: dict[int, FaceFlow] = {}
        self._schedule = SearchSchedule()
        self._rejected = RejectedDetections()
        #: Image in which a detection was tried at other rolls last, though nothing was new.
        self._last_rolls = 0
        #: Number of the turned search that awaits an image with time for it; None: none does.
        self._awaited_turn: int | None = None
        self._larger = LargerFaceSchedule()

    def forget(self) -> None:
        """See `backends.FaceDetector`; ids are not used again."""
        self.state = TrackerState(ids=self._ids)

    def close(self) -> None:
        """See `backends.FaceDetector`."""
        self._side_by_side.close()

    def detect(self, image: Image, parameters: FaceMeshParameters) -> list[Face]:
        """See `backends.FaceDetector`."""
        quarters = parameters.rotation // 90
        turned = turn_image(image, quarters)
        faces = self._detect(turned, parameters)
        for face in faces:
            if parameters.gaze and len(face.points):
                face.eye_contrast = self._provider.eye_contrast(turned, face.points)
            if quarters:
                turn_face_back(face, quarters, image.size)
        return faces

    def _detect(self, image: Image, parameters: FaceMeshParameters) -> list[Face]:
        """Find the faces of an image that is turned as `rotation` says."""
        if not parameters.tracking:
            detections = self._provider.detections(image, parameters)
            found = self._search.find(image, detections, parameters, [], FULL_EFFORT)
            return largest(found, [], parameters.face_limit)

        faces = self._track(image, parameters)
        is_full = _is_full(faces, parameters)
        new = None
        if self._must_detect(faces, parameters):
            new = self._detections(image, faces, parameters)
        turned_search = self._turned_search(faces, parameters)
        if new is not None or turned_search is not None:
            faces = self._find_worthwhile(image, new or [], parameters, faces, turned_search)
        # For larger faces only, the detector needs little memory.
        self._images_since_detection += 1
        if new is not None and not is_full:
            self._images_since_detection = 0
        elif self._images_since_detection == IMAGES_UNTIL_REST:
            self._provider.give_back_memory()
        self._images += 1

        for face in faces:
            if len(face.points):
                face.id = face.id or self._new_id()
                face.box = bounding_box(face.points)
        faces = largest_first(faces)
        self._keep_tracks(faces)
        return faces

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    def _keep_tracks(self, faces: list[Face]) -> None:
        """Store the faces of this image for the next one."""
        self._has_untracked = any(face.id == 0 for face in faces)
        last_rois = {track.id: track.roi for track in self._tracks}
        self._tracks = [
            Track(face.id, next_roi(face.points, last_rois.get(face.id)), face.score)
            for face in faces
            if face.id
        ]
        flows = self._flows
        self._flows = {track.id: flows[track.id] for track in self._tracks if track.id in flows}

    def _track(self, image: Image, parameters: FaceMeshParameters) -> list[Face]:
        """Find the tracked faces in the ROIs of their last landmarks; lost ones are missing."""
        tracks = self._tracks[: parameters.face_limit]
        faces: list[Face] = []
        find = partial(self._find_again, image, interval=parameters.landmarks_interval)
        for track, landmarks in zip(tracks, self._side_by_side(find, tracks), strict=True):
            if landmarks.presence >= parameters.landmarks_conf_th:
                face = Face(id=track.id, score=track.score)
                set_landmarks(face, landmarks)
                faces.append(face)
        return distinct(faces)

    def _must_detect(self, tracked: list[Face], parameters: FaceMeshParameters) -> bool:
        """Whether the detector must run in this image, for faces besides the tracked ones.

        Every n-th image is counted from the first image, whatever was lost in between: then a
        recording that is processed in parts has the detector run in the same images.
        """
        if _is_full(tracked, parameters):  # a larger face takes the place of the smallest
            return self._images % parameters.detect_interval == 0
        lost_one = len(tracked) < len(self._tracks)  # it may be elsewhere in this very image
        self._images_since_loss = 0 if lost_one else self._images_since_loss + 1
        is_searching = self._images_since_loss < IMAGES_AFTER_A_LOSS
        interval = parameters.detect_interval
        return (
            not tracked
            or lost_one
            or self._has_untracked  # faces without landmarks are seen by the detector only
            or self._images % interval == 0
            or (is_searching and self._images % SEARCH_AFTER_A_LOSS == 0)
        )

    def _detections(
        self, image: Image, tracked: list[Face], parameters: FaceMeshParameters
    ) -> list[Detection] | None:
        """Search for faces where the schedule says, see `search`; None: nowhere."""
        if _is_full(tracked, parameters):
            return self._larger_detections(image, tracked, parameters)
        areas = self._areas(image, parameters, parameters.min_face_size)
        if not areas:
            return self._provider.detections(image, parameters)
        ids = {face.id for face in tracked}
        lost = [face_box(track.roi) for track in self._tracks if track.id not in ids]
        due = self._schedule.due(
            self._provider.thumbnail(image, parameters),
            self._images,
            areas,
            known=[bounding_box(face.points) for face in tracked],
            lost=lost,
        )
        return self._provider.detections_in(image, due, parameters) if due else None

    def _areas(
        self, image: Image, parameters: FaceMeshParameters, min_face_size: float
    ) -> Sequence[SearchArea]:
        """Return the parts in which an image of a stream is searched; none: as a whole."""
        # Faces without landmarks are seen by the detector only, and only where it searches.
        in_parts = parameters.detect_interval > 1 and parameters.require_landmarks
        return self._provider.areas(image, min_face_size) if in_parts else ()

    def _larger_detections(
        self, image: Image, tracked: list[Face], parameters: FaceMeshParameters
    ) -> list[Detection] | None:
        """Search for faces that can take the place of a tracked one; None: not in this image."""
        area = LARGER * min(map(area_of, tracked))
        width = math.sqrt(area) * LARGER_FACE_MARGIN
        # By half octaves: the detector keeps the areas of some sizes.
        octaves = math.log2(max(width / image.size[0] / parameters.min_face_size, 1.0))
        smallest = min(parameters.min_face_size * 2 ** (int(2 * octaves) / 2), 1.0)
        areas = self._areas(image, parameters, smallest)
        if parameters.detect_interval > 1:
            is_due = self._larger.is_due(
                self._provider.thumbnail(image, parameters),
                [bounding_box(face.points) for face in tracked],
                image.size,
                area=area,
                pixels=sum(each.pixels for each in self._provider.areas(image, smallest)),
            )
            if not is_due:
                return None
        if areas:
            return self._provider.detections_in(image, areas, parameters)
        return self._provider.detections(image, replace(parameters, min_face_size=smallest))

    def _find_worthwhile(
        self,
        image: Image,
        detections: list[Detection],
        parameters: FaceMeshParameters,
        tracked: list[Face],
        turned_search: int | None,
    ) -> list[Face]:
        """Find the faces of detections, but seldom where there was none again and again.

        Args:
            image: in which they are.
            detections: in the image as it is.
            parameters: those in force.
            tracked: the faces that are known.
            turned_search: number of the turned search of this image; None: there is none.

        Returns:
            The largest of these and the tracked ones.
        """
        checked = self._rejected.worth_checking(detections, self._images)
        effort = self._effort(checked, tracked) if self._images else FULL_EFFORT
        turns, areas = self._turns(image, parameters, turned_search)
        effort = effort._replace(turns=turns, turned_areas=areas)
        new = self._search.find(image, checked, parameters, tracked, effort)
        faces = largest(new, tracked, parameters.face_limit)
        if not _is_full(faces, parameters):  # With room for one more, all were checked.
            self._rejected.note(checked, faces, self._images, turned=effort.rolls > 0)
        return faces

    def _effort(self, checked: list[Detection], tracked: list[Face]) -> Effort:
        """Return how thoroughly an image of a stream is searched, and note a try at other rolls."""
        if not self._rejected.worth_turning(checked, self._images):
            return LEAST_EFFORT
        if self._images - self._schedule.newest_change < NEW_IMAGES:
            return NEW_EFFORT
        if not tracked and self._images < self._last_rolls + ROLL_INTERVAL:
            return LEAST_EFFORT
        self._last_rolls = self._images
        return SMALL_EFFORT

    def _turned_search(self, tracked: list[Face], parameters: FaceMeshParameters) -> int | None:
        """Return the number of the turned search that is due by schedule; None: not in this image.

        It waits for an image in which no finer area is searched as it is.
        """
        interval, offset = TURN_INTERVAL, TURN_INTERVAL // 2
        if tracked:  # Half-way between two regular runs of the detector.
            interval = TURNED_DETECTIONS * parameters.detect_interval
            offset = (interval + parameters.detect_interval) // 2
        number, is_between = divmod(self._images + offset, interval)
        if not is_between:
            self._awaited_turn = number
        if not parameters.any_roll or _is_full(tracked, parameters):
            self._awaited_turn = None
        if self._schedule.newest_fine_search == self._images:
            return None
        due, self._awaited_turn = self._awaited_turn, None
        return due

    def _turns(
        self, image: Image, parameters: FaceMeshParameters, turned_search: int | None
    ) -> tuple[Sequence[int], Sequence[SearchArea]]:
        """Return the quarter turns in which an image is searched, and the areas of those.

        A search by schedule is of one turn, the coarsest area, and the finer ones one by one.
        """
        areas = self._areas(image, parameters, smallest_turned_face(parameters))
        if not self._images:
            return TURNS, areas
        if turned_search is None:
            return (), areas
        times, turn = divmod(turned_search, len(TURNS))
        finer = 1 + times % max(len(areas) - 1, 1)
        return [TURNS[turn]], [*areas[:1], *areas[finer : finer + 1]]

    def _find_again(self, image: Image, track: Track, *, interval: int) -> FaceLandmarks:
        """Find the landmarks of a tracked face, by optical flow or by the network."""
        if interval <= 1:
            return self._provider.landmarks(image, track.roi)
        flow = self._flows.get(track.id)
        if flow is not None:
            landmarks = flow.landmarks_in(image, interval)
            if landmarks is not None:
                return landmarks
        landmarks = self._provider.landmarks(image, track.roi)
        self._flows[track.id] = FaceFlow(image, track.roi, landmarks)
        return landmarks


def _is_full(tracked: list[Face], parameters: FaceMeshParameters) -> bool:
    """Whether as many faces are tracked as may be given."""
    return parameters.face_limit is not None and len(tracked) >= parameters.face_limit
