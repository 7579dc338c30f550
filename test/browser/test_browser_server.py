"""The browser view's server, without ROS and browser: what it sends, and what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from maix_facemesh_ros.browser.access import Access, AccessError, token_of
from maix_facemesh_ros.browser.server import PAGE, FrameServer, ServerError
from maix_facemesh_ros.parameters import ParameterError, ViewParameters

#: Seconds for what comes at once on a machine that is not busy.
PATIENCE = 30.0
#: Seconds in which what must not come would have come.
SILENCE = 0.3

TOKEN = "a token of this test"


class Served:
    """A running server, the number of its browsers over time, and what has been packed."""

    def __init__(self, token: str | None = None, port: int = 0) -> None:
        self.audience: list[int] = []
        self.packed: list[bytes] = []
        self.server = FrameServer(Access(token, ["robot.example"]), self.audience.append)
        self.server.rate = 1000.0
        self.server.start("127.0.0.1", port)

    def show(self, packet: bytes) -> None:
        def pack() -> bytes:
            self.packed.append(packet)
            return packet

        self.server.show(pack)

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read().decode("utf-8", "replace")

    def give(self, token: str) -> http.client.HTTPResponse:
        """Send the form of the login page."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("/login", "POST", urlencode({"token": token}), **form)[0]

    @asynccontextmanager
    async def connected(self, **headers: str) -> AsyncIterator[WebSocketClientConnection]:
        address = f"ws://127.0.0.1:{self.server.port}/frames"
        connection = await websocket_connect(HTTPRequest(address, headers=headers))
        try:
            yield connection
        finally:
            connection.close()

    def refusal(self, **headers: str) -> int:
        """Return the status with which a connection is refused; 0 if it is not."""

        async def connect() -> int:
            try:
                async with self.connected(**headers):
                    return 0
            except HTTPClientError as error:
                return int(error.code)

        return asyncio.run(connect())


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.server.close()


@pytest.fixture
def guarded() -> Iterator[Served]:
    served = Served(TOKEN)
    yield served
    served.server.close()


async def received(connection: WebSocketClientConnection) -> str | bytes:
    message = await asyncio.wait_for(asyncio.ensure_future(connection.read_message()), PATIENCE)
    assert message is not None, "closed"
    return message


async def frame(connection: WebSocketClientConnection) -> bytes:
    """Return the next frame, past what is said about the topics."""
    while isinstance(message := await received(connection), str):
        pass
    return message


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


# ---- Frames --------------------------------------------------------------------------------------


def test_a_browser_gets_the_latest_when_it_is_ready_and_nothing_queues(served: Served) -> None:
    async def look() -> None:
        async with served.connected() as connection:
            await until(lambda: served.audience == [1])
            for number in range(200):
                served.show(b"frame %d" % number)
            await asyncio.sleep(SILENCE)
            assert served.packed == [], "no client was ready"
            await connection.write_message("ready")
            assert await frame(connection) == b"frame 199"
            for number in range(200, 400):
                served.show(b"frame %d" % number)
                await asyncio.sleep(0)
            await asyncio.sleep(SILENCE)
            await connection.write_message("ready")
            assert await frame(connection) == b"frame 399"
            # The same one again is none.
            await connection.write_message("ready")
            await asyncio.sleep(SILENCE)
            served.show(b"the end")
            assert await frame(connection) == b"the end"

    asyncio.run(look())
    assert served.packed == [b"frame 199", b"frame 399", b"the end"]


def test_browsers_share_the_work_and_a_slow_one_holds_nobody_up(served: Served) -> None:
    async def look() -> None:
        async with (
            served.connected() as quick,
            served.connected() as other,
            served.connected() as slow,
        ):
            await until(lambda: len(served.audience) == 3)
            for connection in (quick, other, slow):
                await connection.write_message("ready")
            # Not all may have been heard when the first frame comes.
            await asyncio.sleep(SILENCE)
            for number in range(20):
                served.show(b"%d" % number)
                for connection in (quick, other):
                    assert await frame(connection) == b"%d" % number
                    await connection.write_message("ready")
                await asyncio.sleep(0.02)
            assert await frame(slow) == b"0"
            await slow.write_message("ready")
            assert await frame(slow) == b"19"
        await until(lambda: served.audience[-1] == 0)

    asyncio.run(look())
    assert served.packed == [b"%d" % number for number in range(20)]
    assert served.audience == [1, 2, 3, 2, 1, 0]


def test_a_frame_that_cannot_be_shown_is_passed_over(served: Served) -> None:
    async def look() -> None:
        async with served.connected() as connection:
            await connection.write_message("ready")
            await asyncio.sleep(SILENCE)
            served.show(b"")
            await until(lambda: served.packed == [b""])
            served.show(b"a good one")
            assert await frame(connection) == b"a good one"

    asyncio.run(look())


def test_no_browser_gets_more_than_the_rate(served: Served) -> None:
    served.server.rate = 20.0

    async def look() -> tuple[int, float]:
        async with served.connected() as connection:
            await until(lambda: served.audience == [1])
            started = time.monotonic()
            showing = threading.Event()

            def show() -> None:
                while not showing.is_set():
                    served.show(b"another")
                    time.sleep(0.002)

            thread = threading.Thread(target=show)
            thread.start()
            for _ in range(15):
                await connection.write_message("ready")
                await frame(connection)
            showing.set()
            thread.join()
            return 15, time.monotonic() - started

    frames, seconds = asyncio.run(look())
    # Two may be ahead of their time.
    assert frames <= 20.0 * seconds + 2


def test_everybody_hears_of_the_topics(served: Served) -> None:
    async def look() -> None:
        async with served.connected() as connection:
            assert await received(connection) == "{}"
            served.server.tell({"trouble": ["no faces"]})
            assert json.loads(await received(connection)) == {"trouble": ["no faces"]}
            async with served.connected() as late:
                assert json.loads(await received(late)) == {"trouble": ["no faces"]}

    asyncio.run(look())


# ---- Who may look --------------------------------------------------------------------------------


def test_the_page_allows_its_own_files_only(served: Served) -> None:
    for path, kind in (("/", "text/html"), ("/main.js", "javascript"), ("/mesh.json", "json")):
        response, text = served.ask(path)
        assert response.status == 200
        assert kind in response.headers["Content-Type"]
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Access-Control-Allow-Origin"] is None
        assert "<script>" not in text


def test_the_page_names_no_other_server() -> None:
    for file in PAGE.iterdir():
        if file.is_file():
            addresses = set(re.findall(r"https?://[\w./]+", file.read_text()))
            assert addresses <= {"http://www.w3.org/2000/svg"}, file


def test_three_js_is_the_published_one() -> None:
    stated = re.findall(r"([0-9a-f]{64})  (\S+)", (PAGE / "three/README.md").read_text())
    assert {name for _, name in stated} == {"three.module.min.js", "three.core.min.js"}
    for digest, name in stated:
        assert hashlib.sha256((PAGE / "three" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/server.py",
        "/three/../../server.py",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/three",
        "/nothing.js",
    ],
)
def test_other_files_are_out_of_reach(served: Served, path: str) -> None:
    response, text = served.ask(path)
    assert response.status in (403, 404)
    assert "import" not in text and "root:" not in text


def test_only_names_of_this_machine_are_answered(served: Served) -> None:
    """A page whose name leads here by its owner's will (DNS rebinding) gets nothing."""
    own = socket.gethostname()
    for host in ("localhost", "127.0.0.1:8478", "[::1]:9", "192.168.1.7", own, "robot.example:1"):
        assert served.ask("/", Host=host)[0].status == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "a@b"):
        response, _ = served.ask("/", Host=host)
        assert response.status in (400, 403), host
    assert "add it to facemesh_view's parameter host_names" in served.ask("/", Host="me.lan")[1]
    assert served.refusal(Host="evil.example") == 403


def test_pages_of_other_origins_cannot_connect(served: Served) -> None:
    port = served.server.port
    assert served.refusal(Origin=f"http://127.0.0.1:{port}") == 0
    for origin in ("http://evil.example", f"http://localhost:{port}", "http://127.0.0.1:1", "null"):
        assert served.refusal(Origin=origin) == 403, origin


def test_without_the_token_there_is_nothing_but_the_way_in(guarded: Served) -> None:
    assert 'name="token"' in guarded.ask("/")[1]
    assert guarded.ask("/mesh.json")[0].status == 401
    assert guarded.refusal() == 401
    assert guarded.refusal(Cookie=f"{guarded.server.cookie}=guessed") == 401
    for wrong in ("", "another", TOKEN[:-1], "ü"):
        refused = guarded.give(wrong)
        assert (refused.status, refused.headers["Location"]) == (303, "./#wrong")
        assert refused.headers["Set-Cookie"] is None

    accepted = guarded.give(TOKEN)
    assert (accepted.status, accepted.headers["Location"]) == (303, "./")
    cookie = accepted.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    session = cookie.split(";")[0]
    assert 'name="token"' not in guarded.ask("/", Cookie=session)[1]
    assert guarded.ask("/mesh.json", Cookie=session)[0].status == 200
    assert guarded.refusal(Cookie=session) == 0

    # It is good for the next server with the same token, and for no other.
    for token, refusal in ((TOKEN, 0), ("a new token", 401)):
        again = Served(token)
        session = f"{again.server.cookie}={session.split('=')[1]}"
        assert again.refusal(Cookie=session) == refusal
        again.server.close()


def test_requests_are_small(served: Served) -> None:
    with suppress(ConnectionError):  # it may not wait until all has been sent
        assert served.ask("/login", "POST", "token=" + "a" * 100_000)[0].status == 400

    async def send() -> None:
        async with served.connected() as connection:
            await connection.write_message("a" * 100_000)
            while await connection.read_message() is not None:
                pass

    asyncio.run(asyncio.wait_for(send(), PATIENCE))


def test_a_port_that_is_taken_is_named(served: Served) -> None:
    with pytest.raises(ServerError, match=rf"port {served.server.port}: Address already in use"):
        Served(port=served.server.port)


# ---- The token and the parameters ----------------------------------------------------------------


def test_a_missing_token_file_is_made_for_this_user_only(tmp_path: Path) -> None:
    file = tmp_path / "ros" / "token"
    token = token_of(file)
    assert len(token) >= 24
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_of(file) == token
    assert token_of(tmp_path / "other") != token


def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(AccessError, match=r"empty is empty: write a token into it"):
        token_of(empty)
    with pytest.raises(AccessError, match="can neither be read nor made"):
        token_of(tmp_path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"address": "0.0.0.0"}, "other machines could see the images"),
        ({"address": "robot"}, "other machines could see the images"),
        ({"token": "a", "token_file": "b"}, "token and token_file are both given"),
        ({"token": "a", "open_to_all": True}, "there is a token and open_to_all is on"),
        ({"port": 70000}, "port is 70000: give 0 to 65535"),
    ],
)
def test_parameters_that_let_in_too_many_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        ViewParameters(**values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"address": "::1"},
        {"address": "localhost"},
        {"address": "0.0.0.0", "token": "a"},
        {"address": "0.0.0.0", "open_to_all": True},
    ],
)
def test_parameters_that_say_who_may_look_are_taken(values: dict[str, Any]) -> None:
    assert ViewParameters(**values).changed(rate=5).rate == 5.0
