"""All outputs of a job: tables, annotated videos, folders of JPEGs, and bags."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.offline.annotated_files import (
    AnnotatedFolder,
    AnnotatedVideo,
    ImageOrigin,
)
from maix_facemesh_ros.offline.drawings import DrawnImage
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.recorded_files import RecordedStills, RecordedVideo
from maix_facemesh_ros.offline.recordings import SECOND, Recording
from maix_facemesh_ros.offline.tables import FaceTable

if TYPE_CHECKING:
    from maix_facemesh_ros.offline.bag_outputs import BagOutputs

#: Images per second of a source that does not tell.
ASSUMED_RATE = 30.0

#: Called with the number of further images that are done.
Progress = Callable[[int], Any]


class JobOutputs:
    """The outputs of a job; each image is in all of them before the next one is processed."""

    def __init__(
        self,
        options: JobOptions,
        recordings: Sequence[Recording],
        place_of: Callable[[Path], Path],
    ) -> None:
        """Choose them; `opened` makes the files.

        Args:
            options: of the job.
            recordings: its inputs.
            place_of: returns where an output is made.

        Raises:
            BagError: an output cannot hold the images of the inputs.
        """
        self._options = options
        self._recordings = recordings
        self._place_of = place_of
        self._tables: list[FaceTable] = []
        self._annotated: list[AnnotatedVideo | AnnotatedFolder] = []
        self._check_videos()
        self._bags = self._choose_bags()

    @contextmanager
    def opened(self, *, has_poses: bool) -> Iterator[None]:
        """Begin the files, and complete them at the end of the block.

        Args:
            has_poses: whether there is a camera model for poses and gaze.

        Raises:
            BagError: a file cannot be written.
        """
        with ExitStack() as stack:
            self._annotated = [
                *(stack.enter_context(self._video(path)) for path in self._options.videos),
                *(
                    stack.enter_context(AnnotatedFolder(self._place_of(path)))
                    for path in self._options.image_folders
                ),
            ]
            self._tables = [
                stack.enter_context(
                    FaceTable(
                        self._place_of(path),
                        self._options.parameters,
                        has_poses=has_poses,
                        rows_without_faces=self._rows_without_faces,
                    )
                )
                for path in self._options.tables
            ]
            yield

    def write(
        self, number: int, cameras: Sequence[Iterator[DrawnImage]], progress: Progress
    ) -> None:
        """Write a recording.

        Args:
            number: of the recording.
            cameras: the images of each of its cameras.
            progress: called for each image.
        """
        streams = [
            self._in_files(number, index, images, progress) for index, images in enumerate(cameras)
        ]
        if self._bags is not None:
            self._bags.write(number, streams)
            return
        for _ in heapq.merge(*streams, key=lambda drawn: drawn.image.log_time):
            pass

    def notes(self, *, has_poses: bool) -> Iterator[str]:
        """Yield what the tables and videos do not have, and why."""
        parameters = self._options.parameters
        wanted = [name for name in ("pose", "gaze") if getattr(parameters, name)]
        if self._options.tables and wanted and not has_poses:
            yield (
                f"no columns for {' and '.join(wanted)}, because the camera is not known: give "
                "-p assumed_field_of_view:=65 (degrees) or -p calibration_file:=FILE"
            )
        for path, file in zip(self._options.videos, self._annotated, strict=False):
            if file.remark:
                yield f"{path.name}: {file.remark}"

    def remarks(self, number: int) -> Iterator[str]:
        """Yield the remarks on the bag of a recording."""
        if self._bags is not None:
            yield from self._bags.remarks(number)

    @property
    def _rows_without_faces(self) -> bool:
        """Whether an image without faces has a row: unless told, those of files, not of bags."""
        if self._options.rows_without_faces is not None:
            return self._options.rows_without_faces
        return all(not recording.topics for recording in self._recordings)

    def _choose_bags(self) -> BagOutputs | None:
        """Prepare the bags; None: no output is one."""
        if not self._options.bags:
            return None
        # Not with the module: tables need no library that writes bags.
        from maix_facemesh_ros.offline.bag_outputs import BagOutputs

        return BagOutputs(self._options, self._recordings, self._place_of)

    def _check_videos(self) -> None:
        """Check that a video can show the images.

        Raises:
            BagError: there are several cameras, or photos.
        """
        for path in self._options.videos[:1]:
            topics = [camera.topic for each in self._recordings for camera in each.cameras]
            if len(topics) > 1:
                raise BagError(
                    f"{path} can hold the images of one camera, and there are {len(topics)} "
                    f"({', '.join(topics)}): give one input, and of a bag one of --topics, or as "
                    "output a folder of JPEGs, which ends in /"
                )
            if not self._is_stream(self._recordings[0]):
                raise BagError(
                    f"{path}: photos are not the frames of a video: give a folder of JPEGs, which "
                    "ends in /, or --stream"
                )

    def _is_stream(self, recording: Recording) -> bool:
        return recording.is_stream or self._options.stream

    def _video(self, path: Path) -> AnnotatedVideo:
        (recording,) = self._recordings
        times = recording.log_times(recording.cameras[0])
        interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        sound = recording.path if isinstance(recording, RecordedVideo) else None
        rate = SECOND / interval if interval > 0 else ASSUMED_RATE
        return AnnotatedVideo(self._place_of(path), rate, sound)

    def _in_files(
        self, number: int, camera: int, images: Iterator[DrawnImage], progress: Progress
    ) -> Iterator[DrawnImage]:
        """Yield the images of a camera, when they are in the tables, videos and folders."""
        recording = self._recordings[number]
        topic = recording.cameras[camera].topic
        of_topic = topic.replace("/", "_") if len(recording.cameras) > 1 else ""
        name = f"{self._options.name_of_input(number)}{of_topic}"
        # The times of files begin at zero, also where the first image cannot be decoded.
        first: int | None = 0 if isinstance(recording, RecordedVideo | RecordedStills) else None
        for count, drawn in enumerate(images):
            progress(1)
            image = drawn.image
            if first is None:
                first = image.log_time
            if not image.error:
                path = recording.path_of(image.log_time)
                origin = ImageOrigin(
                    path,
                    topic,
                    count,
                    (image.log_time - first) / SECOND,
                    f"{name}_{count:06d}" if self._is_stream(recording) else path.stem,
                )
                self._write_files(origin, drawn)
            yield drawn

    def _write_files(self, origin: ImageOrigin, drawn: DrawnImage) -> None:
        for table in self._tables:
            table.write(origin, drawn.image, drawn.faces)
        for file in self._annotated:
            file.write(origin, drawn.jpeg or b"")
