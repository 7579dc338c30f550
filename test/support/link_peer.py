"""A host on the link to a MaixCAM that is driven by hand, one message at a time."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

#: What the device runs. Its modules import each other as they lie there.
MAIXCAM_APP = Path(__file__).resolve().parents[2] / "maixcam_app"
if str(MAIXCAM_APP) not in sys.path:
    sys.path.insert(0, str(MAIXCAM_APP))

import face_server  # noqa: E402
import settings  # noqa: E402
from maixcam_shared import link, maix_face  # noqa: E402

#: The modules of the device come from here, because this module knows where they lie.
__all__ = [
    "MAIXCAM_APP",
    "LinkPeer",
    "face_server",
    "free_port",
    "link",
    "maix_face",
    "settings",
    "some_faces",
]

#: Seconds without a byte after which a test fails.
PATIENCE = 20.0


def free_port() -> int:
    """Return a port of this machine that nothing listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LinkPeer:
    """One connection to a device. All bytes come from the test, none by themselves."""

    def __init__(
        self,
        port: int,
        *,
        come_from: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
    ) -> None:
        """Connect to a device on this machine.

        Args:
            port: of the device.
            come_from: the loopback address to connect from.
            tls: None: the connection is not encrypted.
            receive_buffer: bytes that the system keeps for what the test has not read; 0: as many
                as it likes.
        """
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.bind((come_from, 0))
        self._socket.connect(("127.0.0.1", port))
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        # One thread at a time: an OpenSSL connection cannot read and write at once.
        self._using = threading.Lock()
        self._pinging: threading.Thread | None = None
        self._closing = threading.Event()
        self.hello = link.Hello(link.VERSION, bytes(link.NONCE_SIZE))

    def __enter__(self) -> LinkPeer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave, without a word."""
        self._closing.set()
        if self._pinging is not None:
            self._pinging.join()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they mean."""
        with self._using:
            self._socket.sendall(data)

    def read(self) -> tuple[link.Kind, bytes]:
        """Read the next message, of any kind.

        Raises:
            ConnectionError: the device has closed the connection.
        """
        length, number = struct.unpack("<IB", self._read_bytes(5))
        return link.Kind(number), self._read_bytes(length - 1)

    def read_next(self, kind: link.Kind) -> bytes:
        """Read on to the next message of one kind, and return its payload."""
        while True:
            came, payload = self.read()
            if came == kind:
                return payload

    def is_closed(self) -> bool:
        """Read on until the device closes the connection, and return True when it does."""
        try:
            while True:
                self.read()
        except TimeoutError:
            return False
        except OSError:
            return True

    def read_hello(self) -> link.Hello:
        """Read what the device says first."""
        kind, payload = self.read()
        assert kind == link.Kind.HELLO
        self.hello = link.decode_hello(payload)
        return self.hello

    def proof(self, token: str, version: int = link.VERSION) -> bytes:
        """Return the answer to the device's HELLO."""
        nonce = link.new_nonce()
        proof = link.host_proof(token, link.transcript(self.hello, version, nonce))
        return link.encode_proof(link.Proof(version, nonce, proof))

    def enter(self, token: str) -> link.Welcome:
        """Do the handshake with a token that must be the right one."""
        self.read_hello()
        self.send(self.proof(token))
        kind, payload = self.read()
        assert kind == link.Kind.WELCOME, payload
        return link.decode_welcome(payload)

    def keep_pinging(self) -> None:
        """Send PINGs from now on, as a host does."""
        self._pinging = threading.Thread(target=self._ping_on, daemon=True)
        self._pinging.start()

    def _ping_on(self) -> None:
        while not self._closing.wait(link.PING_INTERVAL):
            try:
                self.send(link.encode_ping(time.monotonic_ns()))
            except OSError:
                return

    def _read_bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self._receive(count - len(data))
            if not got:
                raise ConnectionResetError("the device has closed the connection")
            data += got
        return data

    def _receive(self, most: int) -> bytes:
        """Wait for bytes, and let others send meanwhile."""
        end = time.monotonic() + PATIENCE
        while True:
            with self._using:
                try:
                    self._socket.settimeout(0)
                    return self._socket.recv(most)
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
                finally:
                    self._socket.settimeout(PATIENCE)
            patience = end - time.monotonic()
            if patience < 0:
                raise TimeoutError(f"nothing came within {PATIENCE:g} s")
            try:
                select.select([self._socket], [], [], patience)
            except ValueError:
                raise ConnectionAbortedError("the connection was closed here") from None


def some_faces(number: int, count: int = 2, landmarks: int = 478) -> link.Faces:
    """Return faces as MaixPy gives them: lists of whole numbers."""
    face = maix_face.MaixFace(
        *(40, 30, 100, 120),
        score=0.875,
        keypoints=[70, 80, 110, 80, 90, 100, 75, 120, 105, 120],
        landmarks_score=0.75,
        crop=maix_face.Crop(90, 90, 144, 0.125),
        points=[index % 320 for index in range(2 * landmarks)],
        points_rel=[index % 192 for index in range(2 * landmarks)],
        points_z=[index % 64 - 32 for index in range(landmarks)],
    )
    return link.Faces(number, 1_000_000 + number, 320, 224, 192, 192, faces=[face] * count)
