"""The maixcam backend: faces of a MaixCAM connected to this machine.

Path of a frame: `connection.Connection` reads it → `_take_faces` → `frames` yields it. The link has
its own thread, so that processing the faces does not disturb the measurement of the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from maix_facemesh_ros.backends.maix_faces import face_of
from maix_facemesh_ros.backends.maixcam.checks import fault_of
from maix_facemesh_ros.backends.maixcam.connection import (
    REFUSED_WAIT,
    Address,
    Connection,
    DeviceLostError,
    resolve,
)
from maix_facemesh_ros.face import FaceFrame, JpegFrame
from maix_facemesh_ros.maixcam_shared import link
from maix_facemesh_ros.maixcam_shared.maix_face import MaixFace, Thresholds
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.sources.base import Report, SourceError, SourceNotice
from maix_facemesh_ros.user_files import exposure_of, path_of, read_small_file, read_token

#: Seconds until the next attempt after the first, second, ... failure in a row; the last value
#: repeats. A host thus reconnects within half a second.
WAITS = (0.1, 0.2, 0.4, 0.5)

#: Maximum number of different faults that are logged until the device is connected again: the data
#: of an unknown device can make each fault different.
MOST_SAID = 16

#: Seconds that `close` waits for the link's thread, and between two cancellations.
CLOSE_TIMEOUT = 2.0
CLOSE_INTERVAL = 0.1


class MaixCamFaceSource:
    """Faces, and optionally images, of one MaixCAM."""

    def __init__(self, parameters: NodeParameters, report: Report) -> None:
        """Prepare; `frames` connects.

        Args:
            parameters: all `maixcam_...`, the thresholds and `max_face_num`.
            report: called in the link's thread with each fault, and when it is over.

        Raises:
            SourceError: an invalid address, certificate or file.
        """
        self._parameters = parameters
        self._report = report
        self._address = _address_of(parameters.maixcam_address)
        self._tls = _tls(parameters.maixcam_certificate)
        self.name = f"MaixCAM {self._address}"
        self._frames = _LatestFrames()
        self._connection: Connection | None = None
        self._device_facts: dict[str, str] = {}
        self._connections = 0
        self._trouble = "connecting"
        self._said: set[str] = set()
        self._wrong_frames = 0
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._serve())
        self._thread = threading.Thread(target=self._run, name="maixcam link", daemon=True)
        self._starting = threading.Lock()
        self._closed = False

    @property
    def facts(self) -> dict[str, str]:
        """See `backends.FaceSource`."""
        connection = self._connection
        return {
            **self._device_facts,
            "link": "connected" if connection else self._trouble,
            "encrypted": "yes" if self._tls else "no",
            "connections": str(self._connections),
            "frames replaced by later ones": str(self._frames.replaced),
            "frames with impossible values": str(self._wrong_frames),
            **(connection.facts if connection else {}),
        }

    def frames(self) -> Iterator[FaceFrame | JpegFrame]:
        """See `backends.FaceSource`."""
        with self._starting:
            if self._closed:
                return
            self._thread.start()
        while (frame := self._frames.take()) is not None:
            yield frame

    def change(self, parameters: NodeParameters) -> None:
        """See `backends.FaceSource`."""
        self._parameters = parameters
        self._loop.call_soon_threadsafe(self._send_settings)

    def close(self) -> None:
        """See `backends.FaceSource`."""
        self._frames.close()
        with self._starting:
            was_closed, self._closed = self._closed, True
        if not was_closed and self._thread.ident is None:
            self._task.cancel()
            self._run()  # Nothing but the cancellation.
        last = time.monotonic() + CLOSE_TIMEOUT
        while self._thread.is_alive() and time.monotonic() < last:
            # More than once: before Python 3.12 asyncio.wait_for loses a cancellation that arrives
            # at the moment when the awaited task ends (python/cpython#86296).
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(CLOSE_INTERVAL)

    # The following methods run in the link's thread.

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._connection = None
            self._trouble = "closed"
            self._loop.close()

    async def _serve(self) -> None:
        """Connect, and connect again, until the source is closed."""
        self._say_who_can_use_the_token()
        failures = 0
        while True:
            try:
                await self._talk()
            except Exception as error:
                lost = _as_lost(error)
                if self._connection is not None:
                    failures = 0
                self._connection = None
                if not self._parameters.maixcam_reconnect:
                    self._frames.close(SourceError(f"{self.name} {lost}"))
                    return
                self._say_once(str(lost))
                wait = lost.wait or WAITS[min(failures, len(WAITS) - 1)]
                failures += 1
            await asyncio.sleep(wait)

    async def _talk(self) -> None:
        """Open a connection and read from it until it ends.

        Raises:
            DeviceLostError: always, at its end.
        """
        token = self._token()
        connection = await Connection.open(await resolve(self._address), self._tls)
        try:
            self._device_facts = await connection.enter(token)
            self._connection = connection
            self._connections += 1
            self._said.clear()
            self._report(SourceNotice(f"{self.name} is connected", warning=False))
            self._send_settings()
            await connection.read(self._take_faces, self._take_image)
        finally:
            connection.close()

    def _token(self) -> str:
        file = self._parameters.maixcam_token_file
        if not file:
            return self._parameters.maixcam_token
        # Read for each attempt, so that a corrected token is used at once.
        try:
            token = read_token(file)
        except OSError as error:
            raise DeviceLostError(f"needs its token: {file} cannot be read ({error})") from error
        if not token:
            raise DeviceLostError(
                f"needs its token: {file} is empty; write the device's token to it"
            )
        return token

    def _say_who_can_use_the_token(self) -> None:
        if self._parameters.maixcam_token_file:
            with contextlib.suppress(OSError):  # `_token` reports the error.
                exposure = exposure_of(path_of(self._parameters.maixcam_token_file))
                if exposure:
                    self._report(SourceNotice(exposure, warning=True))

    def _say_once(self, text: str) -> None:
        """Report a fault, unless it has been reported since the last connection."""
        self._trouble = text
        if text not in self._said and len(self._said) <= MOST_SAID:
            self._said.add(text)
            if len(self._said) > MOST_SAID:
                text = "has further faults: see /diagnostics"
            self._report(SourceNotice(f"{self.name} {text}", warning=True))

    def _send_settings(self) -> None:
        if self._connection is not None:
            parameters = self._parameters
            self._connection.send_settings(
                link.Settings(
                    Thresholds(
                        parameters.detect_conf_th,
                        parameters.detect_iou_th,
                        parameters.landmarks_conf_th,
                        parameters.max_face_num,
                        parameters.require_landmarks,
                    ),
                    parameters.maixcam_jpeg_rate if parameters.maixcam_jpeg else 0.0,
                    parameters.maixcam_jpeg_quality,
                )
            )

    def _take_faces(self, taken_at: float, message: link.Faces) -> None:
        fault = fault_of(message)
        if fault:
            self._wrong_frames += 1
            self._say_once(f"sends {fault}: such frames are dropped")
            return
        crop_size = (message.crop_width, message.crop_height)
        faces = [face_of(face, crop_size) for face in _wanted(message.faces, self._parameters)]
        self._frames.put(FaceFrame(taken_at, message.width, message.height, faces))

    def _take_image(self, taken_at: float, message: link.JpegImage) -> None:
        if self._parameters.maixcam_jpeg:
            self._frames.put(JpegFrame(taken_at, message.jpeg))


def _as_lost(error: Exception) -> DeviceLostError:
    """Return the error that ends a connection; faults of this package are reported with their line.

    The link then reconnects.
    """
    if isinstance(error, DeviceLostError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    return DeviceLostError(
        f"caused a fault in this node, {type(error).__name__}: {link.printable(str(error), 200)!r} "
        f"({Path(where.filename).name}, line {where.lineno}): please report it",
        REFUSED_WAIT,
    )


def _wanted(faces: Sequence[MaixFace], parameters: NodeParameters) -> list[MaixFace]:
    """Drop faces and landmarks that this host's parameters exclude."""
    wanted = []
    for face in faces:
        # Written so that a NaN score counts as none.
        if not face.landmarks_score >= parameters.landmarks_conf_th:
            face = face._replace(points=(), points_rel=(), points_z=())
        has_landmarks = len(face.points) > 0 or not parameters.require_landmarks
        if face.score >= parameters.detect_conf_th and has_landmarks:
            wanted.append(face)
    return wanted[: parameters.max_face_num] if parameters.max_face_num > 0 else wanted


class _LatestFrames:
    """Passes the latest frame of each kind from the link's thread to another thread."""

    def __init__(self) -> None:
        #: Frames that were replaced before they were taken.
        self.replaced = 0
        self._condition = threading.Condition()
        self._waiting: dict[type, FaceFrame | JpegFrame] = {}
        self._closed = False
        self._error: SourceError | None = None

    def put(self, frame: FaceFrame | JpegFrame) -> None:
        with self._condition:
            self.replaced += type(frame) in self._waiting
            self._waiting[type(frame)] = frame
            self._condition.notify()

    def take(self) -> FaceFrame | JpegFrame | None:
        """Wait for a frame, faces before images; None after `close`.

        Raises:
            SourceError: the error that was passed to `close`.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            kind = FaceFrame if FaceFrame in self._waiting else JpegFrame
            return self._waiting.pop(kind)

    def close(self, error: SourceError | None = None) -> None:
        with self._condition:
            self._closed = True
            self._error = error
            self._condition.notify_all()


_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


def _address_of(text: str) -> Address:
    """Read name, name:port, [IPv6]:port or IPv6.

    Raises:
        SourceError: it is none of them.
    """
    with contextlib.suppress(ValueError):
        return Address(str(ipaddress.IPv6Address(text.strip())), link.DEFAULT_PORT)
    found = _WITH_PORT.fullmatch(text.strip())
    port = int(found["port"] or link.DEFAULT_PORT) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise SourceError(
            f"maixcam_address is {text!r}: give a name or address and, if it is not "
            f"{link.DEFAULT_PORT}, the port, such as maixcam-1a2b.local or 10.131.167.1:5478"
        )
    return Address(found["six"] or found["name"], port)


def _tls(certificate: str) -> ssl.SSLContext | None:
    """Return a context that trusts only this certificate; None without a certificate.

    Raises:
        SourceError: the certificate cannot be read.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Exactly this certificate is trusted, independent of its name and issuer.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=read_small_file(certificate).decode("ascii", "ignore"))
    except OSError as error:
        raise SourceError(
            f"maixcam_certificate {certificate!r} cannot be used: {error}. Give the device's "
            "certificate in PEM format"
        ) from error
    return context
