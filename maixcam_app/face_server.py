"""Sends faces and images to hosts, each at its own rate, from a separate thread.

The main thread calls `FaceServer`'s public methods; everything else runs in the server's thread, on
asyncio. In order: the server, its door (limits on attempts), a host, the combined settings of the
hosts, the log, and objects that are created before the server starts.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from maixcam_shared import link
from maixcam_shared.maix_face import Thresholds

if TYPE_CHECKING:
    import ssl

#: Connections that may be without a right token yet. When all places are taken, the newest takes
#: that of the oldest of the address that has most: strangers cost no more memory than that.
STRANGERS = 64

#: Addresses that have shown a right token keep places of their own: how many addresses, those that
#: did it last, and the places of each.
PROVED_ADDRESSES = 4
PLACES_OF_PROVED = 16

#: Seconds until the answer to a wrong token, and how many an address may have given within them; it
#: is refused at once while it has, unless it has given a valid one before.
WRONG_TOKEN_DELAY = 1.0
WRONG_TOKENS_PER_ADDRESS = 4

#: Maximum seconds for the last message to a host.
FAREWELL_TIMEOUT = 0.5

#: How often a host is asked for within `link.SILENCE`.
_LOOKS = 6

#: Bytes that the system holds for a host that reads slowly (Linux takes twice the number): some
#: frames of two faces. More would only make older what such a host gets.
SEND_BUFFER = 32 << 10

#: Bytes that are read ahead of a host; its largest message has 256.
READ_BUFFER = 1024

#: Seconds by which an image may come late and the next still counts from when it was due. So a
#: camera that is not quite even loses no images.
IMAGE_DELAY = 0.05

#: Seconds between two lines of the log about the same matter.
LOG_INTERVAL = 10.0

#: Seconds until connections are accepted again after an error of the system.
ACCEPT_RETRY = 0.2


class ServerError(OSError):
    """Hosts cannot connect; the message gives the reason."""


class FaceServer:
    """The device's side of the link."""

    def __init__(
        self,
        address: str,
        port: int,
        token: str,
        clock: Callable[[], int],
        *,
        facts: dict[str, str],
        tls: ssl.SSLContext | None = None,
        max_hosts: int = 4,
        report: Callable[[str], None] = print,
    ) -> None:
        """Prepare a server; `start` lets hosts connect.

        Args:
            address: where to listen; 0.0.0.0 is everywhere.
            port: where to listen; 0: any free port.
            token: the token that hosts need.
            clock: returns the microseconds of the device's clock.
            facts: properties of this device that hosts receive.
            tls: None: nothing is encrypted.
            max_hosts: hosts at the same time.
            report: receives lines of the log, in the server's thread.
        """
        self._address = address
        self._port = port
        self._token = token
        self._clock = clock
        self._facts = facts
        self._tls = tls
        self._max_hosts = max_hosts
        self._log = _Log(report)
        self._door = _Door()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        # Replaced as a whole by the server's thread, so that the main one needs no lock. In the
        # order in which they sent their settings: who spoke last is last.
        self._hosts: tuple[_Host, ...] = ()
        self._thresholds = Thresholds()
        self._waking = False

    @property
    def port(self) -> int:
        """The port that the server listens on, once it is started."""
        return self._port

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses of the hosts that are connected."""
        return tuple(host.name for host in self._hosts)

    def start(self) -> None:
        """Let hosts connect from now on.

        Raises:
            ServerError: the address or the port cannot be used.
        """
        listening = _listen(self._address, self._port)
        self._port = listening.getsockname()[1]
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, listening), name="face server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = self._loop = None

    def wanted(self) -> Thresholds:
        """Return thresholds that are good enough for every host; the defaults without one."""
        return self._thresholds

    def publish(self, faces: link.Faces) -> None:
        """Send faces to every host; they replace those that still wait to be sent."""
        hosts = self._hosts
        if hosts:
            message = link.encode_faces(faces)
            for host in hosts:
                host.faces.append(message)
            self._wake_hosts()

    def image_due(self) -> int:
        """Return the highest JPEG quality that a host wants an image in now, 0 for no image."""
        return max((host.images.quality for host in self._due_hosts()), default=0)

    def publish_image(self, image: link.JpegImage) -> None:
        """Send an image to the hosts that are due for one."""
        due = self._due_hosts()
        if not due:
            return
        message = link.encode_image(image)
        fits = len(message) <= link.LARGEST[link.Kind.IMAGE]
        for host in due:
            host.images.taken()
            if fits:
                host.image.append(message)
        if fits:
            self._wake_hosts()
        elif self._loop is not None:
            text = f"an image of {len(message)} bytes is too large for the link"
            self._loop.call_soon_threadsafe(self._log.say, "large images", text)

    def _due_hosts(self) -> list[_Host]:
        return [host for host in self._hosts if host.images.due()]

    def _wake_hosts(self) -> None:
        # One call at a time: the server's thread may be kept from running for a while.
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_soon_threadsafe(self._wake_hosts_now)

    # From here on in the server's thread.

    def _wake_hosts_now(self) -> None:
        self._waking = False
        for host in self._hosts:
            host.something_to_send.set()

    def _run(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._unexpected)
        try:
            loop.run_until_complete(self._serve(listening))
        finally:
            listening.close()
            loop.close()

    async def _serve(self, listening: socket.socket) -> None:
        """Accept connections and serve them until `stop`."""
        accepting = asyncio.create_task(self._accept(listening))
        await self._stopping.wait()
        accepting.cancel()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(accepting, *self._connections, return_exceptions=True)
        self._log.close()
        # Transports close their sockets in the next round of the loop.
        await asyncio.sleep(0)

    async def _accept(self, listening: socket.socket) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                self._log.say("connections", f"a connection cannot be accepted: {error}")
                await asyncio.sleep(ACCEPT_RETRY)
                continue
            name = str(address[0])
            if self._door.is_closed_to(name):
                connection.close()
                self._say_turned_away(name)
                continue
            place = _Place(name)
            task = place.task = loop.create_task(self._attend(connection, place))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            # A task that is cancelled before it begins closes nothing.
            task.add_done_callback(functools.partial(_close, connection))
            gone = self._door.enter(place)
            if gone is not None:
                self._log.say("full", f"{gone.name} is disconnected for a newer connection")

    def _say_turned_away(self, name: str) -> None:
        self._log.say("too many attempts", f"{name} is refused: too many attempts")

    async def _attend(self, connection: socket.socket, place: _Place) -> None:
        """Serve one connection from its first to its last byte."""
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await self._open(connection)
            host = await self._admit(reader, writer, place.name)
            if host is not None:
                self._door.leave(place)
                await self._talk(host, reader)
        except link.LinkError as error:
            self._log.say("wrong messages", f"{place.name} is cut off: {error}")
        except asyncio.IncompleteReadError:
            pass  # A stranger has left, as strangers do.
        except OSError as error:
            self._log.say("lost connections", f"the connection to {place.name} is lost: {error}")
        finally:
            self._door.leave(place)
            if writer is not None:
                writer.transport.abort()
            connection.close()

    async def _open(
        self, connection: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the two streams of a connection, after the handshake of TLS."""
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        reader = asyncio.StreamReader(limit=READ_BUFFER)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._tls,
            ssl_handshake_timeout=link.HANDSHAKE_TIMEOUT if self._tls else None,
        )
        # `drain` then waits until all has gone to the system. With TLS, asyncio's layer below holds
        # up to 64 KiB more, and with a limit of 0 it would wait without end.
        transport.set_write_buffer_limits(high=1, low=0)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> _Host | None:
        """Check the token; returns None for a refused connection."""
        hello = link.Hello(link.VERSION, link.new_nonce())
        writer.write(link.encode_hello(hello))
        proof = await self._read_proof(reader, writer, name)
        if proof.version != link.VERSION:
            spoken = f"version {link.VERSION} of the link, the host version {proof.version}"
            text = f"this device speaks {spoken}: update the one that is older"
            await self._refuse(writer, name, link.Reason.VERSION, text)
            return None
        if self._door.is_closed_to(name):
            self._say_turned_away(name)
            return None
        said = link.transcript(hello, proof.version, proof.nonce)
        if not link.same_proof(proof.proof, link.host_proof(self._token, said)):
            self._log.say("wrong tokens", f"{name} has a wrong token")
            self._door.has_wrong_token(name)
            await asyncio.sleep(WRONG_TOKEN_DELAY)
            text = "the token is wrong: the right one is on the device's screen"
            await self._refuse(writer, name, link.Reason.TOKEN, text)
            return None
        self._door.has_right_token(name)
        if len(self._hosts) >= self._max_hosts:
            text = f"the device has {len(self._hosts)} hosts already, as many as it may"
            await self._refuse(writer, name, link.Reason.BUSY, text)
            return None
        facts = link.encode_facts(self._facts)
        proved = link.device_proof(self._token, said, facts)
        writer.write(link.encode_welcome(link.Welcome(proved, facts)))
        return _Host(name, writer)

    async def _read_proof(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> link.Proof:
        def too_late() -> None:
            self._log.say("late proofs", f"{name} did not prove the token in time")
            writer.transport.abort()

        deadline = asyncio.get_running_loop().call_later(link.HANDSHAKE_TIMEOUT, too_late)
        try:
            _, payload = await link.read_message(reader, [link.Kind.PROOF])
        finally:
            deadline.cancel()
        return link.decode_proof(payload)

    async def _refuse(
        self, writer: asyncio.StreamWriter, name: str, reason: link.Reason, text: str
    ) -> None:
        """Send the reason, and wait until it is sent."""
        if reason != link.Reason.TOKEN:
            self._log.say(f"refused: {reason.name}", f"{name} is refused: {text}")
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(FAREWELL_TIMEOUT, writer.transport.abort)
        try:
            writer.write(link.encode_refused(link.Refusal(reason, text)))
            writer.close()
            await writer.wait_closed()
        finally:
            deadline.cancel()

    async def _talk(self, host: _Host, reader: asyncio.StreamReader) -> None:
        """Serve a host until either side has enough."""
        self._log.say(f"{host.name} connected", f"{host.name} is connected")
        self._hosts = (*self._hosts, host)
        sending = asyncio.create_task(self._send(host))
        host.watch()
        try:
            await self._listen_to(host, reader)
        except (link.LinkError, OSError) as error:
            host.why_gone = f": {error}"
        except asyncio.IncompleteReadError:
            pass
        finally:
            host.close()
            self._hosts = tuple(other for other in self._hosts if other is not host)
            self._thresholds = _good_enough_for(self._hosts)
            self._log.say(f"{host.name} gone", f"{host.name} is gone{host.why_gone}")
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _listen_to(self, host: _Host, reader: asyncio.StreamReader) -> None:
        while True:
            kind, payload = await link.read_message(reader, [link.Kind.PING, link.Kind.SETTINGS])
            came = self._clock()
            host.is_heard()
            if kind == link.Kind.PING:
                host.pongs.append((link.decode_ping(payload), came))
                host.send_pong(self._clock)
            else:
                host.apply(link.decode_settings(payload))
                others = [other for other in self._hosts if other is not host]
                self._hosts = (*others, host)
                self._thresholds = _good_enough_for(self._hosts)

    async def _send(self, host: _Host) -> None:
        """Send the newest message whenever the host has received the previous one."""
        try:
            while True:
                await host.something_to_send.wait()
                host.something_to_send.clear()
                await host.writer.drain()
                while host.send_next(self._clock):
                    await host.writer.drain()
        except OSError:
            # `_listen_to` sees the same end of the connection.
            host.writer.transport.abort()

    def _unexpected(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report errors for which asyncio would print a traceback each time."""
        error = context.get("exception")
        words = f"{type(error).__name__}: {error}" if error else ""
        self._log.say("errors", f"{context.get('message')} {words}".strip())


class _Place:
    """The place of one connection that has not shown a right token."""

    def __init__(self, name: str) -> None:
        #: Address of the other side.
        self.name = name
        self.task: asyncio.Task[None] | None = None


class _Door:
    """Knows the connections that have not shown a right token, and the addresses that have."""

    def __init__(self) -> None:
        # From the oldest to the newest.
        self._places: list[_Place] = []
        #: By address: wrong tokens of the last `WRONG_TOKEN_DELAY` seconds.
        self._wrong_tokens: Counter[str] = Counter()
        #: Addresses that have shown a right token, from the one that did it longest ago.
        self._proved: list[str] = []

    def is_closed_to(self, name: str) -> bool:
        """Tell whether an address has just given too many wrong tokens, and never a right one."""
        return name not in self._proved and self._wrong_tokens[name] >= WRONG_TOKENS_PER_ADDRESS

    def enter(self, place: _Place) -> _Place | None:
        """Accept a connection; returns the one that it replaces, None if there is none."""
        is_proved = place.name in self._proved
        others = [
            other
            for other in self._places
            if (other.name == place.name if is_proved else other.name not in self._proved)
        ]
        gone = None
        if len(others) >= (PLACES_OF_PROVED if is_proved else STRANGERS):
            counts = Counter(other.name for other in others)
            gone = next(other for other in others if counts[other.name] == max(counts.values()))
            self.leave(gone)
            if gone.task is not None:
                gone.task.cancel()
        self._places.append(place)
        return gone

    def leave(self, place: _Place) -> None:
        """Release the place of a connection, unless that has been done."""
        if place in self._places:
            self._places.remove(place)

    def has_wrong_token(self, name: str) -> None:
        """Count a wrong token of an address, for a while, also if the connection ends."""
        self._wrong_tokens[name] += 1
        asyncio.get_running_loop().call_later(WRONG_TOKEN_DELAY, self._forget_wrong_token, name)

    def has_right_token(self, name: str) -> None:
        """Keep places for an address from now on."""
        if name in self._proved:
            self._proved.remove(name)
        self._proved.append(name)
        del self._proved[:-PROVED_ADDRESSES]

    def _forget_wrong_token(self, name: str) -> None:
        self._wrong_tokens[name] -= 1
        if not self._wrong_tokens[name]:
            del self._wrong_tokens[name]


class _Host:
    """One host, and the messages that wait for it: the newest of each kind."""

    def __init__(self, name: str, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.writer = writer
        #: None until the host has sent some.
        self.settings: link.Settings | None = None
        self.images = _ImageRate(link.Settings())
        # Of length one: a newer message replaces the older one, in any thread.
        self.faces: deque[bytes] = deque(maxlen=1)
        self.image: deque[bytes] = deque(maxlen=1)
        #: The host's time of a PING, and the device's time of its arrival.
        self.pongs: deque[tuple[int, int]] = deque(maxlen=1)
        self.something_to_send = asyncio.Event()
        self.why_gone = ""
        self._silent_looks = 0
        self._watch: asyncio.TimerHandle | None = None

    def apply(self, settings: link.Settings) -> None:
        """Apply the host's settings from now on."""
        before = self.settings or link.Settings()
        if (settings.image_rate, settings.image_quality) != before[1:]:
            self.images = _ImageRate(settings)
        self.settings = settings

    def send_pong(self, clock: Callable[[], int]) -> None:
        """Answer a PING: at once, or as soon as the host has received the previous message."""
        # Behind other messages it would be late, and a host that pings and does not read would make
        # the waiting ones grow.
        if self.writer.transport.get_write_buffer_size():
            self.something_to_send.set()
        else:
            self._send_pong(clock)

    def send_next(self, clock: Callable[[], int]) -> bool:
        """Send one of what waits: clock before faces before images. Returns False for nothing."""
        if self.pongs:
            self._send_pong(clock)
        elif self.faces:
            self.writer.write(self.faces.popleft())
        elif self.image:
            self.writer.write(self.image.popleft())
        else:
            return False
        return True

    def is_heard(self) -> None:
        """Record that the host has sent something."""
        self._silent_looks = 0

    def watch(self) -> None:
        """End the connection when the host has been silent for `link.SILENCE`."""
        # Checks are counted, and no clock is read: if this thread could not run for long,
        # that is not silence of the host.
        self._silent_looks += 1
        if self._silent_looks > _LOOKS:
            self.why_gone = f": it was silent for {link.SILENCE:g} s"
            self.writer.transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(link.SILENCE / _LOOKS, self.watch)

    def close(self) -> None:
        """Watch it no more."""
        if self._watch is not None:
            self._watch.cancel()

    def _send_pong(self, clock: Callable[[], int]) -> None:
        sent, came = self.pongs.popleft()
        self.writer.write(link.encode_pong(link.Times(sent, came, clock())))


class _ImageRate:
    """When a host is due for its next image."""

    def __init__(self, settings: link.Settings) -> None:
        self.quality = settings.image_quality
        self._interval = 1 / settings.image_rate if settings.image_rate else None
        self._due_at = 0.0

    def due(self) -> bool:
        """Tell whether it is due now."""
        return self._interval is not None and monotonic() >= self._due_at

    def taken(self) -> None:
        """Count the next image from when this one was due."""
        if self._interval is not None:
            self._due_at = max(self._due_at, monotonic() - IMAGE_DELAY) + self._interval


def _good_enough_for(hosts: Iterable[_Host]) -> Thresholds:
    """Return thresholds that keep every face that one of the hosts wants.

    Each host drops the faces below its own thresholds. Of overlapping boxes only one is kept, so
    there is no common value for `detect_iou_th`: that of the latest settings is used.
    """
    wishes = [host.settings.thresholds for host in hosts if host.settings is not None]
    if not wishes:
        return Thresholds()
    limits = [wish.max_face_num for wish in wishes]
    # The largest faces are the same for all hosts only if all have the same thresholds; otherwise
    # faces that one host drops could replace those that it wants.
    same_faces = len({wish._replace(max_face_num=0) for wish in wishes}) == 1
    return Thresholds(
        detect_conf_th=min(wish.detect_conf_th for wish in wishes),
        detect_iou_th=wishes[-1].detect_iou_th,
        landmarks_conf_th=min(wish.landmarks_conf_th for wish in wishes),
        max_face_num=max(limits) if same_faces and min(limits) > 0 else 0,
        require_landmarks=all(wish.require_landmarks for wish in wishes),
    )


class _Log:
    """Logs one line about a matter at a time, and later the number of suppressed ones."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        #: By matter: the number of suppressed lines since the last one, and when to log it.
        self._left_out: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def say(self, matter: str, text: str) -> None:
        """Log a line now, or count it if there was one about the same matter just before."""
        if matter in self._timers:
            self._left_out[matter] += 1
        else:
            self._report(text)
            self._pause(matter)

    def close(self) -> None:
        """Stop logging suppressed counts."""
        for timer in self._timers.values():
            timer.cancel()

    def _pause(self, matter: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers[matter] = loop.call_later(LOG_INTERVAL, self._say_how_many, matter)

    def _say_how_many(self, matter: str) -> None:
        del self._timers[matter]
        count = self._left_out.pop(matter, 0)
        if count:
            self._report(f"{matter}: {count} more in {LOG_INTERVAL:g} s")
            self._pause(matter)


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context that encrypts the connections.

    Args:
        certificate: PEM file.
        key: PEM file of its key, without a password.

    Raises:
        ServerError: a file cannot be used, or this device's Python has no TLS.
    """
    try:
        import ssl
    except ImportError as error:
        raise ServerError(f"Python has no TLS on this device: {error}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # With a password for the key; without, Python would ask for one on the console.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ServerError(
            f"{certificate} and {key} cannot be used for TLS: {error}. They must be a certificate "
            "and its key without a password, in PEM format"
        ) from error
    return context


def _close(connection: socket.socket, _: asyncio.Task[None]) -> None:
    connection.close()


def _listen(address: str, port: int) -> socket.socket:
    """Return a listening socket that does not accept connections yet."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"{address} is not an address to listen on: {error}") from error
    try:
        # Or else the port would be taken for a minute after this app was restarted.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(where)
        listening.listen(STRANGERS)
    except OSError as error:
        listening.close()
        raise ServerError(
            f"{address} port {port} cannot be listened on ({error}): is the address one of this "
            "device's, and does no other program use the port?"
        ) from error
    return listening
