"""Images in files: the same for the node and the tools, at the times of the container."""

from __future__ import annotations

import csv
import resource
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.offline.main import main
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import RecordedImage, Recording
from maix_facemesh_ros.sources.base import SourceNotice
from maix_facemesh_ros.sources.files import (
    AnimationFile,
    FileImage,
    ImageFileError,
    StillFile,
    VideoFile,
    open_image_file,
)
from maix_facemesh_ros.sources.open import open_source
from recorded_bags import scene

VIDEOS = Path(__file__).parents[1] / "data" / "videos"
LYING = VIDEOS / "frame_count_of_4294967295.avi"

#: Milliseconds of the frames of an animation.
DURATIONS = (100, 200, 100, 300, 100)

needs_animations = pytest.mark.skipif(
    not hasattr(cv2, "imwriteanimation"), reason="OpenCV 4.11 and newer write animations"
)


def good(images: Sequence[FileImage]) -> list[FileImage]:
    return [image for image in images if image.image is not None]


def images_of(path: Path) -> list[FileImage]:
    file = open_image_file(path)
    images = list(file.images())
    assert [image.seconds for image in file.images()] == [image.seconds for image in images]
    file.close()
    return images


def recorded(path: Path) -> list[RecordedImage]:
    recording = open_recording(path)
    images = all_of(recording)
    recording.close()
    return images


def all_of(recording: Recording) -> list[RecordedImage]:
    return [
        each for each in recording.images(recording.cameras[0]) if isinstance(each, RecordedImage)
    ]


def animation(path: Path) -> Path:
    animated = cv2.Animation()
    animated.frames = [np.full((24, 32, 3), 40 * n + 20, np.uint8) for n in range(len(DURATIONS))]
    animated.durations = np.array(DURATIONS)  # type: ignore[assignment]
    assert cv2.imwriteanimation(str(path), animated)
    return path


def test_a_variable_rate_keeps_the_times_of_the_container() -> None:
    images = images_of(VIDEOS / "vfr.mp4")
    assert len(good(images)) == len(images) == 60
    assert images[30].seconds == pytest.approx(1.0, abs=1e-6)
    assert images[-1].seconds == pytest.approx(6.8, abs=1e-6)
    log_times = [image.log_time for image in recorded(VIDEOS / "vfr.mp4")]
    assert (log_times[30], log_times[-1]) == (1_000_000_000, 6_800_000_000)


@pytest.mark.parametrize(("name", "count"), [("g10_bad.mp4", 59), ("corrupt.mp4", 58)])
def test_a_damaged_frame_is_skipped_and_counted_and_reading_goes_on(name: str, count: int) -> None:
    images = images_of(VIDEOS / name)
    assert (len(images), len(good(images))) == (60, count)
    assert all(before.seconds <= after.seconds for before, after in pairwise(images))
    assert good(images)[-1].seconds == pytest.approx(59 / 30, abs=1e-6)
    damaged = 0
    for image in recorded(VIDEOS / name):
        try:
            image.read()
        except ImageError as error:
            damaged += 1
            assert str(error) == "the frame cannot be decoded"
    assert damaged == 60 - count


def test_the_frame_count_of_a_header_takes_no_memory(tmp_path: Path) -> None:
    """14 frames of 4294967295: all tools and the node read them, in less than 300 MB more."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(good(images_of(LYING))) == 14
    recording = open_recording(LYING)
    assert len(recording.log_times(recording.cameras[0])) == 14
    assert len(all_of(recording)) == 14
    recording.close()
    assert main([str(LYING), "-o", str(tmp_path / "a.csv"), "--quiet", "--workers", "1"]) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@needs_animations
@pytest.mark.parametrize("kind", ["gif", "png", "webp", "avif"])
def test_an_animation_is_a_video_for_the_node_and_for_the_tools(kind: str, tmp_path: Path) -> None:
    path = animation(tmp_path / f"animation.{kind}")
    expected = np.cumsum([0, *DURATIONS[:-1]]) / 1000
    images = images_of(path)
    np.testing.assert_allclose([image.seconds for image in images], expected, atol=1e-6)
    shown = [round((float(image.image.mean()) - 20) / 40) for image in good(images)]  # type: ignore[union-attr]
    assert shown == [0, 1, 2, 3, 4]

    of_tools = recorded(path)
    times = [image.log_time / 1e9 for image in of_tools]
    np.testing.assert_allclose(times, expected, atol=1e-6)
    source = open_source(str(path))
    taken = list(source.images())
    due = np.array([image.stamp.seconds for image in taken])
    np.testing.assert_allclose(due - due[0], expected, atol=1e-6)
    for image, of_tool, of_node in zip(images, of_tools, taken, strict=True):
        np.testing.assert_array_equal(of_tool.read().pixels, image.image)
        np.testing.assert_array_equal(of_node.bgr, image.image)


@needs_animations
def test_a_long_animation_is_read_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = animation(tmp_path / "animation.webp")
    whole = [image.seconds for image in images_of(path)]
    monkeypatch.setattr("maix_facemesh_ros.sources.files.PIXELS_AT_ONCE", 2 * 24 * 32)
    assert [image.seconds for image in images_of(path)] == whole


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_one_image_is_no_video(kind: str, tmp_path: Path) -> None:
    """Not even one of many with numbers in their names, which OpenCV takes for a video."""
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"face_{number}.{kind}"), np.zeros((8, 8, 3), np.uint8))
    path = tmp_path / f"face_1.{kind}"
    assert isinstance(open_image_file(path), StillFile)
    assert not open_recording(path).is_stream
    assert len(recorded(path)) == 1


def test_a_video_without_times_counts_by_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one whose times are damaged: they never go back, and leap by an hour at most."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for number in range(6):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    assert [image.seconds for image in images_of(path)] == pytest.approx([n / 20 for n in range(6)])

    told = iter([0.0, 50.0, 20.0, 1e12, float("nan"), 300.0])

    class Damaged:
        """A `cv2.VideoCapture` with other times."""

        def __init__(self, *arguments: str) -> None:
            self._video = capture(*arguments)

        def get(self, what: int) -> float:
            return next(told) if what == cv2.CAP_PROP_POS_MSEC else self._video.get(what)

        def __getattr__(self, name: str) -> object:
            return getattr(self._video, name)

    capture = cv2.VideoCapture
    monkeypatch.setattr("maix_facemesh_ros.sources.files.cv2.VideoCapture", Damaged)
    seconds = [image.seconds for image in VideoFile(path).images()]
    assert seconds == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.3])


def test_the_node_names_damaged_frames_once_and_loops_at_the_times_of_the_container() -> None:
    notices: list[SourceNotice] = []
    source = open_source(str(VIDEOS / "g10_bad.mp4"), loop=True, report=notices.append)
    taken = [image.stamp.seconds for _, image in zip(range(62), source.images(), strict=False)]
    source.close()
    assert [notice.text for notice in notices] == [
        f"source {str(VIDEOS / 'g10_bad.mp4')!r}: 1 frame cannot be decoded; skipped"
    ]
    np.testing.assert_allclose(
        np.array(taken[58:]) - taken[0], [59 / 30, 60 / 30, 61 / 30, 62 / 30], atol=1e-6
    )


def test_too_large_an_animation_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    assert cv2.imwrite(str(path), np.zeros((30, 30, 3), np.uint8))
    monkeypatch.setattr("maix_facemesh_ros.sources.files.LARGEST_FRAME", 800)
    with pytest.raises(ImageFileError, match="900 pixels: 800 are the most"):
        AnimationFile(path)


@needs_animations
@pytest.mark.parametrize("kind", ["avi", "gif", "png", "webp"])
def test_mutated_files_end_in_images_or_in_the_error_of_this_module(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage anywhere, half of it in the headers; in 300 MB."""
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    path = tmp_path / f"mutant.{kind}"
    whole = LYING.read_bytes() if kind == "avi" else animation(path).read_bytes()
    random = np.random.default_rng(7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = set[str]()
    for _ in range(40):
        mutant = bytearray(whole)
        for _ in range(int(random.choice((1, 2, 8, 40)))):
            end = len(mutant) if random.random() < 0.5 else min(len(mutant), 600)
            mutant[int(random.integers(end))] = int(random.choice((0, 127, 128, 255)))
        path.write_bytes(mutant)
        try:
            file = open_image_file(path)
            ends.update("image" if image.image is not None else "" for image in file.images())
            file.close()
        except ImageFileError:
            ends.add("error")
    assert "image" in ends
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF\x00\x10\x00\x00WEBPVP8X\x0a\x00\x00\x00\x12\x00\x00\x00" + 6 * b"\xff",
        b"GIF89a\xff\xff\xff\xff\xf0\x00\x00"
        + 700 * b"\x55"
        + b"\x2c\x00\x00\x00\x00\xff\xff\xff\xff",
    ],
    ids=["webp", "gif"],
)
def test_an_animation_that_declares_gigabytes_takes_no_memory(head: bytes, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "large"
    path.write_bytes(head + 3000 * b"\x02")
    with suppress(ImageFileError):
        assert good(list(open_image_file(path).images())) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pixels]]:
    """A folder of four photos: one face, two faces, none, and a damaged file."""
    folder = tmp_path_factory.mktemp("photos")
    one = next(scene(1))
    two = np.ascontiguousarray(np.hstack([one[:, 40:280], one[:, 40:280]]))
    images = [one, two, np.zeros_like(one)]
    for number, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
    (folder / "3.png").write_bytes((folder / "0.png").read_bytes()[:2000])
    return folder, images


def test_photos_are_processed_one_by_one(
    photos: tuple[Path, list[Pixels]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was before them, and with any number of workers: no ids, no smoothing."""
    folder, images = photos
    expected = []
    for image in images:
        with FaceMesh(max_face_num=1) as mesh:
            expected += mesh.process(image)
    for workers in ("1", "2"):
        table = tmp_path / f"{workers}.csv"
        arguments = [str(folder), "-o", str(table), "-p", "max_face_num:=1"]
        assert main([*arguments, "--workers", workers]) == 0
        rows = [row for row in read_csv(table) if row["id"]]
        assert [row["id"] for row in rows] == ["0", "0"]
        files = [str(folder / name) for name in ("0.png", "1.png")]
        assert [row["recording"] for row in rows] == files
        for row, face in zip(rows, expected, strict=True):
            assert float(row["x4"]) == pytest.approx(float(face.points[4, 0]), rel=1e-7)
        said = capsys.readouterr()
        assert said.out.startswith("3 images, 2 faces in ")
        assert "4 still images were processed one by one" in said.out
        assert "in 1 image the detector found more faces than max_face_num, which is 1" in said.out
        assert "1 image skipped: 3.png is damaged: " in said.err


def test_several_image_files_are_as_many_recordings(
    photos: tuple[Path, list[Pixels]], tmp_path: Path
) -> None:
    folder, _ = photos
    files = [folder / "0.png", folder / "1.png"]
    table = tmp_path / "faces.csv"
    assert main([*map(str, files), "-o", str(table), "--workers", "1", "--quiet"]) == 0
    rows = read_csv(table)
    assert [row["recording"] for row in rows] == [str(file) for file in (files[0], *2 * files[1:])]
    assert {row["id"] for row in rows} == {"0"}


def test_photos_can_be_processed_as_a_video(
    photos: tuple[Path, list[Pixels]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = photos
    table = tmp_path / "faces.csv"
    assert main([str(folder), "-o", str(table), "--stream", "--workers", "1"]) == 0
    assert all(int(row["id"]) > 0 for row in read_csv(table) if row["id"])
    assert "still images" not in capsys.readouterr().out
