"""A stretch of a camera's images, and finding out what the networks say of it, anywhere."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.onnx.tracker import Networks, OnnxFaceDetector, open_networks
from maix_facemesh_ros.bags.storage import UnpackLimits
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_mesh import check_image
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.offline.network_results import ImageResults, KnownNetworks, StretchResults
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import (
    Camera,
    RecordedCalibration,
    RecordedImage,
    Recording,
)
from maix_facemesh_ros.parameters import FaceMeshParameters

#: Images of a stretch. With n of them of length l, n / l times `WARM_UP` images are looked at
#: twice, and at the end all wait until the last l are followed, which takes a tenth of the time of
#: looking at them: both together take least when l is the root of some 80 n.
LENGTH_SQUARED = 80
SHORTEST = 100
LONGEST = 1500

#: Images before a stretch that are looked at so that the faces are followed when it begins, as
#: they would be by who has followed them from the first image on: to the last bit, which
#: `roi.SIZES_IN_AN_OCTAVE` brings about. It takes 25 on average; where it takes more, the images
#: up to there are looked at a second time, and nothing else changes.
WARM_UP = 30

#: Bytes of a serialized message with a header up to the end of its stamp.
AFTER_STAMP = 12


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive images of one camera; where it is cut depends on the recording alone."""

    #: Of the first image, and one after the last.
    first: int
    end: int
    #: Log times in nanoseconds from and before which its images are; None: from the beginning on,
    #: to the end.
    start: int | None
    stop: int | None


@dataclass(frozen=True, slots=True)
class StretchTask:
    """A stretch to be looked at, with all that is needed to do it in another process."""

    path: Path
    unpacked: Path | None
    camera: Camera
    stretch: Stretch
    #: Log time from which images are looked at, before the stretch begins; None: the beginning.
    begin: int | None
    parameters: FaceMeshParameters
    limits: UnpackLimits


def cut(log_times: npt.NDArray[np.int64], length: int | None = None) -> list[Stretch]:
    """Cut a camera's images into stretches, never between two of the same log time.

    Args:
        log_times: of each image, in order.
        length: images of a stretch; None: what suits.
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
        Stretch(first, end, start, stop)
        for first, end, start, stop in zip(places, ends, times[:-1], times[1:], strict=True)
    ]


class FaceFinder:
    """Finds the faces of one camera, and keeps what the networks have said."""

    def __init__(self, networks: KnownNetworks, find: Callable[[Image, float], list[Face]]) -> None:
        """Start a stream.

        Args:
            networks: which `find` asks.
            find: returns the faces of an image of a time in seconds.
        """
        self.networks = networks
        self._find = find

    def look_at(self, recorded: RecordedImage) -> tuple[ImageResults, list[Face]]:
        """Decode an image and find its faces."""
        try:
            image = recorded.read()
        except ImageError as error:
            return ImageResults(recorded.log_time, str(error)), []
        results = ImageResults(recorded.log_time, "", image.stamp, image.frame_id, image.size)
        try:
            check_image(image.pixels)
            self.networks.take(results, lambda: image)
            return results, self._find(results.stand_in, results.stamp.seconds)
        except ImageError as error:
            return ImageResults(recorded.log_time, str(error)), []
        finally:
            self.networks.let_go()

    def look_again(self, results: ImageResults, cursor: Cursor, number: int) -> list[Face]:
        """Find the faces of an image whose results are known, reading it only if need be."""
        if results.error:
            return []
        self.networks.take(results, lambda: cursor.image(number))
        try:
            return self._find(results.stand_in, results.stamp.seconds)
        finally:
            self.networks.let_go()


class Cursor:
    """Reads single images of a stretch, one after the other."""

    def __init__(self, recording: Recording, camera: Camera, stretch: Stretch) -> None:
        self._images = (
            each
            for each in recording.images(camera, stretch.start, stretch.stop)
            if isinstance(each, RecordedImage)
        )
        self._number = -1
        self._image: RecordedImage | None = None

    def image(self, number: int) -> Image:
        """Return an image; it does not come before one that was returned already."""
        while self._number < number:
            self._image = next(self._images)
            self._number += 1
        assert self._image is not None
        return self._image.read()


def results_of(
    finder: FaceFinder,
    recording: Recording,
    camera: Camera,
    stretch: Stretch,
    results: StretchResults,
    on_calibration: Callable[[bytes], None] = lambda _data: None,
) -> Iterator[tuple[ImageResults, list[Face]]]:
    """Look at the images of a stretch, and give and collect what was found.

    Args:
        finder: has seen the images before.
        recording, camera, stretch: where the images are.
        results: grows image by image.
        on_calibration: is told of a calibration before the image from which on it holds.
    """
    calibration: bytes | None = None
    changed: bytes | None = None
    for recorded in recording.images(camera, stretch.start, stretch.stop):
        if isinstance(recorded, RecordedCalibration):
            # Another stamp makes no other calibration.
            if calibration is None or recorded.data[AFTER_STAMP:] != calibration[AFTER_STAMP:]:
                calibration = changed = recorded.data
                on_calibration(changed)
            continue
        image, faces = finder.look_at(recorded)
        image.camera_info, changed = changed, None
        results.images.append(image)
        yield image, faces
    results.camera_info = changed
    results.damage.add(recording.damage)


def find_in_stretch(task: StretchTask) -> bytes:
    """Return what the networks say of a stretch, as `StretchResults.to_bytes`; in any process."""
    cv2.setNumThreads(1)
    # Who is who, smoothing and pose change nothing that the networks are asked.
    networks = KnownNetworks(_networks(task.parameters))
    parameters = dataclasses.replace(task.parameters, threads=1)
    detector = OnnxFaceDetector(parameters, Networks(networks, networks))
    finder = FaceFinder(networks, lambda image, _: detector.detect(image, parameters))
    recording = _recording(task.path, task.camera.topic, task.unpacked, task.limits)
    stretch = task.stretch
    if task.begin is not None and stretch.start is not None and task.begin < stretch.start:
        for recorded in recording.images(task.camera, task.begin, stretch.start):
            if isinstance(recorded, RecordedImage):
                finder.look_at(recorded)
    results = StretchResults()
    for _ in results_of(finder, recording, task.camera, stretch, results):
        pass
    detector.close()
    return results.to_bytes()


# A process keeps what it will need again.


@lru_cache(maxsize=1)
def _networks(parameters: FaceMeshParameters) -> Networks:
    return open_networks(parameters)


@lru_cache(maxsize=4)
def _recording(path: Path, topic: str, unpacked: Path | None, limits: UnpackLimits) -> Recording:
    return open_recording(path, (topic,), unpacked, limits)
