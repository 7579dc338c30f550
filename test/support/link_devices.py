"""Devices for the host's end of the link: one that sends steadily, and one that a test drives."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from link_peer import PATIENCE, face_server, link, some_faces

TOKEN = "ABCD-EFGH-IJKL-MNOP"
#: A frame's width tells the test which frame it is: its number of pixels more than this.
FIRST_WIDTH = 320

FACTS = {"device": "maixcam", "MaixPy": "4.12.1"}
JPEG = b"\xff\xd8 an image \xff\xd9"


class SteadyDevice(face_server.FaceServer):
    """The app's own server, with a clock that is wrong and faces at a steady pace."""

    def __init__(
        self,
        port: int = 0,
        *,
        ahead: float = 3600.0,
        drift: float = 200e-6,
        token: str = TOKEN,
        rate: float = 60.0,
        **options: Any,
    ) -> None:
        """Prepare it.

        Args:
            port: 0 for any free one.
            ahead: seconds that its clock is ahead of this machine's.
            drift: so much faster it runs, as a fraction.
            token: what a host must know.
            rate: frames a second.
            **options: of `FaceServer`.
        """
        self.lines: list[str] = []
        self._ahead, self._drift, self._rate = ahead, drift, rate
        super().__init__(
            "127.0.0.1", port, token, self.clock, facts=FACTS, report=self.lines.append, **options
        )
        #: The true time of each frame on `time.monotonic`.
        self.taken_at: dict[int, float] = {}
        #: Faces of the frames from now on.
        self.faces = some_faces(0).faces
        self._publishing = threading.Event()

    def clock(self) -> int:
        """Return the microseconds of its clock."""
        return int(self._device_time(time.monotonic()))

    def _device_time(self, host: float) -> float:
        return 1e6 * (host * (1 + self._drift) + self._ahead)

    def __enter__(self) -> SteadyDevice:
        self.start()
        self._publisher = threading.Thread(target=self._publish_on)
        self._publisher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._publishing.set()
        self._publisher.join()
        self.stop()

    def _publish_on(self) -> None:
        number = 0
        while not self._publishing.wait(1 / self._rate):
            number += 1
            taken_at = time.monotonic()
            self.taken_at[number] = taken_at
            time.sleep(0.005)  # The networks.
            device_time = int(self._device_time(taken_at))
            frame = some_faces(number)._replace(taken_at=device_time, width=FIRST_WIDTH + number)
            self.publish(frame._replace(faces=self.faces))
            if self.image_due():
                self.publish_image(link.JpegImage(number, device_time, JPEG))


class DrivenDevice:
    """A device whose every connection is served by the test's own function."""

    def __init__(self, serve: Callable[[DeviceEnd], None]) -> None:
        """Listen on a free port; `serve` runs for each connection, one after the other."""
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._connection = socket.socket()
        self._closing = False
        self.connections = 0
        #: What went wrong in `serve`.
        self.errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> DrivenDevice:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing = True
        for still_open in (self._listening, self._connection):
            with suppress(OSError):
                still_open.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        assert not self.errors, self.errors

    def _run(self) -> None:
        while not self._closing:
            try:
                self._connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with self._connection:
                self._connection.settimeout(PATIENCE)
                try:
                    self._serve(DeviceEnd(self._connection))
                except (OSError, struct.error):
                    pass  # The host has left, as it should.
                except Exception as error:
                    self.errors.append(error)


class DeviceEnd:
    """The device's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they mean."""
        self._connection.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """Read the host's next message: its kind and payload.

        Raises:
            ConnectionError: the host has left.
        """
        length, kind = struct.unpack("<IB", self._read(5))
        return kind, self._read(length - 1)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self._connection.recv(count - len(data))
            if not got:
                raise ConnectionResetError("the host has left")
            data += got
        return data

    def welcome(
        self,
        token: str = TOKEN,
        facts: bytes = link.encode_facts(FACTS),
        changed_facts: bytes | None = None,
    ) -> None:
        """Do the handshake.

        Args:
            token: what the device knows.
            facts: what it tells of itself.
            changed_facts: what arrives of that, where it is changed on the way.
        """
        hello = link.Hello(link.VERSION, link.new_nonce())
        self.send(link.encode_hello(hello))
        proof = link.decode_proof(self.read()[1])
        said = link.transcript(hello, proof.version, proof.nonce)
        proved = link.device_proof(token, said, facts)
        arrives = facts if changed_facts is None else changed_facts
        self.send(link.encode_welcome(link.Welcome(proved, arrives)))

    def answer_pings(self, count: int) -> None:
        """Answer this number of pings with this machine's own time."""
        while count:
            kind, payload = self.read()
            if kind == link.Kind.PING:
                now = self.now()
                self.send(link.encode_pong(link.Times(link.decode_ping(payload), now, now)))
                count -= 1

    def wait_until_left(self) -> None:
        """Read on until the host leaves, and say nothing."""
        while True:
            self.read()

    @staticmethod
    def now() -> int:
        """Return the microseconds of its clock."""
        return time.monotonic_ns() // 1000
