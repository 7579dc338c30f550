"""Pictures from a camera, a URL, a file or a folder, each with the time it was taken.

Two kinds of sources: files and folders end, and give every picture when it is due; cameras and URLs
are live, never end, and give pictures as they come.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2

from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.messages.levels import Levels
from maix_facemesh_ros.sources.files import (
    ImageFile,
    ImageFileError,
    ImageFolder,
    next_frame,
    open_image_file,
)

#: Seconds without a picture after which a live source counts as stalled.
STALL = 3.0

#: Seconds that FFMPEG may take to open a URL (name, connection, first pictures), and to wait for a
#: picture before the URL is opened again: a connection whose other end was switched off looks like
#: one that is slow.
OPEN_TIMEOUT = 10.0
READ_TIMEOUT = 5.0

#: Seconds between two attempts to open a live source: the first, and the longest.
FIRST_WAIT = 0.5
LONGEST_WAIT = 5.0

#: What FFMPEG reads from, without what has no pictures or is a file. A misspelt scheme could
#: otherwise not be told from a camera that is still switched off.
URL_SCHEMES = (
    *("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "srtp", "udp", "tcp", "tls"),
    *("srt", "rist", "hls", "mmsh", "mmst", "ftp", "sftp", "unix"),
)

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class SourceError(RuntimeError):
    """A source cannot be opened or gives no pictures; the message names it."""


@dataclass(frozen=True, slots=True, eq=False)
class SourcePicture:
    """One picture of a source."""

    #: uint8 (H, W, 3).
    picture: Picture
    #: Seconds on `time.monotonic`'s clock: when a live source's picture was read, when a file's is
    #: due.
    taken_at: float
    #: Channels are blue, green, red; otherwise red, green, blue.
    is_bgr: bool = True
    #: Of a 16-bit image: which of its values have become black and white.
    levels: Levels | None = None

    @property
    def bgr(self) -> Picture:
        """The picture with its channels as blue, green, red."""
        return self.picture if self.is_bgr else self.picture[:, :, ::-1]


@dataclass(frozen=True, slots=True)
class SourceNotice:
    """What a user should know of a source while it runs; no password is in it."""

    text: str
    #: Whether something is wrong, rather than right again.
    warning: bool


Report = Callable[[SourceNotice], None]


class PictureSource(Protocol):
    """Where pictures come from."""

    #: The source as it may be shown: a URL without password.
    name: str
    #: Pictures come when they come and not when they are asked for, so one that waits gets old.
    is_live: bool

    def pictures(self) -> Iterator[SourcePicture]:
        """Give the pictures until the source ends or is closed; to be iterated once, in one thread.

        Raises:
            SourceError: nothing in it can be read after all.
        """
        ...

    def close(self) -> None:
        """Give no more pictures, from any thread; one that is being read is still waited for."""
        ...


def open_source(
    source: str, *, loop: bool = False, report: Report = lambda _notice: None
) -> PictureSource:
    """Open a source of pictures.

    Args:
        source: number or path of a camera (`0`, `/dev/video0`), URL, path of a picture or video
            file, or of a folder of pictures; `maix`: the camera of the MaixCAM that this runs on.
        loop: start a file or folder again at its end.
        report: is told of what goes wrong while the source runs, and when it is right again; called
            from the source's threads.

    Raises:
        SourceError: there is no such source, or nothing in it that can be read.
    """
    if source == "maix":
        # Imported here, because a MaixCAM is the only place where this can be.
        from maix_facemesh_ros.backends.maix.camera import MaixCamera

        return MaixCamera(report)
    if url := _URL.match(source):
        _check_scheme(source, url.group(1).lower())
        return LiveSource(source, report)
    if source.isascii() and source.isdigit():
        return LiveSource(source, report)
    path = Path(source)
    try:
        if path.is_dir() or path.is_file():
            return FileSource(source, open_image_file(path), loop, report)
    except ImageFileError as error:
        raise SourceError(f"source {source!r} cannot be opened: {error}") from error
    except OSError as error:
        raise SourceError(f"source {source!r} cannot be read: {error.strerror}") from error
    if source.startswith("/dev/"):
        return LiveSource(source, report)
    raise SourceError(
        f"source {source!r} is neither a camera (such as 0 or /dev/video0) nor a file, a folder or "
        "a URL (such as rtsp://...)"
    )


def public_name(source: str) -> str:
    """Return a source as it may be shown: a URL without its user, password and values.

    Cameras take passwords in front of the host, in the query, and even in the path
    (`/user=admin_password=secret`). A password may itself hold a `/` or `@`, so everything up to
    the last `@` is taken away: better too much than too little.
    """
    url = _URL.match(source)
    if url is None:
        return source
    rest = re.sub(r"^.+@", "***@", source[url.end() :], flags=re.DOTALL)
    return url.group() + re.sub(r"([?=]).+", r"\1***", rest, flags=re.DOTALL)


def _check_scheme(source: str, scheme: str) -> None:
    if scheme not in URL_SCHEMES:
        known = f"known are {', '.join(URL_SCHEMES)}"
        hint = "give the file's path instead" if scheme == "file" else known
        raise SourceError(f"source {public_name(source)!r} starts with {scheme}://: {hint}")
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getBackends():
        raise SourceError(
            f"source {public_name(source)!r} cannot be opened: this OpenCV is built without "
            "FFMPEG, which reads URLs"
        )


class FileSource:
    """An image file, a video file or a folder: every image, each when it is due."""

    is_live = False

    def __init__(self, name: str, file: ImageFile, loop: bool, report: Report) -> None:
        self.name = name
        self._file = file
        self._loop = loop
        self._report = report
        self._named: set[str] = set()
        self._closing = threading.Event()

    def pictures(self) -> Iterator[SourcePicture]:
        """Give the images at the times of the file until it ends or is closed.

        Raises:
            SourceError: no image in it can be read.
        """
        start = time.monotonic()
        for seconds, picture, levels in self._all_images():
            due = start + seconds
            if self._closing.wait(max(0.0, due - time.monotonic())):
                return
            yield SourcePicture(picture, due, levels=levels)
        if not self._closing.is_set():
            self._file.close()

    def close(self) -> None:
        """Give no more images, from any thread."""
        self._closing.set()

    def _all_images(self) -> Iterator[tuple[float, Picture, Levels | None]]:
        """Give the images with the seconds from the first one, in a loop if that is wanted."""
        begin = 0.0
        if isinstance(self._file, ImageFolder):
            for path in self._file.others:
                self._name_once(f"{str(path)!r} is no image that OpenCV can read")
        while True:
            skipped = given = 0
            seconds = 0.0
            for image in self._file.images():
                if image.image is None:
                    skipped += 1
                    if isinstance(self._file, ImageFolder):
                        self._name_once(image.error)
                    continue
                given += 1
                seconds = image.seconds
                yield begin + seconds, image.image, image.levels
            if not given:
                raise SourceError(f"source {self.name!r} holds no picture that can be read")
            if skipped and not isinstance(self._file, ImageFolder):
                self._name_once(f"source {self.name!r}: {skipped} frames that cannot be decoded")
            if not self._loop:
                return
            begin += seconds + self._file.interval

    def _name_once(self, what: str) -> None:
        if what not in self._named:
            self._named.add(what)
            self._report(SourceNotice(f"{what}; skipped", warning=True))


class LiveSource:
    """A camera or a URL: pictures as they come.

    It may end, stall or vanish: it says so once, and is opened again until it is back. A stream
    that changes the size of its pictures on the way is scaled to its first size, by OpenCV.
    """

    is_live = True

    def __init__(self, source: str, report: Report) -> None:
        """Open a camera; a URL is opened by `pictures`.

        A camera that is not there at the start is refused: most likely its number is wrong. A URL
        is tried for as long as it takes, because a network camera that still starts looks like one
        that does not exist, and because opening one may take longer than a start should.

        Raises:
            SourceError: there is no such camera, or it cannot be opened.
        """
        self.name = public_name(source)
        self._source = source
        self._is_url = _URL.match(source) is not None
        self._closing = threading.Event()
        self._watchdog = Watchdog(self.name, report)
        self._opened: cv2.VideoCapture | None = None
        if not self._is_url:
            self._opened = self._open()
            if self._opened is None:
                raise SourceError(
                    f"source {source!r} cannot be opened: is the camera there, free, and may you "
                    "read it (group 'video')?"
                )

    def pictures(self) -> Iterator[SourcePicture]:
        """Give the pictures as they come, until the source is closed; a read can block meanwhile.

        Only this thread touches the camera or connection: OpenCV has no way to end a read from
        another one.
        """
        self._watchdog.start(self._closing)
        wait = FIRST_WAIT
        while not self._closing.is_set():
            lasted = yield from self._pictures_until_lost()
            # One that breaks down over and over is not opened twice a second.
            if lasted > LONGEST_WAIT:
                wait = FIRST_WAIT
            self._closing.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def close(self) -> None:
        """Give no more pictures, from any thread; a read that blocks is not interrupted."""
        self._closing.set()

    def _pictures_until_lost(self) -> Generator[SourcePicture, None, float]:
        """Give pictures until there are no more; returns for how many seconds there were any."""
        video, self._opened = self._opened or self._open(), None
        if video is None:
            self._watchdog.lost("cannot be opened")
            return 0.0
        number = 0
        opened_at = taken_at = time.monotonic()
        try:
            while not self._closing.is_set():
                picture = next_frame(video)
                if picture is None:
                    self._watchdog.lost(f"has ended after {number} pictures")
                    break
                number += 1
                taken_at = time.monotonic()
                self._watchdog.picture_came(taken_at)
                yield SourcePicture(picture, taken_at)
        finally:
            video.release()
        return taken_at - opened_at

    def _open(self) -> cv2.VideoCapture | None:
        video = _open_url(self._source) if self._is_url else _open_camera(self._source)
        return video if video.isOpened() else None


def _open_camera(source: str) -> cv2.VideoCapture:
    video = cv2.VideoCapture(int(source) if source.isdigit() else source)
    # The driver's queue would hand out pictures that are already old.
    video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return video


def _open_url(url: str) -> cv2.VideoCapture:
    # FFMPEG by name: other backends of OpenCV have no timeouts, and print the URL with its password
    # when they cannot open it.
    parameters = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * OPEN_TIMEOUT)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * READ_TIMEOUT)),
    ]
    if hasattr(cv2, "CAP_PROP_N_THREADS"):  # OpenCV 4.6
        # FFMPEG decodes as many pictures at once as it has threads, and holds each back until the
        # next ones have come: with 8 threads and 25 pictures a second, 0.28 s.
        parameters += [cv2.CAP_PROP_N_THREADS, 1]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, parameters)


class Watchdog:
    """Says once when a live source gives no more pictures, and once when it does again."""

    #: Seconds between two looks.
    INTERVAL = 0.1

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._last_picture_at = 0.0
        self._lost = False

    def start(self, closing: threading.Event) -> None:
        """Look after the source until it is closed, because the thread that reads it can block."""
        self._closing = closing
        self._last_picture_at = time.monotonic()
        threading.Thread(target=self._watch, name="source watchdog", daemon=True).start()

    def picture_came(self, taken_at: float) -> None:
        """Note a picture; if the source was lost, say that it is back."""
        with self._lock:
            gap, self._last_picture_at = taken_at - self._last_picture_at, taken_at
            if self._lost:
                self._lost = False
                text = f"source {self._name!r} gives pictures again, after {gap:.1f} s without"
                self._report(SourceNotice(text, warning=False))

    def lost(self, why: str) -> None:
        """Say that the source gives no pictures, unless that has been said."""
        with self._lock:
            self._say_lost(why)

    def _watch(self) -> None:
        while not self._closing.wait(self.INTERVAL):
            with self._lock:
                silence = time.monotonic() - self._last_picture_at
                if silence >= STALL:
                    self._say_lost(f"has given no picture for {silence:.1f} s")

    def _say_lost(self, why: str) -> None:
        if not self._lost and not self._closing.is_set():
            self._lost = True
            text = f"source {self._name!r} {why}; trying again until it gives pictures"
            self._report(SourceNotice(text, warning=True))
