"""Following the faces of one camera through all of its stretches, in order."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.stream_stamps import StampCheck
from maix_facemesh_ros.backends.base import OpenedBackend
from maix_facemesh_ros.backends.onnx.tracker import Networks, OnnxFaceDetector
from maix_facemesh_ros.bags.message_types import CAMERA_INFO, deserialize
from maix_facemesh_ros.camera.calibration import camera_of, is_rectified, read_calibration
from maix_facemesh_ros.camera.model import CalibrationError, CameraModel
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.offline.network_results import ImageResults, KnownNetworks, StretchResults
from maix_facemesh_ros.offline.recordings import SECOND, Camera, Recording
from maix_facemesh_ros.offline.segments import (
    AFTER_STAMP,
    WARM_UP,
    Cursor,
    FaceFinder,
    Stretch,
    cut,
    results_of,
)
from maix_facemesh_ros.parameters import NodeParameters, ParameterError


@dataclass(slots=True)
class CameraCount:
    """What has become of a camera's images."""

    images: int = 0
    faces: int = 0
    #: Images that could not be used, by the reason. Reasons that differ in their numbers only, as
    #: the sizes of damaged JPEGs, count together, under the first of them.
    unusable: Counter[str] = field(default_factory=Counter)
    #: Still images in which the detector found more faces than `max_face_num`.
    with_more_faces: int = 0
    #: Runs of the networks that were not foreseen, when others had looked at the images before.
    not_foreseen: int = 0
    _first_of_its_kind: dict[str, str] = field(default_factory=dict)

    def add_unusable(self, reason: str) -> None:
        """Count an image that cannot be used."""
        kind = re.sub(r"[0-9]+", "0", reason)
        self.unusable[self._first_of_its_kind.setdefault(kind, reason)] += 1


class FollowedCamera:
    """One camera of a recording, with its own tracker and calibration."""

    def __init__(
        self,
        recording: Recording,
        camera: Camera,
        parameters: NodeParameters,
        networks: Networks,
        calibration: CameraModel | None = None,
        stretch_length: int | None = None,
    ) -> None:
        """Start before the first image.

        Args:
            recording: where the images are.
            camera: which of its cameras.
            parameters: as the node has them.
            networks: for what nobody has looked at.
            calibration: that of a file, instead of the one in the recording.
            stretch_length: images of a stretch; None: what suits.
        """
        self.recording = recording
        self.camera = camera
        self.parameters = parameters
        self.log_times: npt.NDArray[np.int64] = recording.log_times(camera)
        self.stretches: list[Stretch] = cut(self.log_times, stretch_length)
        self.count = CameraCount()
        #: Why the calibration cannot be used; empty when it can.
        self.calibration_error = ""
        #: What is wrong with the stamps; empty when nothing is.
        self.stamp_notice = ""
        self._stamp_check = StampCheck()
        known = KnownNetworks(networks)
        detector = OnnxFaceDetector(parameters, Networks(known, known))
        self._mesh = FaceMesh(parameters, opened=OpenedBackend("onnx", "", detector))
        self._finder = FaceFinder(known, self._mesh.process)
        self._calibration: bytes | None = None
        self._from_file = calibration is not None
        self._mesh.camera = calibration
        #: Number of the last image that the detector has looked at.
        self._last_look = 0
        first = recording.first_calibration(camera) if camera.camera_info else None
        if first is not None:
            self._calibrate(first)

    def follow(
        self, stretch: Stretch, known: StretchResults | None, collected: StretchResults
    ) -> Iterator[tuple[ImageResults, list[Face]]]:
        """Give the faces of each image of the next stretch.

        Args:
            stretch: the one after that of the last call.
            known: what the networks say of it, if others have found it out.
            collected: else it is collected here.
        """
        images = (
            results_of(
                self._finder, self.recording, self.camera, stretch, collected, self._calibrate
            )
            if known is None
            else self._follow_known(stretch, known)
        )
        for number, (image, faces) in enumerate(images, stretch.first):
            if self._finder.networks.looked and not image.error:
                self._last_look = number
            self.count.images += 1
            self.count.faces += len(faces)
            if image.error:
                self.count.add_unusable(image.error)
            else:
                self._check(image)
            yield image, faces

    def _check(self, image: ImageResults) -> None:
        """Note what a user should know of an image."""
        self.stamp_notice = self.stamp_notice or self._stamp_check.notice(
            image.stamp.seconds, image.log_time / SECOND
        )
        limit = self.parameters.face_limit
        # Of a stream, the detector does not see every image.
        if not self.parameters.tracking and limit is not None and image.detections is not None:
            self.count.with_more_faces += len(image.detections) > limit

    def begin_of(self, stretch: Stretch) -> int | None:
        """Return the log time from which on a stretch is to be looked at, before it begins.

        The detector looks at every n-th image, counted from when it last had to. That of a
        stretch begins to count with its first image, so this is a multiple of n behind the last
        look that is known.
        """
        if stretch.start is None or not self.parameters.tracking:
            return stretch.start
        latest = stretch.first - WARM_UP
        first = latest - (latest - self._last_look) % self.parameters.detect_interval
        return int(self.log_times[max(0, first)])

    def close(self) -> None:
        """Free what it holds."""
        self._mesh.close()

    def _follow_known(
        self, stretch: Stretch, known: StretchResults
    ) -> Iterator[tuple[ImageResults, list[Face]]]:
        cursor = Cursor(self.recording, self.camera, stretch)
        before = self._finder.networks.runs
        for number, image in enumerate(known.images):
            if image.camera_info is not None:
                self._calibrate(image.camera_info)
            yield image, self._finder.look_again(image, cursor, number)
        if known.camera_info is not None:
            self._calibrate(known.camera_info)
        self.count.not_foreseen += self._finder.networks.runs - before

    def _calibrate(self, data: bytes) -> None:
        if self._from_file or (
            self._calibration is not None and self._calibration[AFTER_STAMP:] == data[AFTER_STAMP:]
        ):
            return
        self._calibration = data
        rectified = is_rectified(self.camera.topic, self.parameters.rectified)
        try:
            message = deserialize(data, CAMERA_INFO)
            self._mesh.camera = camera_of(message, rectified=rectified)
        except CalibrationError as error:
            self._mesh.camera = None
            self.calibration_error = str(error)


def parameters_for_stills(parameters: NodeParameters) -> NodeParameters:
    """Return the parameters for images that do not follow each other: each stands alone."""
    return dataclasses.replace(parameters, tracking=False, ids=False, smoothing="off")


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
