"""From recordings to faces: everything that one call of `facemesh_bag` does.

One image's way: `SegmentQueue` has the faces that a tracker found in its segment →
`RecordedCamera` joins the segments and adds ids, smoothing and poses, image by image →
`FaceTable` makes rows of them → `BagOutputs` writes messages in the order of their log times,
together with messages copied from the input.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from maix_facemesh_ros.backends.onnx.tracker import open_networks
from maix_facemesh_ros.bags.output_folder import PartialOutput
from maix_facemesh_ros.bags.storage import BagError, Damage, disk_errors
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.offline.drawings import DrawnImage, draw_faces, draw_in_segment
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.outputs import JobOutputs, Progress
from maix_facemesh_ros.offline.recordings import SECOND, NoImagesError, Recording
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.offline.segment_queue import Place, SegmentQueue
from maix_facemesh_ros.offline.tracking import (
    CameraCount,
    RecordedCamera,
    calibration_of_file,
    parameters_for_stills,
)
from maix_facemesh_ros.offline.workers import ClusterWorkers, LocalWorkers, Workers
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.wording import counted

#: Segments whose images workers draw into while later ones are processed.
DRAWN_AHEAD = 3

#: An image and its faces.
Found = tuple[ImageFaces, list[Face]]


@dataclass(slots=True)
class Report:
    """Summary of a job."""

    seconds: float = 0.0
    #: Seconds that were recorded, of all cameras together.
    recorded_seconds: float = 0.0
    images: int = 0
    faces: int = 0
    #: Images that could not be used, by the reason.
    unusable: Counter[str] = field(default_factory=Counter)
    #: Remarks on unreadable or unusual parts of the input.
    remarks: list[str] = field(default_factory=list)
    #: Still images that were processed one by one, and those of them in which the detector found
    #: more faces than `max_face_num`.
    stills: int = 0
    stills_with_more_faces: int = 0
    #: Segments that an earlier run had processed already.
    resumed_segments: int = 0
    #: Tasks that were run again because their process died.
    retried: int = 0
    #: Segments that were processed again, because their warm-up had not found the tracked faces.
    repeated_segments: int = 0


class Job:
    """Does it. To be used in a `with` statement; `run` does the work."""

    def __init__(self, options: JobOptions) -> None:
        """Open inputs and outputs.

        Raises:
            BagError: one of them cannot be used.
            ParameterError: the calibration file cannot be used.
            ModelError: a model file is missing or damaged.
        """
        self._options = options
        self._started = time.monotonic()
        #: Remarks on this machine.
        self._notes: list[str] = []
        with ExitStack() as stack:
            stack.enter_context(disk_errors(options.outputs[0]))
            self._partial = stack.enter_context(
                PartialOutput(
                    options.outputs, options.inputs, options.identity(), restart=options.restart
                )
            )
            self._recordings = [
                self._open(stack, number, path) for number, path in enumerate(options.inputs)
            ]
            self._outputs = JobOutputs(options, self._recordings, self._partial.place_of)
            networks = open_networks(options.parameters)
            calibration = calibration_of_file(options.parameters)
            self._cameras = [
                [
                    RecordedCamera(
                        recording,
                        camera,
                        self._parameters_for(recording),
                        calibration,
                        options.segment_length,
                    )
                    for camera in recording.cameras
                ]
                for recording in self._recordings
            ]
            #: Of each recording, as far as others have met it.
            self._damage = [Damage() for _ in self._recordings]
            #: Recordings for drawing in this process, by recording and camera.
            self._drawn: dict[tuple[int, int], Recording] = {}
            self._workers = self._open_workers()
            if self._workers is not None:
                stack.callback(self._workers.close)
            self._queue = SegmentQueue(
                self._cameras, self._partial, self._workers, networks, options.limits
            )
            self._stack = stack.pop_all()

    @property
    def images(self) -> int:
        """Number of images to process, according to the recordings."""
        return sum(len(camera.log_times) for camera in chain(*self._cameras))

    @property
    def _has_camera_model(self) -> bool:
        """Whether some images have a calibration or an assumed one, as poses need it."""
        return self._options.parameters.assumed_field_of_view > 0 or any(
            camera.may_have_a_model for camera in chain(*self._cameras)
        )

    @property
    def is_resumed(self) -> bool:
        """Whether the results of an earlier run are used."""
        return self._partial.is_resumed

    def run(self, progress: Progress = lambda _images: None) -> Report:
        """Do it.

        Raises:
            BagError: something cannot be read or written.
            NoImagesError: not a single image could be used; no output is made.
        """
        if not self._partial.is_complete:
            with (
                disk_errors(self._partial.folder),
                self._outputs.opened(has_poses=self._has_camera_model),
            ):
                for number, cameras in enumerate(self._cameras):
                    images = [self._images_of((number, index)) for index in range(len(cameras))]
                    self._outputs.write(number, images, progress)
            self._check_for_images()
        report = self._report()
        with disk_errors(self._partial.folder):
            self._partial.publish()
        return report

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _open_workers(self) -> Workers | None:
        if self._options.cluster:
            return ClusterWorkers(self._options.cluster)
        if self._options.workers == 1:
            return None
        try:
            return LocalWorkers(self._options.workers)
        except (OSError, ImportError) as error:
            # Semaphores need /dev/shm.
            reason = (isinstance(error, OSError) and error.strerror) or error
            self._notes.append(
                f"no other processes can be started (is /dev/shm there and writable? {reason}): "
                "this one has done everything, as with --workers 1"
            )
            return None

    def _parameters_for(self, recording: Recording) -> NodeParameters:
        """Return the parameters of a recording: image files are not the frames of a video."""
        parameters = self._options.parameters
        is_stream = recording.is_stream or self._options.stream
        if is_stream:
            return parameters
        return parameters_for_stills(parameters, all_faces=self._options.all_faces_of_stills)

    def _check_for_images(self) -> None:
        """Make no output of nothing.

        Raises:
            NoImagesError: not a single image could be used.
        """
        counts = [camera.count for camera in chain(*self._cameras)]
        reasons = sum((count.unusable for count in counts), Counter[str]())
        if any(count.images > count.unusable.total() for count in counts):
            return
        self._partial.discard()
        inputs = ", ".join(str(recording.path) for recording in self._recordings)
        found = "; ".join(
            f"{counted(count, 'image')}: {reason}" for reason, count in reasons.most_common()
        )
        raise NoImagesError(f"{inputs}: no image could be used: {found or 'there are none'}")

    def _open(self, stack: ExitStack, number: int, path: Path) -> Recording:
        recording = open_recording(
            path,
            self._options.topics,
            self._partial.unpacked(number),
            self._options.limits,
            # A video cannot be blurred packet by packet.
            videos=not self._options.blur,
        )
        stack.callback(recording.close)
        if self._options.blur and not recording.topics:
            raise BagError(f"{path} is not a bag, and --blur copies bags")
        return recording

    def _images_of(self, camera: tuple[int, int]) -> Iterator[DrawnImage]:
        """Yield each image of a camera with its faces and, optionally, annotated."""
        if not self._options.draws:
            for _, segment in self._segments_of(camera):
                for image, faces in segment:
                    yield DrawnImage(image, faces, None)
            return
        waiting: deque[tuple[list[Found], Callable[[], list[bytes]]]] = deque()
        for place, segment in self._segments_of(camera):
            images = list(segment)
            waiting.append((images, self._draw(place, images)))
            if len(waiting) > (DRAWN_AHEAD if self._workers else 0):
                yield from _with_drawings(*waiting.popleft())
        for each in waiting:
            yield from _with_drawings(*each)

    def _segments_of(self, camera: tuple[int, int]) -> Iterator[tuple[Place, Iterator[Found]]]:
        """Yield the images of each segment with their faces, in order."""
        recorded = self._cameras[camera[0]][camera[1]]
        for number in range(len(recorded.segments)):
            place: Place = (*camera, number)
            found = self._queue.faces(place)
            self._damage[camera[0]].add(found.damage)
            yield place, recorded.process(found)

    def _draw(self, place: Place, images: Sequence[Found]) -> Callable[[], list[bytes]]:
        """Start to draw the faces of a segment; returns a function that waits for the images."""
        task = self._queue.task_of(place)
        faces = [None if image.error else found for image, found in images]
        if self._workers is not None:
            return self._workers.submit(draw_in_segment, task, faces).result
        recording = self._drawn_recording(place)
        return lambda: draw_faces(recording, task, faces)

    def _drawn_recording(self, place: Place) -> Recording:
        """Return a recording for drawing: in `self._recordings` the tracker is further on."""
        number, camera, _ = place
        if (number, camera) not in self._drawn:
            topic = self._cameras[number][camera].camera.topic
            unpacked = self._partial.unpacked(number)
            drawn = open_recording(
                self._options.inputs[number], (topic,), unpacked, self._options.limits
            )
            self._stack.callback(drawn.close)
            self._drawn[number, camera] = drawn
        return self._drawn[number, camera]

    def _report(self) -> Report:
        cameras = list(chain(*self._cameras))
        counts = [camera.count for camera in cameras]
        times = [camera.log_times for camera in cameras if len(camera.log_times)]
        return Report(
            seconds=time.monotonic() - self._started,
            recorded_seconds=sum(float(each[-1] - each[0]) / SECOND for each in times),
            images=sum(count.images for count in counts),
            faces=sum(count.faces for count in counts),
            unusable=sum((count.unusable for count in counts), Counter()),
            remarks=[
                *self._notes,
                *self._outputs.notes(has_poses=self._has_camera_model),
                *chain(*map(self._remarks, range(len(self._recordings)))),
            ],
            stills=sum(stills.images for stills in self._counts_of_stills()),
            stills_with_more_faces=sum(
                stills.with_more_faces for stills in self._counts_of_stills()
            ),
            resumed_segments=self._queue.resumed,
            retried=self._workers.retried if self._workers else 0,
            repeated_segments=self._queue.repeated,
        )

    def _counts_of_stills(self) -> Iterator[CameraCount]:
        for recording, cameras in zip(self._recordings, self._cameras, strict=True):
            if not (recording.is_stream or self._options.stream):
                yield from (camera.count for camera in cameras)

    def _remarks(self, number: int) -> Iterator[str]:
        """Yield the remarks on a recording."""
        recording, damage = self._recordings[number], self._damage[number]
        damage.add(recording.damage)
        for remark in (*recording.notes, *[str(damage)] * bool(damage)):
            yield f"{recording.path}: {remark}"
        yield from self._outputs.remarks(number)
        for camera in self._cameras[number]:
            if camera.stamp_notice:
                yield f"{recording.path}: {camera.camera.topic}: {camera.stamp_notice}"
        if self._options.parameters.pose:
            for camera in self._cameras[number]:
                if camera.calibration_error:
                    yield (
                        f"{recording.path}: {camera.camera.camera_info} gives no poses: "
                        f"{camera.calibration_error}"
                    )


def _with_drawings(
    images: Sequence[Found], drawings: Callable[[], list[bytes]]
) -> Iterator[DrawnImage]:
    for (image, faces), jpeg in zip(images, drawings(), strict=True):
        yield DrawnImage(image, faces, jpeg)
