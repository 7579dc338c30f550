"""Shows the faces of one image source in a page: what `facemesh see` runs.

The way of an image: `_images` reads it (of a live source the latest one) → `Watching.run` finds its
faces → the server packs it for each browser that is ready.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from typing import Any

from maix_facemesh_ros.analysis.attention import Attention, AttentionEstimator
from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.registry import open_image_source
from maix_facemesh_ros.browser.access import Access
from maix_facemesh_ros.browser.frame_packet import jpeg_of, pack_frame
from maix_facemesh_ros.browser.server import FrameServer, ServerError
from maix_facemesh_ros.event_rate import SILENCE, EventRate
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.parameters.files import given_parameters
from maix_facemesh_ros.sources.base import ImageSource, SourceError, SourceNotice
from maix_facemesh_ros.sources.latest import LatestSlot
from maix_facemesh_ros.sources.live import READ_TIMEOUT

#: Pixels and quality of the JPEGs that browsers get.
LARGEST_WIDTH, JPEG_QUALITY = 1280, 80

#: Seconds between two reports to the page.
REPORT_INTERVAL = 1.0

START_ERRORS = (BackendError, ImageError, ModelError, ParameterError, ServerError, SourceError)


def run(given: argparse.Namespace) -> int:
    """Show the faces until the source ends or is interrupted; returns the exit code.

    Args:
        given: the command line, parsed by `see.main`.
    """
    try:
        parameters = _parameters(given)
        server = FrameServer(Access(), lambda _browsers: None)
        server.start("127.0.0.1", given.port)
        try:
            source = open_image_source(parameters, _report)
            with contextlib.closing(source), FaceMesh(parameters) as mesh:
                watching = Watching(source, mesh, server)
                signal.signal(signal.SIGINT, watching.on_interrupt)
                _invite(server.port, source.name, open_browser=not given.no_browser)
                watching.run()
        finally:
            server.close()
    except START_ERRORS as error:
        print(f"facemesh see: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _parameters(given: argparse.Namespace) -> NodeParameters:
    values: dict[str, Any] = {
        "source": given.source,
        "source_loop": not given.once,
        "tracking": True,
        "pose": True,
        "gaze": given.gaze,
        "blendshapes": given.blendshapes,
        "assumed_field_of_view": given.field_of_view,
        **given_parameters(given.params_file, given.param),
    }
    return NodeParameters.from_values(values)


def _invite(port: int, source: str, *, open_browser: bool) -> None:
    address = f"http://localhost:{port}/"
    print(f"faces of {source} at {address} (Ctrl-C ends this)", flush=True)
    if open_browser:
        # It may wait for the browser to come up.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _report(notice: SourceNotice) -> None:
    print(notice.text, file=sys.stderr, flush=True)


class Watching:
    """One source, its faces, and the page that shows them."""

    def __init__(self, source: ImageSource, mesh: FaceMesh, server: FrameServer) -> None:
        """Keep them; nothing is read before `run`."""
        self._source = source
        self._mesh = mesh
        self._server = server
        self._attention = AttentionEstimator()
        self._slot: LatestSlot[Image] = LatestSlot()
        self._images_read = EventRate()
        self._images_processed = EventRate()
        self._is_stopped = False

    def on_interrupt(self, _number: int, _frame: object) -> None:
        """End `run` with the next image; a second Ctrl-C raises KeyboardInterrupt.

        Not with the first: where it comes up in a callback of a library, it is lost.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._is_stopped = True
        self._slot.close()

    def run(self) -> None:
        """Process the images until the source ends.

        Raises:
            SourceError: nothing in the source can be read.
        """
        reported = 0.0
        for image in self._images():
            if self._is_stopped:
                return
            self._images_read.count()
            faces = self._mesh.process(image)
            self._images_processed.count()
            self._show(image, faces, self._attention.update(faces, image.stamp.seconds))
            if time.monotonic() - reported >= REPORT_INTERVAL:
                reported = time.monotonic()
                self._server.tell(self._state())

    def _images(self) -> Iterator[Image]:
        """Give every image of a file, and the latest one of a live source."""
        if not self._source.is_live:
            yield from self._source.images()
            return
        reader = threading.Thread(target=self._read, name="source", daemon=True)
        reader.start()
        try:
            yield from self._slot.items()
        finally:
            # Python would end the process with an error while OpenCV reads in a thread.
            self._source.close()
            reader.join(READ_TIMEOUT)

    def _read(self) -> None:
        for image in self._source.images():
            self._slot.put(image)

    def _show(self, image: Image, faces: list[Face], attention: Attention) -> None:
        def pack() -> bytes:
            return pack_frame(
                stamp=image.stamp,
                delay=time.monotonic() - image.stamp.seconds,
                size=image.size,
                faces=faces,
                jpeg=jpeg_of(image, LARGEST_WIDTH, JPEG_QUALITY),
                drawn=False,
                attention=attention,
            )

        self._server.show(pack)

    def _state(self) -> dict[str, Any]:
        return {
            "topics": {
                "images": _state_of(self._source.name, self._images_read),
                "faces": _state_of("faces", self._images_processed),
            },
            "trouble": [],
        }


def _state_of(name: str, rate: EventRate) -> dict[str, Any]:
    silent = rate.last is None or time.monotonic() - rate.last > SILENCE
    return {"name": name, "publishers": 1, "rate": round(rate.per_second(), 1), "silent": silent}
