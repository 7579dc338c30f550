"""The camera of the MaixCAM that this process runs on, as a source of images."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.maix.import_maix import import_maix, words_of
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.sources.base import Report, SourceError, Watchdog

#: Width and height of the images. It is MaixCDK's default and the input size of MaixCAM2's
#: detectors (docs/doc/en/vision/yolov5.md of MaixPy), so that nothing is scaled for them. MaixCDK
#: gives RGB below 1920x1080 only, and a width that 16 divides (maix_camera_maixcam2.cpp).
SIZE = (640, 480)

#: Seconds between two checks for a new image, and so the maximum delay of its stamp.
LOOK_INTERVAL = 0.002

#: Seconds after an error of the camera until the next check.
RETRY_INTERVAL = 0.1

#: Seconds of errors after which the camera counts as lost: MaixCDK's timeout for an image is a
#: tenth of a second, and a single late image need not be reported.
PATIENCE = 1.0


class MaixCamera:
    """The device's own camera: always the latest image, in RGB order."""

    name = "maix"
    is_live = True

    def __init__(self, report: Report) -> None:
        """Open the camera; on the main thread.

        Raises:
            SourceError: this is not a MaixCAM, or its camera cannot be opened.
        """
        try:
            self._maix = import_maix()
        except BackendError as error:
            raise SourceError(f"source 'maix' is the camera of a MaixCAM: {error}") from error
        width, height = SIZE
        try:
            # Not NV21, of which `image2cv` returns the luma only.
            self._camera = self._maix.camera.Camera(
                width, height, self._maix.image.Format.FMT_RGB888
            )
        except RuntimeError as error:
            raise SourceError(
                f"source 'maix' cannot be opened ({words_of(error)}): is the camera connected, and "
                "does no other program use it?"
            ) from error
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._watchdog = Watchdog(self.name, report)

    def images(self) -> Iterator[Image]:
        """Yield the latest images until the source is closed."""
        self._watchdog.start(self._closing)
        came_at = time.monotonic()
        while not self._closing.is_set():
            try:
                image = self._read()
            except RuntimeError as error:
                if time.monotonic() - came_at > PATIENCE:
                    self._watchdog.lost(f"gives no image ({words_of(error)})")
                self._closing.wait(RETRY_INTERVAL)
                continue
            if image is None:
                self._closing.wait(LOOK_INTERVAL)
                continue
            came_at = time.monotonic()
            self._watchdog.image_came(came_at)
            # The array is a view of the image's bytes and keeps the image alive.
            pixels = self._maix.image.image2cv(image, ensure_bgr=False, copy=False)
            yield Image(np.asarray(pixels, np.uint8), "rgb", Stamp.from_seconds(came_at))

    def close(self) -> None:
        """End the iteration and free the camera, from any thread."""
        self._closing.set()
        with self._lock:
            self._camera.close()

    def _read(self) -> Any:
        """Return the next image as `maix.image.Image`, or None if there is none yet.

        A read that waits would block every other thread too, without end if no image comes:
        MaixPy does not release the interpreter lock in any of its calls.
        """
        with self._lock:
            # A camera that is closed would be opened again by reading it.
            return None if self._closing.is_set() else self._camera.read(block=False)
