"""Images from files, folders, cameras and URLs, each with its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.sources import base, live
from maix_facemesh_ros.sources.base import SourceError, SourceNotice
from maix_facemesh_ros.sources.files import ASSUMED_RATE
from maix_facemesh_ros.sources.names import public_name
from maix_facemesh_ros.sources.open import open_source
from mjpeg_server import MjpegServer

RATE = 50.0
FRAMES = 5
SIZE = (64, 48)
TIMEOUT = 20.0


def image() -> Pixels:
    """Blue, green and red differ, left and right differ."""
    bgr = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    bgr[:, :] = (200, 100, 50)
    bgr[:, :20] = (0, 0, 250)
    return bgr


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    assert cv2.imwrite(str(path), image())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Frame n is gray with brightness 40 n."""
    path = tmp_path / "faces.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, SIZE)
    assert writer.isOpened()
    for number in range(FRAMES):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 40 * number, np.uint8))
    writer.release()
    return path


def first(path: Path, count: int, loop: bool = False) -> list[Image]:
    """Read up to `count` images."""
    source = open_source(str(path), loop=loop)
    images = list(islice(source.images(), count))
    source.close()
    return images


def brightness(images: list[Image]) -> list[int]:
    return [round(float(image.bgr.mean()) / 40) for image in images]


def test_image_file_gives_its_image_once(still: Path) -> None:
    (only,) = first(still, count=3)
    assert only.bgr.dtype == np.uint8
    np.testing.assert_array_equal(only.bgr, image())


def test_image_file_in_a_loop_gives_it_at_30_hertz(still: Path) -> None:
    images = first(still, count=4, loop=True)
    assert len(images) == 4
    np.testing.assert_allclose(np.diff([p.stamp.seconds for p in images]), 1 / 30, atol=1e-9)


def test_image_file_that_is_gray_has_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "gray.png"
    cv2.imwrite(str(path), np.full((8, 9), 77, np.uint8))
    assert first(path, count=1)[0].bgr.shape == (8, 9, 3)


def test_video_file_gives_its_frames_in_order_and_ends(video: Path) -> None:
    assert brightness(first(video, count=100)) == list(range(FRAMES))


def test_video_file_in_a_loop_starts_again(video: Path) -> None:
    images = first(video, count=2 * FRAMES + 2, loop=True)
    assert brightness(images) == [*range(FRAMES), *range(FRAMES), 0, 1]
    np.testing.assert_allclose(np.diff([p.stamp.seconds for p in images]), 1 / RATE, atol=1e-9)


def test_video_file_plays_at_its_own_rate(video: Path) -> None:
    start = time.monotonic()
    images = first(video, count=FRAMES)
    took = time.monotonic() - start
    np.testing.assert_allclose(np.diff([p.stamp.seconds for p in images]), 1 / RATE, atol=1e-9)
    assert start <= images[0].stamp.seconds <= start + took
    assert took >= (FRAMES - 1) / RATE


def test_image_is_given_when_it_is_due(video: Path) -> None:
    source = open_source(str(video))
    for item in source.images():
        assert time.monotonic() >= item.stamp.seconds
    source.close()


def test_file_stops_at_once_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 0.02, SIZE)
    for _ in range(2):
        writer.write(image())
    writer.release()
    source = open_source(str(path))
    images = source.images()
    next(images)
    threading.Timer(0.2, source.close).start()
    start = time.monotonic()
    assert list(images) == []
    assert time.monotonic() - start < TIMEOUT < 1 / 0.02


def test_file_is_not_live(still: Path) -> None:
    assert open_source(str(still)).is_live is False


def test_file_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"'nowhere\.mp4' is neither a camera .* nor a file"):
        open_source("nowhere.mp4")


def test_file_that_is_no_image_and_no_video(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("no pixels here\n" * 100)
    with pytest.raises(SourceError, match=r"notes\.json.* is not an image or video"):
        open_source(str(path))


def test_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"'/dev/video987' cannot be opened: is the camera there"):
        open_source("/dev/video987")


def test_camera_number_that_is_not_there_beside_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "987").write_bytes(cv2.imencode(".png", image())[1].tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"'987' cannot be opened: is the camera there"):
        open_source("987")


@pytest.mark.parametrize("kept", [20, 60, 100])
def test_image_file_that_is_cut_short(still: Path, kept: int) -> None:
    still.write_bytes(still.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"face\.png"):
        open_source(str(still))


def gray(brightness: int, size: tuple[int, int] = SIZE) -> Pixels:
    return np.full((size[1], size[0], 3), 40 * brightness, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images, brightness 1 to 4 in natural order, each of its own size; a note and a mess.

    face3 is cut short, and the notes are no image; the subfolder is not looked into.
    """
    folder = tmp_path / "images"
    (folder / "old").mkdir(parents=True)
    names = ("Face1.png", "face2.jpg", "face10.png", "face11.bmp")
    for number, name in enumerate(names, start=1):
        assert cv2.imwrite(str(folder / name), gray(number, (60 + number, 40)))
    (folder / "face3.png").write_bytes((folder / "face10.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("the light was bad")
    assert cv2.imwrite(str(folder / "old" / "face0.png"), gray(5))
    return folder


def test_folder_gives_its_images_in_natural_order_at_30_hertz(folder: Path) -> None:
    images = first(folder, count=100)
    assert brightness(images) == [1, 2, 3, 4]
    assert [p.bgr.shape[1] for p in images] == [61, 62, 63, 64]
    # The damaged one keeps its place, as in `facemesh_bag`.
    intervals = np.diff([p.stamp.seconds for p in images]) * ASSUMED_RATE
    np.testing.assert_allclose(intervals, [1, 2, 1])


def test_folder_names_what_is_no_image_once(folder: Path) -> None:
    notices: list[SourceNotice] = []
    source = open_source(str(folder), loop=True, report=notices.append)
    images = list(islice(source.images(), 9))
    assert brightness(images) == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert [notice.warning for notice in notices] == [True, True]
    for notice, name in zip(notices, ("notes.txt", "face3.png"), strict=True):
        assert name in notice.text
        assert notice.text.endswith("; skipped")


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"nothing to see"}])
def test_folder_without_a_image(tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match="is a folder without an image in it"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("name", ["x.mcap", "bag/bag_0.mcap", "bag/bag_0.db3.zstd"])
def test_a_bag_is_no_source_but_other_programs_read_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\x89MCAP0\r\n")
    bag = file if file.parent == tmp_path else file.parent
    with pytest.raises(SourceError, match="it is a bag: facemesh_bag"):
        open_source(str(bag))


def test_folder_with_damaged_images_only(tmp_path: Path, still: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "a.png").write_bytes(still.read_bytes()[:60])
    source = open_source(str(damaged))
    with pytest.raises(SourceError, match="holds no image that can be read"):
        next(source.images())


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://camera:554/stream1", "rtsp://camera:554/stream1"),
        ("rtsp://admin:secret@camera/stream1", "rtsp://***@camera/stream1"),
        ("rtsp://admin:se@cr/et#?@camera/stream1", "rtsp://***@camera/stream1"),
        ("http://camera/video.cgi?usr=admin&pwd=secret", "http://camera/video.cgi?***"),
        ("rtsp://camera/user=admin_password=secret_stream=0.sdp", "rtsp://camera/user=***"),
        ("http://camera/?pwd=se\ncret", "http://camera/?***"),
        ("udp://@239.0.0.1:1234", "udp://@239.0.0.1:1234"),
        ("/dev/video0", "/dev/video0"),
        ("films/a=b?@home.mp4", "films/a=b?@home.mp4"),
    ],
)
def test_password_is_not_shown(source: str, shown: str) -> None:
    assert public_name(source) == shown


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "rstp://me:secret@camera/1",
            r"'rstp://\*\*\*@camera/1' starts with rstp://: known are rtsp, ",
        ),
        ("gopher://camera", r"starts with gopher://: known are rtsp, rtsps, http"),
        ("file:///home/me/face.mp4", r"starts with file://: give the file's path instead"),
    ],
)
def test_url_of_a_kind_that_does_not_exist(source: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        open_source(source)
    assert "secret" not in str(raised.value)


class Reading:
    """A live source that is read in a thread, as the node does."""

    def __init__(self, source: str) -> None:
        self.notices: list[SourceNotice] = []
        self.latest: Image | None = None
        self.count = 0
        self._source = open_source(source, report=self.notices.append)
        assert self._source.is_live
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for item in self._source.images():
            self.latest = item
            self.count += 1

    def wait_for_notices(self, count: int) -> list[str]:
        """Wait for some notices, and return the text of the warnings and of the others."""
        wait_until(lambda: len(self.notices) >= count, f"{count} notices: {self.notices}")
        assert [notice.warning for notice in self.notices] == [
            number % 2 == 0 for number in range(count)
        ], self.notices
        return [notice.text for notice in self.notices]

    def wait_for_images(self, count: int = 3) -> Image:
        """Wait for this number of further images, and return the latest."""
        enough = self.count + count
        wait_until(lambda: self.count >= enough, "images")
        assert self.latest is not None
        return self.latest

    def stop(self) -> None:
        self._source.close()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"no {what} within {TIMEOUT:.0f} s"
        time.sleep(0.01)


@pytest.fixture
def camera() -> Iterator[MjpegServer]:
    """A network camera that is switched on."""
    camera = MjpegServer(image())
    camera.start()
    yield camera
    camera.switch_off()


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes seconds takes less."""
    monkeypatch.setattr(base, "STALL", 0.5)
    monkeypatch.setattr(live, "READ_TIMEOUT", 1.5)
    monkeypatch.setattr(live, "OPEN_TIMEOUT", 1.5)
    monkeypatch.setattr(live, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(live, "LONGEST_WAIT", 0.4)


def test_url_gives_images_under_the_time_they_were_read(camera: MjpegServer) -> None:
    source = open_source(camera.url)
    before = time.monotonic()
    for item in islice(source.images(), 5):
        assert before < item.stamp.seconds <= time.monotonic()
        before = item.stamp.seconds
        np.testing.assert_allclose(item.bgr[:, 30:], image()[:, 30:], atol=8)
    source.close()
    assert list(source.images()) == []


def test_url_whose_images_change_their_size_goes_on(camera: MjpegServer) -> None:
    reading = Reading(camera.url)
    reading.wait_for_images()
    camera.show(gray(5, (80, 60)))
    wait_until(lambda: brightness([reading.wait_for_images(1)]) == [5], "other image")
    assert reading.wait_for_images().bgr.shape == (SIZE[1], SIZE[0], 3)
    assert reading.notices == []
    reading.stop()


@pytest.mark.usefixtures("impatience")
def test_url_that_ends_and_comes_back() -> None:
    camera = MjpegServer(image())
    camera.start()
    reading = Reading(camera.url)
    reading.wait_for_images()

    camera.switch_off()
    (ended,) = reading.wait_for_notices(1)
    assert ended.startswith(f"source '{camera.url}' has ended after {reading.count} images; ")
    assert "trying again" in ended

    again = MjpegServer(image(), port=camera.server_port)
    again.start()
    reading.wait_for_images()
    _, back = reading.wait_for_notices(2)
    assert back.startswith(f"source '{camera.url}' gives images again, after ")
    reading.stop()
    again.switch_off()
    assert len(reading.notices) == 2


@pytest.mark.usefixtures("impatience")
def test_url_that_stalls_and_goes_on(camera: MjpegServer) -> None:
    reading = Reading(camera.url)
    reading.wait_for_images()

    camera.streaming.clear()
    (stalled,) = reading.wait_for_notices(1)
    assert stalled.startswith(f"source '{camera.url}' has given no image for 0.")

    # Long enough for the connection to be given up: the camera is asked once more.
    wait_until(lambda: camera.connections >= 2, "second connection")
    camera.streaming.set()
    reading.wait_for_images()
    reading.wait_for_notices(2)
    reading.stop()
    assert len(reading.notices) == 2


@pytest.mark.usefixtures("impatience")
def test_url_of_a_camera_that_is_switched_on_later() -> None:
    camera = MjpegServer(image())
    camera.server_close()
    reading = Reading(camera.url)
    (missing,) = reading.wait_for_notices(1)
    assert missing.startswith(f"source '{camera.url}' cannot be opened; trying again")

    later = MjpegServer(image(), port=camera.server_port)
    later.start()
    reading.wait_for_images()
    reading.wait_for_notices(2)
    reading.stop()
    later.switch_off()


@pytest.mark.usefixtures("impatience")
def test_url_with_a_password_that_is_needed_and_not_shown() -> None:
    camera = MjpegServer(image(), password="secret")
    camera.start()
    reading = Reading(camera.url.replace("://", "://robot:secret@"))
    reading.wait_for_images()
    camera.switch_off()
    (ended,) = reading.wait_for_notices(1)
    assert "secret" not in ended
    assert "://***@127.0.0.1" in ended
    reading.stop()


def test_url_is_closed_at_once_while_it_waits_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 10 * TIMEOUT)
    camera = MjpegServer(image())
    camera.server_close()
    reading = Reading(camera.url)
    reading.wait_for_notices(1)
    reading.stop()


@pytest.mark.usefixtures("impatience")
def test_waits_get_longer_and_short_again_once_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose images last for no time three times, a moment, long, a moment.

    It stands in for a USB camera that is pulled out and put back, which no test can do.
    """
    lives = [0.0, 0.0, 0.0, 0.1, 0.6, 0.1]
    ends: list[float] = []
    openings: list[float] = []

    class Camera:
        def __init__(self, _source: str) -> None:
            openings.append(time.monotonic())
            # The first is opened before anyone asks for images.
            self.end = openings[-1] + dict(enumerate(lives, start=1)).get(len(openings), 0.0)

        def isOpened(self) -> bool:  # noqa: N802
            return len(openings) <= len(lives)

        def set(self, _key: int, _value: float) -> bool:
            return False

        def grab(self) -> bool:
            time.sleep(0.01)
            return time.monotonic() < self.end

        def retrieve(self) -> tuple[bool, Pixels]:
            return True, image()

        def release(self) -> None:
            ends.append(time.monotonic())

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    reading = Reading("/dev/video987")
    wait_until(lambda: len(openings) > len(lives), "openings")
    reading.stop()
    waits = np.subtract(openings[1:], ends[: len(lives)])
    expected = [0.1, 0.2, 0.4, 0.4, 0.1, 0.2]
    assert (waits >= np.subtract(expected, 0.01)).all(), waits
    # A busy machine may wait longer, but not so much that it is another wait.
    assert waits[4] < waits[3]
    assert "has ended after 0 images" in reading.notices[0].text
    assert [notice.warning for notice in reading.notices[:5]] == [True, False, True, False, True]
