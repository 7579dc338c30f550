"""The host's end of the link: against the app's own server, and against devices gone wrong."""

from __future__ import annotations

import asyncio
import math
import random
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from link_devices import FIRST_WIDTH, JPEG, TOKEN, DeviceEnd, DrivenDevice, SteadyDevice
from link_peer import face_server, free_port, link, some_faces
from maix_facemesh_ros.backends.maix_faces import face_of
from maix_facemesh_ros.backends.maixcam import checks, connection
from maix_facemesh_ros.backends.maixcam import source as source_module
from maix_facemesh_ros.backends.maixcam.checks import fault_of
from maix_facemesh_ros.backends.maixcam.connection import Connection, DeviceLostError
from maix_facemesh_ros.backends.maixcam.source import MaixCamFaceSource
from maix_facemesh_ros.face import FaceFrame, JpegFrame
from maix_facemesh_ros.maixcam_shared import link as host_link
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.sources.base import SourceError, SourceNotice

#: Seconds within which a user shall know what is wrong, and in which a device that is back has its
#: host again.
SOON = 2.0

#: What a busy machine may add.
BUSY = 1.0


class Host:
    """A source, what it has given and what it has said, each with its time."""

    def __init__(self, port: int | str, **parameters: Any) -> None:
        self.notices: list[tuple[float, SourceNotice]] = []
        self.frames: list[FaceFrame] = []
        self.images: list[JpegFrame] = []
        self.error: SourceError | None = None
        #: Seconds that it takes for each frame.
        self.slow = 0.0
        address = port if isinstance(port, str) else f"127.0.0.1:{port}"
        if "maixcam_token_file" not in parameters:
            parameters.setdefault("maixcam_token", TOKEN)
        self.parameters = NodeParameters(backend="maixcam", maixcam_address=address, **parameters)
        self.started = time.monotonic()
        self.source = MaixCamFaceSource(self.parameters, self._on_notice)
        self._taking = threading.Thread(target=self._take)
        self._taking.start()

    def _on_notice(self, notice: SourceNotice) -> None:
        self.notices.append((time.monotonic(), notice))

    def _take(self) -> None:
        try:
            for frame in self.source.frames():
                if isinstance(frame, FaceFrame):
                    self.frames.append(frame)
                else:
                    self.images.append(frame)
                time.sleep(self.slow)
        except SourceError as error:
            self.error = error

    def change(self, **changes: Any) -> None:
        self.parameters = self.parameters.changed(**changes)
        self.source.change(self.parameters)

    def close(self) -> None:
        self.source.close()
        self._taking.join()

    @property
    def warnings(self) -> list[str]:
        return [notice.text for _, notice in self.notices if notice.warning]

    def is_connected(self) -> bool:
        return self.source.facts["link"] == "connected"


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def make(port: int | str, **parameters: Any) -> Host:
        hosts.append(Host(port, **parameters))
        return hosts[-1]

    yield make
    for made in hosts:
        made.close()
        assert not made.source._thread.is_alive()


def eventually(condition: Callable[[], object], patience: float = 20.0) -> float:
    """Wait until something is so, and return the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + patience, "it never is"
        time.sleep(0.002)
    return time.monotonic() - started


# What is published


def test_faces_come_with_their_true_times(host: Callable[..., Host]) -> None:
    """An hour ahead, and 200 ppm too fast."""
    with SteadyDevice() as device:
        received = host(device.port)
        eventually(lambda: len(received.frames) >= 100)
        frames = list(received.frames)
        facts = received.source.facts
    errors = [abs(frame.taken_at - device.taken_at[frame.width - FIRST_WIDTH]) for frame in frames]
    assert max(errors) < 2e-3
    assert facts["drift of the device's clock"].endswith(" ppm")
    assert facts["device"] == "maixcam"
    face = frames[0].faces[0]
    assert (len(frames[0].faces), face.points.shape, face.points_z.shape) == (2, (478, 2), (478,))
    assert face.score == 0.875
    assert frames[0].height == 224


def test_drift_and_error_are_measured(host: Callable[..., Host]) -> None:
    with SteadyDevice() as device:
        received = host(device.port)
        eventually(received.is_connected)
        time.sleep(4.0)
        facts = received.source.facts
    assert float(facts["drift of the device's clock"].split()[0]) == pytest.approx(200, abs=150)
    assert float(facts["error of the device's clock"].split()[1]) < 2.0
    assert float(facts["round trip"].split()[0]) < 20.0


def test_thresholds_reach_the_device_and_change_while_it_runs(host: Callable[..., Host]) -> None:
    with SteadyDevice() as device:
        received = host(device.port, detect_conf_th=0.25, max_face_num=5)
        eventually(lambda: device.wanted().detect_conf_th == 0.25)
        assert device.wanted().max_face_num == 5
        received.change(detect_conf_th=0.9, landmarks_conf_th=0.125)
        eventually(lambda: device.wanted().detect_conf_th == 0.9)
        assert device.wanted().landmarks_conf_th == 0.125
        # What is below them is left out here too, for the device may have other hosts.
        eventually(lambda: received.frames and received.frames[-1].faces == [])


def test_two_hosts_get_what_each_of_them_wants(host: Callable[..., Host]) -> None:
    with SteadyDevice() as device:
        one = host(device.port, max_face_num=1)
        other = host(device.port, max_face_num=0, landmarks_conf_th=0.8, require_landmarks=False)
        strict = host(device.port, landmarks_conf_th=0.8)
        eventually(lambda: min(len(h.frames) for h in (one, other, strict)) > 10)
        assert [len(frames.frames[-1].faces) for frames in (one, other, strict)] == [1, 2, 0]
        face = other.frames[-1].faces[0]
        assert (len(face.points), len(face.points_z), face.landmarks_score) == (0, 0, 0.75)


def test_images_come_as_they_are_and_at_the_time_of_their_faces(
    host: Callable[..., Host],
) -> None:
    with SteadyDevice() as device:
        received = host(device.port, maixcam_jpeg=True, maixcam_jpeg_rate=20.0)
        eventually(lambda: len(received.images) >= 10)
        assert {image.jpeg for image in received.images} == {JPEG}
        faces_at = {frame.taken_at for frame in received.frames}
        images_at = [image.taken_at for image in received.images]
        assert sum(at in faces_at for at in images_at) >= len(images_at) - 2
        received.change(maixcam_jpeg=False)
        time.sleep(0.3)
        count = len(received.images)
        time.sleep(0.3)
        assert len(received.images) == count


def test_who_is_slow_gets_the_latest(host: Callable[..., Host]) -> None:
    with SteadyDevice(rate=100) as device:
        received = host(device.port)
        received.slow = 0.2
        eventually(lambda: len(received.frames) >= 8)
        ages = [
            later.taken_at - frame.taken_at
            for frame, later in zip(received.frames[2:], received.frames[3:], strict=False)
        ]
        assert min(ages) > 0.1, "frames that lay there would follow each other closely"
        replaced = int(received.source.facts["frames replaced by later ones"])
        assert replaced >= 5 * 8


# What is wrong, and right again


def test_a_wrong_token_is_said_soon_and_put_right_without_a_restart(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("WRON-GWRO-NGWR-ONGW\n")
    file.chmod(0o600)
    with SteadyDevice() as device:
        received = host(device.port, maixcam_token_file=str(file))
        assert eventually(lambda: received.warnings) < SOON + BUSY
        assert "the token is wrong" in received.warnings[0]
        assert "the token is wrong" in received.source.facts["link"]
        file.write_text(f"  {TOKEN.lower()}\n")
        eventually(lambda: len(received.frames) > 3)
        assert len(received.warnings) == 1, "it is said once"
    said = " ".join(notice.text for _, notice in received.notices)
    assert "WRON" not in said
    assert "ABCD" not in said.upper()


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("\n", "is empty")])
def test_a_token_file_that_is_not_there_is_waited_for(
    host: Callable[..., Host], tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with SteadyDevice() as device:
        received = host(device.port, maixcam_token_file=str(file))
        eventually(lambda: received.warnings)
        assert str(file) in received.warnings[0]
        assert words in received.warnings[0]
        file.write_text(TOKEN)
        assert eventually(lambda: received.frames) < SOON + BUSY


def test_a_token_file_that_others_can_read_is_named(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with SteadyDevice() as device:
        received = host(device.port, maixcam_token_file=str(file))
        eventually(lambda: received.frames)
    assert f"run chmod 600 {file}" in received.warnings[0]


def test_a_device_without_the_app_is_said_soon(host: Callable[..., Host]) -> None:
    received = host(free_port())
    assert eventually(lambda: received.warnings) < SOON
    assert "start it on the device" in received.warnings[0]
    time.sleep(1.0)
    assert len(received.warnings) == 1, "it is said once"


def test_a_name_that_nobody_has_is_said_soon(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As slow as the system is with names of the local network."""
    look_up = socket.getaddrinfo

    def slow_look_up(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "maixcam-0000.local":
            time.sleep(3.0)
            raise socket.gaierror(-2, "Name or service not known")
        return look_up(name, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    received = host("maixcam-0000.local")
    assert eventually(lambda: received.warnings) < SOON + BUSY
    assert "the name maixcam-0000.local is unknown" in received.warnings[0]
    started = time.monotonic()
    received.close()
    assert time.monotonic() - started < BUSY, "the system's answer is not waited for"


def test_a_name_is_looked_up(host: Callable[..., Host]) -> None:
    with SteadyDevice() as device:
        received = host(f"localhost:{device.port}")
        eventually(lambda: len(received.frames) > 3)


def test_a_device_that_drops_everything_is_said_soon(host: Callable[..., Host]) -> None:
    """As a wrong address in a network with a firewall: nothing comes back."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for connecting in waiting:
            connecting.setblocking(False)
            connecting.connect_ex(("127.0.0.1", port))
        received = host(port)
        assert eventually(lambda: received.warnings) < SOON + BUSY
        assert "no answer" in received.warnings[0]
        for connecting in waiting:
            connecting.close()


@pytest.mark.parametrize("version", [0, 1, 65535])
def test_another_version_is_said_on_both_sides(host: Callable[..., Host], version: int) -> None:
    proofs = []

    def serve(end: DeviceEnd) -> None:
        end.send(link.encode_hello(link.Hello(version, bytes(link.NONCE_SIZE))))
        proofs.append(link.decode_proof(end.read()[1]).version)

    with DrivenDevice(serve) as device:
        received = host(device.port)
        assert eventually(lambda: received.warnings) < SOON
        assert f"speaks version {version} of the link" in received.warnings[0]
        assert f"version {link.VERSION}: update" in received.warnings[0]
        eventually(lambda: proofs == [link.VERSION])


def test_a_device_that_is_full_says_so(host: Callable[..., Host]) -> None:
    with SteadyDevice(max_hosts=1) as device:
        first = host(device.port)
        eventually(first.is_connected)
        second = host(device.port)
        assert eventually(lambda: second.warnings) < SOON
        assert "as many as it may" in second.warnings[0]
        first.close()
        assert eventually(lambda: second.frames) < connection.REFUSED_WAIT + BUSY


def test_who_does_not_know_the_token_is_no_device(host: Callable[..., Host]) -> None:
    """Something else listens at the device's address, and would like to feed faces."""

    def serve(end: DeviceEnd) -> None:
        end.welcome("SOME-OTHE-RTOK-ENXX")
        end.send(link.encode_faces(some_faces(1)))
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.warnings)
        assert "cannot prove the token" in received.warnings[0]
        assert received.frames == []


def test_without_reconnect_the_first_failure_ends_it(host: Callable[..., Host]) -> None:
    port = free_port()
    received = host(port, maixcam_reconnect=False)
    eventually(lambda: received.error)
    assert str(received.error).startswith(
        f"MaixCAM 127.0.0.1:{port} is reachable, but the app is not running"
    )


@pytest.mark.parametrize(
    "address", ["maixcam:0", "maixcam:65536", "maixcam:port", "", " ", "[::1", "a:b:1x:"]
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match=re.escape(repr(address))):
        source_module._address_of(address)


@pytest.mark.parametrize(
    ("text", "host_name", "port"),
    [
        ("maixcam-1a2b.local", "maixcam-1a2b.local", 5478),
        ("10.131.167.1:99", "10.131.167.1", 99),
        ("[fe80::1%eth0]:99", "fe80::1%eth0", 99),
        ("[::1]", "::1", 5478),
        ("::1", "::1", 5478),
        (" 10.0.0.1 ", "10.0.0.1", 5478),
    ],
)
def test_addresses(text: str, host_name: str, port: int) -> None:
    assert source_module._address_of(text) == (host_name, port)


# Faults of the connection


def test_a_device_that_restarts_again_and_again_is_found_each_time(
    host: Callable[..., Host], repetitions: Callable[[int], int]
) -> None:
    restarts = repetitions(100)
    with SteadyDevice() as device:
        port = device.port
        received = host(port)
        eventually(lambda: received.frames)
    times = []
    before = threads_and_files()
    true_times: dict[float, float] = {}
    for restart in range(restarts):
        # Each start gives its clock another origin, as on a device that counts from its start.
        with SteadyDevice(port, ahead=random.Random(restart).uniform(0, 1e5)) as device:
            count = len(received.frames)
            times.append(eventually(lambda: len(received.frames) > count))  # noqa: B023
            frame = received.frames[count]
            true_times[frame.taken_at] = device.taken_at[frame.width - FIRST_WIDTH]
            eventually(lambda: len(received.frames) > count + 2)  # noqa: B023
    assert max(times) < SOON
    assert sorted(times)[restarts // 2] < 0.8
    wrong = [abs(taken_at - true) for taken_at, true in true_times.items()]
    assert max(wrong) < 2e-3
    eventually(lambda: threads_and_files() <= before)
    assert int(received.source.facts["connections"]) == restarts + 1


def test_a_connection_that_is_cut_at_any_byte_loses_nothing_else(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every byte of the handshake, of a PONG, of faces and of an image, over TCP."""
    monkeypatch.setattr(source_module, "WAITS", (0.0,))
    monkeypatch.setattr(connection, "FIRST_PING_INTERVAL", 0.0005)
    cuts = iter(range(10**9))
    lengths: list[int] = []
    done = threading.Event()

    def serve(end: DeviceEnd) -> None:
        cut = next(cuts)
        sent = 0

        def send(data: bytes) -> None:
            nonlocal sent
            rest = cut - sent
            whole.append(data)
            sent += len(data)
            send_all(data[: max(rest, 0)])
            if rest < len(data):
                raise ConnectionAbortedError

        whole: list[bytes] = []
        send_all, end.send = end.send, send  # type: ignore[method-assign]
        end.welcome()
        end.answer_pings(5)
        now = end.now()
        frame = some_faces(7)._replace(
            taken_at=now,
            faces=[
                some_faces(7)
                .faces[0]
                ._replace(points=[], points_rel=[], points_z=[], landmarks_score=0.75)
            ],
        )
        end.send(link.encode_faces(frame))
        end.send(link.encode_image(link.JpegImage(7, now, JPEG)))
        lengths.append(sum(map(len, whole)))
        done.set()
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(
            device.port, require_landmarks=False, maixcam_jpeg=True, landmarks_conf_th=0.5
        )
        eventually(done.is_set, patience=60.0)
        eventually(lambda: received.images)
        assert device.connections == lengths[0] + 1
    # Those that were cut in the image had sent whole faces before.
    image = 5 + 12 + len(JPEG)
    assert len(received.images) == 1
    assert 1 <= len(received.frames) <= image + 1


def test_a_cancellation_that_is_lost_does_not_keep_the_link_alive(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio.wait_for before Python 3.12 loses it when what it waits for ends just then."""
    waits = threading.Event()
    lost = threading.Event()

    async def resolve(_: connection.Address) -> connection.Address:
        waits.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if lost.is_set():
                raise
            lost.set()
        raise DeviceLostError("is not there")

    monkeypatch.setattr(source_module, "resolve", resolve)
    received = host(1)
    assert waits.wait(20)
    received.close()
    assert lost.is_set()
    assert not received.source._thread.is_alive()


def test_a_frame_that_is_cut_at_any_byte_is_no_frame() -> None:
    """At every byte of a frame with 478 landmarks, without a network between."""
    frame = link.encode_faces(some_faces(7, count=1))
    pongs = b"".join(
        link.encode_pong(link.Times(time.monotonic_ns(), 1000 * index, 1000 * index))
        for index in range(5)
    )

    async def read(data: bytes) -> tuple[list[Any], str]:
        taken: list[Any] = []
        reader = connection._ListeningReader()
        reader.feed_data(data)
        reader.feed_eof()
        made = Connection(reader, _Nowhere())  # type: ignore[arg-type]
        with pytest.raises(DeviceLostError) as caught:
            await made.read(lambda *frame: taken.append(frame), lambda *_: None)
        return taken, str(caught.value)

    async def read_all() -> None:
        for cut in range(len(frame)):
            assert await read(pongs + frame[:cut]) == ([], "is lost: it has closed the connection")
        # Its time is right if it is one that the clock knows.
        whole = link.encode_faces(some_faces(7, count=1)._replace(taken_at=4000))
        taken, _ = await read(pongs + whole)
        assert len(taken) == 1

    asyncio.run(read_all())


class _Nowhere:
    """What is written goes nowhere."""

    def write(self, data: bytes) -> None:
        pass


GARBAGE = {
    "noise": bytes(random.Random(1).randbytes(4096)),
    "nothing but zeros": bytes(4096),
    "a web server": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a huge length": b"\xff\xff\xff\xff\x08",
    "a length over the limit": (2 + (2 << 20)).to_bytes(4, "little") + b"\x08",
    "a length of zero": b"\x00\x00\x00\x00\x08",
    "an unknown kind": b"\x05\x00\x00\x00\x63abcd",
    "a kind of the other side": link.encode_ping(1),
    "a second welcome": link.encode_welcome(link.Welcome(bytes(32), b"{}")),
    "faces that end too soon": link.message(link.Kind.FACES, bytes(17) + b"\xde\x01\x05"),
    "faces that go on": link.encode_faces(some_faces(1))[:0]
    + link.message(link.Kind.FACES, link.encode_faces(some_faces(1))[5:] + b"more"),
    "a pong of the wrong length": link.message(link.Kind.PONG, bytes(23)),
    "a pong from the future": link.encode_pong(link.Times(2**62, 5, 5)),
    "a pong that runs backwards": link.encode_pong(link.Times(time.monotonic_ns(), 9000, 5)),
}


@pytest.mark.parametrize("after_the_handshake", [False, True], ids=["at first", "later"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_the_connection_and_nothing_else(
    host: Callable[..., Host], garbage: str, after_the_handshake: bool
) -> None:
    healthy = threading.Event()

    def serve(end: DeviceEnd) -> None:
        good = healthy.is_set()
        if after_the_handshake or good:
            end.welcome()
            end.answer_pings(5)
        if not good:
            healthy.set()
            data = GARBAGE[garbage]
            if after_the_handshake and "faces" in garbage and "end" not in garbage:
                # With a time that can be, so that nothing but the rest is wrong.
                data = data[:9] + end.now().to_bytes(8, "little") + data[17:]
            end.send(data)
            end.wait_until_left()
        while True:
            end.answer_pings(1)
            end.send(link.encode_faces(some_faces(1)._replace(taken_at=end.now())))

    with DrivenDevice(serve) as device:
        received = host(device.port)
        assert eventually(lambda: received.frames) < 2 * SOON
        assert len(received.warnings) == 1
        assert "MaixCAM 127.0.0.1:" in received.warnings[0]
        assert len(received.warnings[0]) < 300, "not all of the garbage is shown"
        assert np.isfinite(received.frames[-1].faces[0].points).all()


def changed(frame: link.Faces, **changes: Any) -> link.Faces:
    """Return a frame whose first face is another."""
    return frame._replace(faces=[frame.faces[0]._replace(**changes), *frame.faces[1:]])


FRAME = some_faces(1)
CROP = FRAME.faces[0].crop
IMPOSSIBLE = {
    "468 landmarks instead of 478": some_faces(1, landmarks=468),
    "an image of 0x224 pixels": FRAME._replace(width=0),
    "an image of 9000x224": FRAME._replace(width=9000),
    "a landmark network for 0x192": FRAME._replace(crop_width=0),
    "scores of 1.5": changed(FRAME, score=1.5),
    "scores of nan": changed(FRAME, score=math.nan),
    "and inf, not": changed(FRAME, landmarks_score=math.inf),
    "scores of -0.1": changed(FRAME, score=-0.1),
    "a box at 5000": changed(FRAME, x=5000),
    "of -1x120 pixels": changed(FRAME, width=-1),
    "key points [30000": changed(FRAME, keypoints=[30000] * 10),
    "turned by nan": changed(FRAME, crop=CROP._replace(angle=math.nan)),
    "turned by 1e+30": changed(FRAME, crop=CROP._replace(angle=1e30)),
    "a crop of 0 pixels": changed(FRAME, crop=CROP._replace(side=0)),
    "a crop of 60000 pixels": changed(FRAME, crop=CROP._replace(side=60000)),
    "landmarks far outside": changed(FRAME, points=[-30000] * (2 * 478)),
    "landmarks far outside ": changed(FRAME, points_rel=[30000] * (2 * 478)),
    "depths of 20000 to 20000": changed(FRAME, points_z=[20000] * 478),
}


def test_frames_with_impossible_values_are_dropped_and_counted(host: Callable[..., Host]) -> None:
    def serve(end: DeviceEnd) -> None:
        end.welcome()
        end.answer_pings(5)
        for frame in IMPOSSIBLE.values():
            end.send(link.encode_faces(frame._replace(taken_at=end.now())))
        while True:
            end.answer_pings(1)
            end.send(link.encode_faces(FRAME._replace(taken_at=end.now())))

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.frames)
        facts = received.source.facts
        assert facts["frames with impossible values"] == str(len(IMPOSSIBLE))
        assert (facts["link"], facts["connections"]) == ("connected", "1")
    warnings = received.warnings
    assert len(warnings) == source_module.MOST_SAID + 1
    assert "see /diagnostics" in warnings[-1]
    for words, warning in zip(IMPOSSIBLE, warnings[:-1], strict=False):
        assert words.strip() in warning and warning.endswith("such frames are dropped")


def test_mutated_frames_give_possible_faces_or_a_reason() -> None:
    random_bytes = random.Random(17)
    good = link.encode_faces(some_faces(1))[5:]
    kept = dropped = refused = 0
    for _ in range(3000):
        mutant = bytearray(good)
        for _ in range(random_bytes.choice((1, 1, 2, 8, 64))):
            # Half of the changes in the numbers before the landmarks.
            end = 90 if random_bytes.random() < 0.5 else len(mutant)
            mutant[random_bytes.randrange(end)] = random_bytes.randrange(256)
        if random_bytes.random() < 0.1:
            mutant = mutant[: random_bytes.randrange(len(mutant))]
        try:
            frame = host_link.decode_faces(bytes(mutant))
        except host_link.LinkError as error:
            assert len(str(error)) < 200
            refused += 1
            continue
        if fault := fault_of(frame):
            assert len(fault) < 200
            dropped += 1
            continue
        kept += 1
        for each in frame.faces:
            face = face_of(each, (frame.crop_width, frame.crop_height))
            assert 0 <= face.score <= 1
            assert np.abs(face.points).max(initial=0) < 5 * checks.LARGEST_SIDE
            assert np.isfinite(face.points_z).all()
    assert kept > 500 and dropped > 100 and refused > 100, (kept, dropped, refused)


def test_what_a_device_tells_of_itself_is_made_printable(host: Callable[..., Host]) -> None:
    facts = {"device": "\ud800 a\nb\x1b[31m\u202e", "x" * 500: "y" * 500}
    facts |= {f"fact {number}": "" for number in range(100)}

    def serve(end: DeviceEnd) -> None:
        end.welcome(facts=link.encode_facts({name: facts[name] for name in list(facts)[:90]}))
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(received.is_connected)
        told = received.source.facts
    assert told["device"] == "\\ud800 a\\nb\\x1b[31m\\u202e"
    assert all(text.isprintable() for pair in told.items() for text in pair)
    assert max(map(len, told)) == link.LONGEST_NAME
    assert max(map(len, told.values())) == link.LONGEST_TEXT
    assert sum(name.startswith("fact ") for name in told) == link.MOST_FACTS - 2


def test_facts_that_are_changed_on_the_way_are_noticed(host: Callable[..., Host]) -> None:
    def serve(end: DeviceEnd) -> None:
        end.welcome(changed_facts=link.encode_facts({"device": "another"}))
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.warnings)
        assert "cannot prove the token" in received.warnings[0]
        assert "device" not in received.source.facts


def test_refusals_are_printable_and_are_said_a_few_times(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REFUSED_WAIT", 0.001)
    refusals = iter(range(1000))

    def serve(end: DeviceEnd) -> None:
        end.send(link.encode_hello(link.Hello(link.VERSION, bytes(link.NONCE_SIZE))))
        end.read()
        text = f"\n[ERROR] a lie {next(refusals)} " + "\x1b[2J" * 100
        end.send(link.encode_refused(link.Refusal(2, text)))
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: device.connections > 2 * source_module.MOST_SAID)
        assert len(received.warnings) == source_module.MOST_SAID + 1
        assert all(text.isprintable() and len(text) < 400 for text in received.warnings)
        assert len(received.source._said) == source_module.MOST_SAID + 1


def test_a_fault_of_ours_does_not_end_the_link(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "REFUSED_WAIT", 0.01)
    right, faults = host_link.decode_facts, iter([ValueError("a fault\nof this test")])

    def wrong_once(data: bytes) -> dict[str, str]:
        for fault in faults:
            raise fault
        return right(data)

    monkeypatch.setattr(host_link, "decode_facts", wrong_once)
    with SteadyDevice() as device:
        received = host(device.port)
        eventually(lambda: received.frames)
        (warning,) = [text for text in received.warnings if "fault" in text]
        assert "caused a fault in this node, ValueError: 'a fault\\\\nof this test'" in warning
        assert "please report it" in warning


@pytest.mark.parametrize("speaks_first", [False, True])
def test_a_device_that_says_nothing_more_is_given_up(
    host: Callable[..., Host], speaks_first: bool
) -> None:
    """Half-open: its plug was pulled, and this side was not told."""
    silent_since = []

    def serve(end: DeviceEnd) -> None:
        if speaks_first:
            end.welcome()
            end.answer_pings(3)
        silent_since.append(time.monotonic())
        end.wait_until_left()

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.warnings)
        said_at = received.notices[-1][0]
        assert said_at - silent_since[0] < SOON + BUSY / 2
        expected = "was silent for 1.5 s" if speaks_first else "does not answer"
        assert expected in received.warnings[0]


def test_a_device_that_answers_no_pings_gives_no_faces_and_is_given_up(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNANSWERED_PINGS", 12)

    def serve(end: DeviceEnd) -> None:
        end.welcome()
        while True:
            end.send(link.encode_faces(some_faces(1)._replace(taken_at=end.now())))
            time.sleep(0.05)

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.warnings)
        assert "has not answered 12 times" in received.warnings[0]
        assert received.frames == [], "without its clock no stamp could be right"


@pytest.mark.parametrize("off", [3600.0, 0.5, -3600.0])
def test_frames_with_an_impossible_time_are_dropped_and_counted(
    host: Callable[..., Host], off: float
) -> None:
    def serve(end: DeviceEnd) -> None:
        end.welcome()
        end.answer_pings(5)
        while True:
            end.answer_pings(1)
            taken_at = max(0, end.now() + int(1e6 * off))
            end.send(link.encode_faces(some_faces(1)._replace(taken_at=taken_at)))

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(
            lambda: int(received.source.facts.get("frames with an impossible time", "0")) > 2
        )
        assert received.frames == []


def test_frames_that_are_missing_are_counted(host: Callable[..., Host]) -> None:
    def serve(end: DeviceEnd) -> None:
        end.welcome()
        end.answer_pings(5)
        for number in (2**32 - 2, 2**32 - 1, 3, 4, 10):
            end.send(link.encode_faces(some_faces(number)._replace(taken_at=end.now())))
        while True:
            end.answer_pings(1)

    with DrivenDevice(serve) as device:
        received = host(device.port)
        eventually(lambda: received.source.facts.get("frames lost on the link") == "8")


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Two certificates and their keys, made as the documentation says."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {}
    for name in ("device", "other"):
        certificate, key = folder / f"{name}.pem", folder / f"{name}_key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            + ["-nodes", "-days", "3650", "-subj", "/CN=maixcam", "-keyout", str(key)]
            + ["-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        made[name] = (certificate, key)
    return made


def test_tls_with_the_right_certificate(
    host: Callable[..., Host], certificates: dict[str, tuple[Path, Path]]
) -> None:
    certificate, key = certificates["device"]
    with SteadyDevice(tls=face_server.tls_context(str(certificate), str(key))) as device:
        received = host(device.port, maixcam_certificate=str(certificate), maixcam_jpeg=True)
        eventually(lambda: len(received.frames) > 20 and received.images)
        assert received.source.facts["encrypted"] == "yes"
        errors = [abs(f.taken_at - device.taken_at[f.width - FIRST_WIDTH]) for f in received.frames]
        assert max(errors) < 5e-3


@pytest.mark.parametrize(
    ("device_has", "host_has", "words"),
    [
        ("device", "other", "has another certificate than maixcam_certificate"),
        ("device", "", "does it need TLS"),
        ("", "device", "does it have a certificate too"),
    ],
)
def test_tls_that_does_not_fit_is_said_soon(
    host: Callable[..., Host],
    certificates: dict[str, tuple[Path, Path]],
    device_has: str,
    host_has: str,
    words: str,
) -> None:
    tls = face_server.tls_context(*map(str, certificates[device_has])) if device_has else None
    with SteadyDevice(tls=tls) as device:
        certificate = str(certificates[host_has][0]) if host_has else ""
        received = host(device.port, maixcam_certificate=certificate)
        assert eventually(lambda: received.warnings) < SOON + BUSY
        assert words in received.warnings[0]
        assert received.frames == []


def test_a_certificate_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for path in (wrong, tmp_path / "nowhere.pem"):
        with pytest.raises(SourceError, match="Give the device's certificate in PEM format"):
            Host(1, maixcam_certificate=str(path))


def threads_and_files() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
