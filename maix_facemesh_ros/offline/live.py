"""Faces of a camera or URL as it delivers images, in the same outputs as those of recordings."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.backends.registry import open_image_source
from maix_facemesh_ros.bags.output_folder import MADE_BY, PartialOutput
from maix_facemesh_ros.bags.storage import disk_errors
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.offline.drawings import DrawnImage, draw_as_jpeg
from maix_facemesh_ros.offline.job import Report
from maix_facemesh_ros.offline.options import JobOptions
from maix_facemesh_ros.offline.outputs import JobOutputs, Progress
from maix_facemesh_ros.offline.recorded_files import FILE_FRAME, FileRecording
from maix_facemesh_ros.offline.recordings import (
    Camera,
    NoImagesError,
    RecordedCalibration,
    RecordedImage,
)
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.offline.tracking import calibration_of_file
from maix_facemesh_ros.sources.base import ImageSource, SourceNotice
from maix_facemesh_ros.sources.latest import LatestSlot
from maix_facemesh_ros.sources.live import READ_TIMEOUT


class LiveJob:
    """Finds faces in the latest image of a source until it is stopped; `run` does the work."""

    def __init__(self, options: JobOptions, seconds: float | None) -> None:
        """Open the source and the networks.

        Args:
            options: of the job; `source` of the parameters names the source.
            seconds: after which the job ends; None: with Ctrl-C.

        Raises:
            BackendError: the backend cannot run here.
            ModelError: a model file is missing or damaged.
            ParameterError: the calibration file cannot be used.
            SourceError: the source cannot be opened.
        """
        self._options = options
        self._seconds = seconds
        self._slot: LatestSlot[Image] = LatestSlot()
        self._report = Report()
        calibration = calibration_of_file(options.parameters)
        self._has_camera_model = (
            calibration is not None or options.parameters.assumed_field_of_view > 0
        )
        with contextlib.ExitStack() as stack:
            self._source = stack.enter_context(
                contextlib.closing(open_image_source(options.parameters, _tell))
            )
            self._mesh = stack.enter_context(FaceMesh(options.parameters))
            self._mesh.camera = calibration
            self._stack = stack.pop_all()

    def run(self, progress: Progress = lambda _images: None) -> Report:
        """Do it.

        Raises:
            BagError: something cannot be written.
            NoImagesError: no image came; no output is made.
        """
        started = time.monotonic()
        recording = _Live(Path(self._source.name.replace("/", "_")))
        # Without a checkpoint: there is nothing to resume.
        job = {MADE_BY: "facemesh_bag", "live": self._source.name}
        with PartialOutput(self._options.outputs, (), job, restart=True) as partial:
            outputs = JobOutputs(self._options, [recording], partial.place_of)
            with (
                disk_errors(partial.folder),
                outputs.opened(has_poses=self._has_camera_model),
                self._stopping(),
            ):
                outputs.write(0, [self._images()], progress)
            if not self._report.images:
                raise NoImagesError(f"{self._source.name}: no image came")
            self._report.remarks = [*outputs.notes(has_poses=self._has_camera_model)]
            with disk_errors(partial.folder):
                partial.publish()
        self._report.seconds = time.monotonic() - started
        return self._report

    def __enter__(self) -> LiveJob:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """End the images with Ctrl-C, or after the seconds; a second Ctrl-C ends at once."""

        def stop(*_: Any) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._slot.close()

        before = signal.signal(signal.SIGINT, stop)
        timer = threading.Timer(self._seconds or 0.0, self._slot.close)
        timer.daemon = True
        if self._seconds is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, before)

    def _images(self) -> Iterator[DrawnImage]:
        """Yield each image that is processed, with its faces."""
        reader = threading.Thread(target=_read, args=(self._source, self._slot), daemon=True)
        reader.start()
        for image in self._slot.items():
            faces = self._mesh.process(image)
            # The source's clock is that of this machine's uptime.
            stamp = Stamp.from_seconds(time.time() - time.monotonic() + image.stamp.seconds)
            found = ImageFaces(
                stamp.nanoseconds, stamp=stamp, frame_id=FILE_FRAME, size=image.size, faces=faces
            )
            self._report.images += 1
            self._report.faces += len(faces)
            jpeg = draw_as_jpeg(image, faces) if self._options.draws else None
            yield DrawnImage(found, faces, jpeg)
        # Python would end the process with an error while OpenCV reads in a thread.
        self._source.close()
        reader.join(READ_TIMEOUT)


class _Live(FileRecording):
    """A live source as a recording; `LiveJob` has its images."""

    cameras = (Camera("/image_raw"),)
    can_be_cut = False
    is_stream = True

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """See `Recording`: none are known."""
        return np.zeros(0, np.int64)

    def images(
        self,
        camera: Camera,  # noqa: ARG002
        start: int | None = None,  # noqa: ARG002
        stop: int | None = None,  # noqa: ARG002
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """See `Recording`: there are none."""
        return iter(())

    def close(self) -> None:
        """See `Recording`."""


def _read(source: ImageSource, slot: LatestSlot[Image]) -> None:
    for image in source.images():
        slot.put(image)


def _tell(notice: SourceNotice) -> None:
    print(notice.text, file=sys.stderr, flush=True)
