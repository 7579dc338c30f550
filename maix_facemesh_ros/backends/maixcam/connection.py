"""One connection to a MaixCAM: from the first byte to the last.

In order: name resolution, opening, the handshake, and the messages after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, SupportsIndex, TypeVar

from maix_facemesh_ros.backends.maixcam.device_clock import ClockError, DeviceClock
from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.maixcam_shared import link

#: Maximum seconds for each step of connecting. Together with the longest wait between attempts they
#: are less than two seconds, so that a fault is reported within that time.
RESOLVE_TIMEOUT = 1.4
CONNECT_TIMEOUT = 1.0
HELLO_TIMEOUT = 1.4

#: Seconds until the next attempt after a refusal: the user has to change something, and the device
#: accepts only a few wrong tokens per second.
REFUSED_WAIT = 2.0

#: Number of first PINGs and seconds between them, before those of `link.PING_INTERVAL`.
FIRST_PINGS = 8
FIRST_PING_INTERVAL = 0.015

#: Unanswered pings in a row after which the device counts as lost, although it sends other
#: messages: those of ten seconds.
UNANSWERED_PINGS = 40

#: How often the device is listened for within `link.SILENCE`.
LOOKS = 6

#: Seconds after which a frame is too old to be of a live link: its time must be wrong.
OLDEST_FRAME = 10.0

#: Bytes that are read ahead.
READ_BUFFER = 1 << 20


_Frame = TypeVar("_Frame", link.Faces, link.JpegImage)


class DeviceLostError(FaceMeshError):
    """The device is missing or refuses; the message follows the device's name."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        """`wait`: seconds until it is worth another attempt; None: as usual."""
        super().__init__(text)
        self.wait = wait


class Address(NamedTuple):
    """Where a device is."""

    #: A name, or an IP address of either version.
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def resolve(address: Address) -> Address:
    """Return the address with a number in place of a name.

    Raises:
        DeviceLostError: the name is unknown.
    """
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(address.host.split("%")[0])
        return address
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()

    def look_up() -> None:
        answer: str | OSError
        try:
            infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            # The device listens by IPv4, unless its settings name an address of the other kind.
            infos.sort(key=lambda info: info[0] != socket.AF_INET)
            answer = str(infos[0][4][0])
        except OSError as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # The loop is closed.
            loop.call_soon_threadsafe(tell, answer)

    def tell(answer: str | OSError) -> None:
        if found.done():
            return
        if isinstance(answer, OSError):
            found.set_exception(answer)
        else:
            found.set_result(answer)

    # In a daemon thread: the system takes many seconds for unknown names, and asyncio's
    # own threads would keep the process from ending for so long.
    threading.Thread(target=look_up, name="name of the MaixCAM", daemon=True).start()
    try:
        return Address(await asyncio.wait_for(found, RESOLVE_TIMEOUT), address.port)
    except asyncio.TimeoutError:
        problem = "no answer"
    except OSError as error:
        problem = str(error.strerror or error)
    raise DeviceLostError(
        f"cannot be found, the name {address.host} is unknown ({problem}): is the device on, and "
        "does this machine know names that end in .local (avahi-daemon, libnss-mdns)? The device "
        "shows its address on its screen too"
    )


class _ListeningReader(asyncio.StreamReader):
    """Knows whether anything has come, also in the middle of a long message."""

    def __init__(self) -> None:
        super().__init__(limit=READ_BUFFER)
        self._heard = True

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Called by asyncio with received data."""
        self._heard = True
        super().feed_data(data)

    def has_heard(self) -> bool:
        """Tell whether data has arrived since the last call."""
        heard, self._heard = self._heard, False
        return heard


class Connection:
    """One connection, in the thread of its event loop; `facts` may be read from any."""

    def __init__(self, reader: _ListeningReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = DeviceClock()
        self._unanswered = 0
        self._last_number: int | None = None
        self._lost_frames = 0
        self._impossible_frames = 0
        self._why_aborted = ""

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None) -> Connection:
        """Connect to an address with a number, with TLS or without.

        Raises:
            DeviceLostError: no device answers, or not with this certificate.
        """
        loop = asyncio.get_running_loop()
        reader = _ListeningReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await asyncio.wait_for(
                loop.create_connection(
                    lambda: protocol, *address, ssl=tls, server_hostname="" if tls else None
                ),
                CONNECT_TIMEOUT,
            )
        except ssl.SSLCertVerificationError as error:
            raise DeviceLostError(
                f"has another certificate than maixcam_certificate: {error.verify_message}",
                REFUSED_WAIT,
            ) from error
        except ssl.SSLError as error:
            raise DeviceLostError(
                f"does not accept TLS ({error.reason}): does it have a certificate too?",
                REFUSED_WAIT,
            ) from error
        except (asyncio.TimeoutError, OSError) as error:
            raise DeviceLostError(_why_unreachable(error)) from error
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def enter(self, token: str) -> dict[str, str]:
        """Prove to each other that both sides know the token; returns the device's facts.

        Raises:
            DeviceLostError: the device refuses, or the other side is not a device.
        """
        try:
            return await self._shake_hands(token)
        except asyncio.TimeoutError as error:
            raise DeviceLostError(
                "is reachable but does not answer: does it need TLS (maixcam_certificate), or is "
                "something else at this address?"
            ) from error
        except (link.LinkError, asyncio.IncompleteReadError, OSError) as error:
            raise DeviceLostError(_why_lost(error)) from error

    async def _shake_hands(self, token: str) -> dict[str, str]:
        _, payload = await self._next(link.Kind.HELLO)
        hello = link.decode_hello(payload)
        nonce = link.new_nonce()
        if hello.version != link.VERSION:
            # So that the device can report it too.
            nothing = bytes(link.PROOF_SIZE)
            self._writer.write(link.encode_proof(link.Proof(link.VERSION, nonce, nothing)))
            raise DeviceLostError(
                f"speaks version {hello.version} of the link and this node version "
                f"{link.VERSION}: update the one that is older",
                REFUSED_WAIT,
            )
        said = link.transcript(hello, link.VERSION, nonce)
        proof = link.host_proof(token, said)
        self._writer.write(link.encode_proof(link.Proof(link.VERSION, nonce, proof)))
        kind, payload = await self._next(link.Kind.WELCOME, link.Kind.REFUSED)
        if kind == link.Kind.REFUSED:
            text = link.decode_refused(payload).text
            raise DeviceLostError(f"refused the connection: {text!r}", REFUSED_WAIT)
        welcome = link.decode_welcome(payload)
        if not link.same_proof(welcome.proof, link.device_proof(token, said, welcome.facts)):
            raise DeviceLostError(
                "cannot prove the token: another server is at this address", REFUSED_WAIT
            )
        return link.decode_facts(welcome.facts)

    async def _next(self, *kinds: link.Kind) -> tuple[link.Kind, bytes]:
        return await asyncio.wait_for(link.read_message(self._reader, kinds), HELLO_TIMEOUT)

    @property
    def facts(self) -> dict[str, str]:
        """How good the connection is, by name, for people to read."""
        clock = self._clock
        return {
            "round trip": f"{1e3 * clock.round_trip:.2f} ms",
            "error of the device's clock": f"± {1e3 * clock.error:.2f} ms",
            "drift of the device's clock": f"{-1e6 * clock.drift:+.0f} ppm",
            "frames lost on the link": str(self._lost_frames),
            "frames with an impossible time": str(self._impossible_frames),
        }

    def send_settings(self, settings: link.Settings) -> None:
        """Send this host's settings to the device."""
        self._writer.write(link.encode_settings(settings))

    async def read(
        self,
        take_faces: Callable[[float, link.Faces], None],
        take_image: Callable[[float, link.JpegImage], None],
    ) -> None:
        """Read the device's messages, and measure its clock, until the connection ends.

        Args:
            take_faces: is given the faces and their time on `time.monotonic`.
            take_image: is given an image and its time.

        Raises:
            DeviceLostError: always, at its end.
        """
        tasks = [asyncio.ensure_future(part) for part in (self._ping(), self._listen_for())]
        try:
            while True:
                kind, payload = await link.read_message(
                    self._reader, (link.Kind.PONG, link.Kind.FACES, link.Kind.IMAGE)
                )
                if kind == link.Kind.PONG:
                    self._learn(link.decode_pong(payload), time.monotonic_ns())
                elif kind == link.Kind.FACES:
                    faces = link.decode_faces(payload)
                    self._count_lost(faces.number)
                    self._take(faces, take_faces)
                else:
                    self._take(link.decode_image(payload), take_image)
        except (link.LinkError, ClockError, asyncio.IncompleteReadError, OSError) as error:
            raise DeviceLostError(self._why_aborted or _why_lost(error)) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Close the connection."""
        self._writer.transport.abort()

    async def _ping(self) -> None:
        """Measure the clock, and show that this host is alive."""
        asked = 0
        while self._unanswered < UNANSWERED_PINGS:
            self._writer.write(link.encode_ping(time.monotonic_ns()))
            asked += 1
            self._unanswered += 1
            await asyncio.sleep(FIRST_PING_INTERVAL if asked < FIRST_PINGS else link.PING_INTERVAL)
        self._abort(f"has not answered {UNANSWERED_PINGS} times in a row")

    async def _listen_for(self) -> None:
        """End the connection when nothing has arrived for `link.SILENCE`."""
        # Checks are counted, and no clock is read: if this thread could not run for long,
        # that is not silence of the device.
        silent_looks = 0
        while silent_looks < LOOKS:
            await asyncio.sleep(link.SILENCE / LOOKS)
            silent_looks = 0 if self._reader.has_heard() else silent_looks + 1
        self._abort(f"is lost: it was silent for {link.SILENCE:g} s")

    def _abort(self, why: str) -> None:
        self._why_aborted = why
        self._writer.transport.abort()

    def _learn(self, times: link.Times, received: int) -> None:
        self._unanswered = 0
        self._clock.add(
            sent=1e-9 * times.sent,
            came=1e-6 * times.came,
            answered=1e-6 * times.answered,
            received=1e-9 * received,
        )

    def _take(self, frame: _Frame, take: Callable[[float, _Frame], None]) -> None:
        """Pass a frame on with its time on this machine; one with an impossible time is dropped."""
        if not self._clock.is_known:
            return
        taken_at = self._clock.at(1e-6 * frame.taken_at)
        age = time.monotonic() - taken_at
        if -self._clock.error <= age <= OLDEST_FRAME:
            take(taken_at, frame)
        else:
            self._impossible_frames += 1

    def _count_lost(self, number: int) -> None:
        if self._last_number is not None:
            self._lost_frames += (number - self._last_number - 1) % 2**32
        self._last_number = number


def _why_unreachable(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "cannot be reached: no answer. Is it on, and is this its address?"
    if isinstance(error, ConnectionRefusedError):
        return (
            "is reachable, but the app is not running (connection refused): start it on the device"
        )
    return f"cannot be reached: {error.strerror if isinstance(error, OSError) else error}"


def _why_lost(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "is lost: it has closed the connection"
    if isinstance(error, OSError):
        return f"is lost: {error.strerror or error}"
    return f"is lost: {error}"
