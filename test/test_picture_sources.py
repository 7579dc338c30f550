"""Pictures from files and cameras, each with its time."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.picture_sources import PictureSource, SourceError, SourcePicture

RATE = 50.0
FRAMES = 5
SIZE = (64, 48)


def picture() -> Picture:
    """Blue, green and red differ, left and right differ."""
    bgr = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    bgr[:, :] = (200, 100, 50)
    bgr[:, :20] = (0, 0, 250)
    return bgr


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    assert cv2.imwrite(str(path), picture())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Frame n is grey with brightness 40 n."""
    path = tmp_path / "faces.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, SIZE)
    assert writer.isOpened()
    for number in range(FRAMES):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 40 * number, np.uint8))
    writer.release()
    return path


def first(path: Path, count: int, loop: bool = False) -> list[SourcePicture]:
    """Read up to `count` pictures."""
    source = PictureSource(str(path), loop=loop)
    pictures = list(islice(source.pictures(), count))
    source.close()
    return pictures


def brightness(pictures: list[SourcePicture]) -> list[int]:
    return [round(float(picture.bgr.mean()) / 40) for picture in pictures]


def test_picture_file_gives_its_picture_once(still: Path) -> None:
    (only,) = first(still, count=3)
    assert only.bgr.dtype == np.uint8
    np.testing.assert_array_equal(only.bgr, picture())


def test_picture_file_in_a_loop_gives_it_at_30_hertz(still: Path) -> None:
    pictures = first(still, count=4, loop=True)
    assert len(pictures) == 4
    np.testing.assert_allclose(np.diff([p.taken_at for p in pictures]), 1 / 30, atol=1e-9)


def test_picture_file_that_is_grey_has_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((8, 9), 77, np.uint8))
    assert first(path, count=1)[0].bgr.shape == (8, 9, 3)


def test_video_file_gives_its_frames_in_order_and_ends(video: Path) -> None:
    assert brightness(first(video, count=100)) == list(range(FRAMES))


def test_video_file_in_a_loop_starts_again(video: Path) -> None:
    pictures = first(video, count=2 * FRAMES + 2, loop=True)
    assert brightness(pictures) == [*range(FRAMES), *range(FRAMES), 0, 1]
    np.testing.assert_allclose(np.diff([p.taken_at for p in pictures]), 1 / RATE, atol=1e-9)


def test_video_file_plays_at_its_own_rate(video: Path) -> None:
    start = time.monotonic()
    pictures = first(video, count=FRAMES)
    took = time.monotonic() - start
    np.testing.assert_allclose(np.diff([p.taken_at for p in pictures]), 1 / RATE, atol=1e-9)
    assert start <= pictures[0].taken_at <= start + took
    assert took >= (FRAMES - 1) / RATE


def test_picture_is_given_when_it_is_due(video: Path) -> None:
    source = PictureSource(str(video))
    for item in source.pictures():
        assert time.monotonic() >= item.taken_at
    source.close()


def test_source_knows_whether_it_is_a_camera(still: Path) -> None:
    assert PictureSource(str(still)).is_camera is False


def test_file_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"'nowhere\.mp4' is neither a camera .* nor a file"):
        PictureSource("nowhere.mp4")


def test_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"neither a camera .* nor a file"):
        PictureSource(str(tmp_path))


def test_file_that_is_no_picture_and_no_video(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("no pixels here\n" * 100)
    with pytest.raises(SourceError, match=r"notes\.json.* no picture and no video"):
        PictureSource(str(path))


def test_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"'/dev/video987' cannot be opened: is the camera there"):
        PictureSource("/dev/video987")


@pytest.mark.parametrize("kept", [20, 60, 100])
def test_picture_file_that_is_cut_short(still: Path, kept: int) -> None:
    still.write_bytes(still.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"face\.png"):
        PictureSource(str(still))
