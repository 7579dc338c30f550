"""Main program of the app: detects faces on a MaixCAM and sends them to hosts.

The loop takes an image, detects its faces on the NPU and passes both to the server, which sends
them from its own thread.
"""

from __future__ import annotations

import contextlib
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import maix
from maix import app, camera, display, image, sys, time

from face_server import FaceServer, ServerError, tls_context
from maixcam_shared import link
from maixcam_shared.npu_faces import NpuError, NpuFaces
from settings import Settings, SettingsError, read_settings, read_token

if TYPE_CHECKING:
    import ssl

#: Minimum time in microseconds for the server's thread after each image: MaixPy's calls block all
#: other threads.
SHORTEST_REST = 1000

#: Time in microseconds before the next image is due when the loop starts to wait for it.
AHEAD = 4000

#: Number of failures in a row after which the camera is reopened, and milliseconds between two
#: attempts.
FAILURES_UNTIL_REOPENED = 5
REOPEN_INTERVAL = 500

#: Microseconds between two lines about the same fault; the screen shows the last one as long.
TROUBLE_INTERVAL = 10_000_000

#: Microseconds between two updates of addresses, hosts and rate.
STATUS_INTERVAL = 1_000_000

#: Pixels of a letter and of a line in MaixPy's own font at scale 1, and of the edge around them.
LETTER_WIDTH = 10
LINE_HEIGHT = 20
EDGE = 6

#: Images of at least this width in pixels have larger letters.
WIDE = 480
LARGE_LETTERS = 1.5


def main() -> None:
    """Run until the user ends the app; an error that prevents it is shown until then."""
    screen = Screen()
    try:
        serve_faces(screen)
    except (SettingsError, NpuError, ServerError) as error:
        show_until_exit(screen, str(error))
    except Exception as error:
        traceback.print_exc()
        show_until_exit(screen, f"a fault in this app: {type(error).__name__}: {error}")


def serve_faces(screen: Screen) -> None:
    """Find and serve faces until the user ends the app.

    Raises:
        SettingsError: the settings or the token cannot be used.
        NpuError: the networks cannot be used.
        ServerError: no host could connect.
    """
    folder = Path(app.get_app_data_path()).resolve()
    settings = read_settings(folder)
    token = read_token(folder)
    npu = NpuFaces(maix, settings.detector_model, settings.landmarks_model)
    server = FaceServer(
        settings.address,
        settings.port,
        token,
        time.ticks_us,
        facts=npu.facts,
        tls=_tls(settings),
        max_hosts=settings.max_hosts,
        report=say,
    )
    trouble = Trouble()
    images = Images(settings, npu, trouble)
    status = Status(server, token, trouble)
    server.start()
    try:
        while not app.need_exit():
            taken = images.read()
            if taken is not None:
                # Without hosts and drawing, the NPU does not run and the device stays cool.
                if server.hosts or settings.draw_landmarks:
                    find_and_send(taken, npu, server, trouble, draw=settings.draw_landmarks)
                if settings.draw_landmarks:
                    screen.show(taken.pixels, status.lines)
            if status.refresh(images.number) and (taken is None or not settings.draw_landmarks):
                screen.show_text(status.lines)
    finally:
        server.stop()
        images.close()


def find_and_send(
    taken: Taken, npu: NpuFaces, server: FaceServer, trouble: Trouble, *, draw: bool
) -> None:
    """Detect the faces of an image and send them, then the image to hosts that are due for one.

    Args:
        draw: draw the landmarks into the image, after it has been sent.
    """
    pixels, number, taken_at = taken
    try:
        faces = npu.find(pixels, server.wanted())
        size = (pixels.width(), pixels.height())
        server.publish(link.Faces(number, taken_at, *size, *npu.crop_size, faces=faces))
        quality = server.image_due()
        if quality:
            jpeg = pixels.to_jpeg(quality).to_bytes()
            server.publish_image(link.JpegImage(number, taken_at, jpeg))
        if draw:
            npu.draw(pixels, faces)
    except RuntimeError as error:
        # MaixPy's only kind of error. The next image may succeed.
        trouble.say("an image is skipped", error)


class Taken(NamedTuple):
    """An image of the camera."""

    pixels: Any
    #: Counts the images from 1.
    number: int
    #: Microseconds of the device's clock when the camera handed it over.
    taken_at: int


class Images:
    """The camera; it is reopened if it fails repeatedly."""

    def __init__(self, settings: Settings, npu: NpuFaces, trouble: Trouble) -> None:
        """Prepare the camera; the first `read` opens it."""
        #: Number of images so far.
        self.number = 0
        self._settings = settings
        self._size = (settings.camera_width, settings.camera_height)
        if not settings.camera_width:
            self._size = npu.detector_size
        self._format = npu.image_format
        self._trouble = trouble
        self._camera: Any = None
        self._failures = 0
        #: Microseconds between two images, and when the next is due by the device's clock.
        self._interval = 0.0
        self._due_at = 0.0

    def read(self) -> Taken | None:
        """Return the next image, None if there is none; the server's thread runs meanwhile."""
        self._rest()
        try:
            if self._camera is None:
                self._open()
            pixels, taken_at = call_both(self._camera.read, time.ticks_us)
        except RuntimeError as error:
            self._fail(error)
            return None
        if pixels is None:
            return None
        self._failures = 0
        self._due_at = taken_at + self._interval
        self.number += 1
        return Taken(pixels, self.number, taken_at)

    def close(self) -> None:
        """Free the camera."""
        if self._camera is not None:
            with contextlib.suppress(RuntimeError):
                self._camera.close()
            self._camera = None

    def _rest(self) -> None:
        """Wait until shortly before the next image is due, as Python waits: others can run."""
        wait = max(SHORTEST_REST, min(self._due_at - AHEAD - time.ticks_us(), self._interval))
        time.sleep_us(int(wait))

    def _open(self) -> None:
        settings = self._settings
        width, height = self._size
        opened = camera.Camera(width, height, self._format, fps=settings.camera_fps or -1)
        if settings.mirror:
            opened.hmirror(1)
        if settings.flip:
            opened.vflip(1)
        rate = opened.fps()
        self._interval = 1_000_000 / rate if rate > 0 else 0.0
        self._camera = opened

    def _fail(self, error: RuntimeError) -> None:
        self._failures += 1
        if self._camera is None:
            self._trouble.say("the camera cannot be opened", error)
            time.sleep_ms(REOPEN_INTERVAL)
            return
        self._trouble.say("the camera gives no image", error)
        if self._failures >= FAILURES_UNTIL_REOPENED:
            self._failures = 0
            self.close()


class Trouble:
    """Faults that do not end the app."""

    def __init__(self) -> None:
        #: Text on the screen.
        self.text = ""
        self._said_at: dict[str, int] = {}

    def say(self, what: str, error: RuntimeError) -> None:
        """Report a fault, unless the same was reported just before."""
        now = time.ticks_us()
        if what not in self._said_at or now - self._said_at[what] >= TROUBLE_INTERVAL:
            self.text = f"{what}: {words_of(error)}"
            self._said_at[what] = now
            say(self.text)

    def forget(self) -> None:
        """Clear the text if its fault is long ago."""
        now = time.ticks_us()
        if all(now - said_at >= TROUBLE_INTERVAL for said_at in self._said_at.values()):
            self.text = ""


class Status:
    """The lines on the screen: addresses, token, connected hosts, rate and fault."""

    def __init__(self, server: FaceServer, token: str, trouble: Trouble) -> None:
        self.lines: list[str] = []
        self._server = server
        self._token = token
        self._trouble = trouble
        self._addresses: list[str] = []
        self._number = 0
        self._refreshed_at = 0
        # The console as well as the screen is the user's own.
        say(f"token {token}")

    def refresh(self, number: int) -> bool:
        """Update the lines if they are due; returns True if they were.

        Args:
            number: number of images so far.
        """
        now = time.ticks_us()
        if self.lines and now - self._refreshed_at < STATUS_INTERVAL:
            return False
        rate = (number - self._number) * 1_000_000 / max(1, now - self._refreshed_at)
        self._number, self._refreshed_at = number, now
        self._trouble.forget()
        hosts = self._server.hosts
        self.lines = [
            *self._look_up_addresses(),
            f"token {self._token}",
            f"hosts {len(hosts)} {' '.join(sorted(set(hosts)))}",
            f"{rate:.1f} images a second",
            self._trouble.text,
        ]
        return True

    def _look_up_addresses(self) -> list[str]:
        """Return the device's addresses, which change with the Wi-Fi connection."""
        port = self._server.port
        addresses = [f"{address} port {port}" for address in sys.ip_address().values()]
        addresses.append(sys.host_domain())
        if addresses != self._addresses:
            self._addresses = addresses
            say(f"hosts can connect to {' or '.join(addresses)}")
        return addresses


class Screen:
    """The device's screen, if it has one."""

    def __init__(self) -> None:
        self._display: Any = None
        try:
            self._display = display.Display()
        except RuntimeError as error:
            say(f"there is no screen: {words_of(error)}")

    def show(self, pixels: Any, lines: Sequence[str]) -> None:
        """Show an image with text written into it."""
        if self._display is None:
            return
        scale = LARGE_LETTERS if pixels.width() >= WIDE else 1
        columns = int((pixels.width() - 2 * EDGE) / (LETTER_WIDTH * scale))
        rows = [row for line in lines for row in textwrap.wrap(line, columns)]
        for index, row in enumerate(rows):
            y = EDGE + int(index * LINE_HEIGHT * scale)
            pixels.draw_string(EDGE, y, row, image.COLOR_WHITE, scale)
        with contextlib.suppress(RuntimeError):
            self._display.show(pixels)

    def show_text(self, lines: Sequence[str]) -> None:
        """Show text alone."""
        if self._display is not None:
            width, height = self._display.width(), self._display.height()
            self.show(image.Image(width, height, bg=image.COLOR_BLACK), lines)


def show_until_exit(screen: Screen, text: str) -> None:
    """Show why the app cannot run, until the user ends it."""
    say(text)
    screen.show_text([text])
    while not app.need_exit():
        time.sleep_ms(100)


def call_both(first: Callable[[], Any], second: Callable[[], Any]) -> Iterator[Any]:
    """Return an iterator that calls one function immediately after the other.

    Between two lines of Python another waiting thread may take the interpreter, which after `read`
    is likely; a time that is then read is milliseconds late. Here both calls come from C.
    """
    return map(methodcaller("__call__"), (first, second))


def say(text: str) -> None:
    """Write a line on the console, which MaixVision shows."""
    print(text, flush=True)


def words_of(error: RuntimeError) -> str:
    """Return MaixPy's text without its leading colon and trailing line break."""
    return " ".join(str(error).split()).lstrip(" :")


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certificate:
        return None
    return tls_context(settings.certificate, settings.certificate_key)


if __name__ == "__main__":
    main()
