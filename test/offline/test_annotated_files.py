"""Annotated videos and folders of JPEGs, of everything that `facemesh_bag` reads."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.offline.main import main
from maix_facemesh_ros.sources.files import VideoFile
from mjpeg_server import MjpegServer
from recorded_bags import camera_messages, scene, write_bag

#: Its images are 33 and 100 ms apart.
VARIABLE_RATE = Path(__file__).parents[1] / "data" / "videos" / "vfr.mp4"


def images_in(video: Path) -> list[tuple[float, Pixels]]:
    file = VideoFile(video)
    images = [(each.seconds, each.image) for each in file.images() if each.image is not None]
    file.close()
    return images


def green_pixels(image: Pixels) -> int:
    """Count the pixels in the color of the box."""
    blue, green, red = cv2.split(image.astype(np.int16))
    return int(np.count_nonzero((green - red > 60) & (green - blue > 40)))


def test_a_video_holds_the_times_of_its_source(tmp_path: Path) -> None:
    output = tmp_path / "faces.mp4"
    assert main([str(VARIABLE_RATE), "-o", str(output), "--annotated", "--workers", "2"]) == 0
    source, drawn = images_in(VARIABLE_RATE), images_in(output)
    assert drawn[0][1].shape == source[0][1].shape
    shortest = min(later - earlier for (earlier, _), (later, _) in pairwise(source))
    for seconds, image in source:
        # The image that the video shows at this time.
        shown = [each for at, each in drawn if at <= seconds + shortest / 2][-1]
        difference = float(np.mean(np.abs(shown.astype(np.int16) - image)))
        assert difference < 12, f"{difference} at {seconds}"


def test_faces_are_drawn_into_a_video_of_a_bag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "kitchen", camera_messages(list(scene(12))))
    outputs = [tmp_path / "kitchen.mp4", tmp_path / "jpegs"]
    arguments = ["-o", str(outputs[0]), "-o", f"{outputs[1]}/", "--workers", "1"]
    assert main([str(bag), *arguments]) == 0
    drawn = images_in(outputs[0])
    assert len(drawn) == 12
    names = [path.name for path in sorted(outputs[1].iterdir())]
    assert names == [f"kitchen_{number:06d}.jpg" for number in range(12)]
    for (_, image), name in zip(drawn, names, strict=True):
        saved = cv2.imread(str(outputs[1] / name))
        assert saved is not None
        assert green_pixels(np.asarray(saved, np.uint8)) > 200
        assert green_pixels(image) > 100
    if "PyAV" in capsys.readouterr().err:
        return
    # With PyAV, at the log times.
    assert [seconds for seconds, _ in drawn] == pytest.approx([n / 30 for n in range(12)], abs=1e-3)


def test_photos_become_jpegs_of_their_names(
    astronaut: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [tmp_path / name for name in ("me.png", "me.bmp", "you.png")]
    for photo in photos:
        cv2.imwrite(str(photo), astronaut[:, :, ::-1])
    folder = tmp_path / "annotated"
    assert main([*map(str, photos), "-o", f"{folder}/", "--workers", "1"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["me.jpg", "me_2.jpg", "you.jpg"]
    said = capsys.readouterr()
    assert re.fullmatch(r"3 images, 3 faces in [\d.]+ s: .*annotated", said.out.splitlines()[0])
    assert main([str(photos[0]), "-o", str(tmp_path / "one.csv"), "--workers", "1"]) == 0
    assert re.fullmatch(r"1 image, 1 face in [\d.]+ s: .*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (["0.png"], ["-o", "x.mp4"], "photos are not the frames of a video"),
        (["0.png", "1.png"], ["-o", "x.mp4"], "one camera, and there are 2"),
        (["0.png"], ["-o", "x.csv", "--annotated"], "go into a bag, a video (.mp4) or a folder"),
        (["0.png"], ["-o", "x.mp4", "-o", "bag", "--blur"], "--blur writes bags"),
        (["0.png"], ["-o", "x.mkv"], "x.mkv cannot be written: an output is a table"),
        (["0"], ["-o", "x.csv", "--copy"], "a camera has no messages to copy"),
        (["0", "0.png"], ["-o", "x.csv"], "0 is a live source: give it as the only input"),
        (["0.png"], ["-o", "x.csv", "--seconds", "1"], "--seconds is for a camera or URL"),
    ],
)
def test_what_an_output_cannot_hold_is_refused(
    inputs: list[str],
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0.png", "1.png"):
        cv2.imwrite(name, np.zeros((64, 64, 3), np.uint8))
    assert main([*inputs, *options, "--workers", "1"]) == 1
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]


def test_a_live_source_fills_all_outputs_until_ctrl_c(astronaut: Pixels, tmp_path: Path) -> None:
    server = MjpegServer(astronaut[:, :, ::-1])
    server.start()
    outputs = [tmp_path / name for name in ("faces.csv", "faces.mp4", "bag", "jpegs")]
    named = [*map(str, outputs[:3]), f"{outputs[3]}/"]
    find = subprocess.Popen(
        [sys.executable, "-m", "maix_facemesh_ros.offline.main", server.url]
        + [argument for name in named for argument in ("-o", name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    jpegs = tmp_path / "jpegs.partial" / "outputs" / "jpegs"
    deadline = time.monotonic() + 60
    while len([*jpegs.glob("*")]) < 5 and time.monotonic() < deadline:
        assert find.poll() is None
        time.sleep(0.1)
    find.send_signal(signal.SIGINT)
    out, err = find.communicate(timeout=60)
    server.switch_off()
    assert find.returncode == 0, err
    first, summary = out.splitlines()
    assert first == f"finding faces in {server.url} (Ctrl-C ends this)"
    count = len([*outputs[3].iterdir()])
    assert summary.startswith(f"{count} images, {count} faces in ")
    assert len(outputs[0].read_text().splitlines()) == 1 + count
    assert len(images_in(outputs[1])) > 0
    assert (outputs[2] / "bag_0.mcap").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in outputs)
