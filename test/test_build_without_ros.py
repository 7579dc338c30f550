"""The wheel without ROS, in a bare environment: FaceMesh, `facemesh find` and `see` work."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import pytest

from installation import PACKAGE, SOURCE, copy_source, run
from maix_facemesh_ros.image import Pixels

pytestmark = pytest.mark.build

#: Prints the number of faces in an image, and the modules of ROS that are loaded.
FACES = """
import sys, cv2
from maix_facemesh_ros import FaceMesh

with FaceMesh(blendshapes=True, pose=True, assumed_field_of_view=60) as mesh:
    print(len(mesh.process(cv2.imread(sys.argv[1])[:, :, ::-1])))
print(*(name for name in sys.modules if "rcl" in name or name.endswith("_msgs")))
"""


#: Writes a video of a photo with sound, whose images are 33 and 100 ms apart.
MAKE_VIDEO = """
import sys
from fractions import Fraction

import av
import cv2
import numpy as np

photo = cv2.imread(sys.argv[1])[0:320, 60:380]
container = av.open(sys.argv[2], "w")
video = container.add_stream("libx264")
video.width, video.height, video.pix_fmt = 320, 320, "yuv420p"
video.codec_context.time_base = Fraction(1, 90000)
sound = container.add_stream("aac", rate=44100)
sound.layout = "mono"
seconds = 0.0
for number in range(20):
    frame = av.VideoFrame.from_ndarray(np.roll(photo, 2 * number, 1), format="bgr24")
    frame.pts, frame.time_base = round(seconds * 90000), Fraction(1, 90000)
    container.mux(video.encode(frame))
    seconds += 0.033 if number % 3 else 0.1
container.mux(video.encode())
wave = (8000 * np.sin(0.05 * np.arange(int(44100 * seconds)))).astype(np.int16)
for start in range(0, len(wave), 1024):
    frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
    container.mux(sound.encode(frame))
container.mux(sound.encode())
container.close()
"""

#: Prints the times of the images in milliseconds, and the packets of the sound.
DESCRIBE = """
import hashlib
import sys

import av

container = av.open(sys.argv[1])
packets = [packet for packet in container.demux() if packet.pts is not None]
times = {kind: [] for kind in ("video", "audio")}
for packet in packets:
    times[packet.stream.type].append(round(1000 * packet.pts * packet.time_base))
sound = b"".join(bytes(packet) for packet in packets if packet.stream.type == "audio")
print(container.streams.video[0].codec_context.name, sorted(times["video"]), times["audio"])
print(hashlib.sha256(sound).hexdigest())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without a compiler, and install it into a bare environment."""
    folder = tmp_path_factory.mktemp("without_ros")
    source = copy_source(folder / "source")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--no-deps"]
    environment = {"PATH": "/nowhere", "HOME": str(folder)}
    run([*pip, "--wheel-dir", folder, source], environment, folder)
    (wheel,) = folder.glob(f"{PACKAGE}-*-py3-none-any.whl")
    run([sys.executable, "-m", "venv", folder / "venv"], environment, folder)
    python = folder / "venv" / "bin" / "python"
    run([python, "-m", "pip", "install", "--no-compile", wheel], environment, folder)
    return python


@pytest.fixture(scope="module")
def photo(python: Path, astronaut: Pixels) -> Path:
    path = python.parents[2] / "me.png"
    cv2.imwrite(str(path), astronaut[:, :, ::-1])
    return path


def test_requirements_are_complete_and_without_ros(python: Path) -> None:
    run([python, "-m", "pip", "check"], {}, python.parent)
    listed = run([python, "-m", "pip", "list", "--format=freeze"], {}, python.parent)
    packages = listed.splitlines()
    assert not [name for name in packages if re.match("ros-|scipy|mcap|rosbags", name)], packages
    prefix = python.parents[1]
    size = sum(file.lstat().st_size for file in prefix.rglob("*") if not file.is_symlink())
    print(f"{size / 1e6:.0f} MB installed, {len(packages)} packages")


def test_face_mesh_finds_a_face(python: Path, photo: Path, tmp_path: Path) -> None:
    assert run([python, "-c", FACES, photo], {}, tmp_path).split() == ["1"]


def test_find_writes_a_table_and_jpegs(python: Path, photo: Path, tmp_path: Path) -> None:
    outputs: list[str | Path] = ["-o", "faces.csv", "-o", "annotated/"]
    said = run([python.parent / "facemesh", "find", photo, *outputs], {}, tmp_path)
    assert "\n1 image, 1 face in " in said
    assert len((tmp_path / "faces.csv").read_text().splitlines()) == 2
    assert (tmp_path / "annotated" / "me.jpg").is_file()


def test_bags_and_the_node_name_what_they_need(python: Path, photo: Path, tmp_path: Path) -> None:
    for arguments, line in (
        (["find", photo, "-o", "bag"], "which is not installed: pip install "),
        (["node"], "facemesh_node needs rcl"),
    ):
        ended = subprocess.run(
            [python.parent / "facemesh", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert ended.returncode == 1
        assert line in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_see_serves_its_page(python: Path, photo: Path, tmp_path: Path) -> None:
    see = subprocess.Popen(
        [python.parent / "facemesh", "see", photo, "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert see.stdout is not None
    try:
        address = re.search(r"http://\S+", see.stdout.readline())
        assert address is not None
        for file in ("", "main.js", "three/three.core.min.js", "mesh.json"):
            with urllib.request.urlopen(address.group() + file, timeout=30) as response:
                assert response.read(), file
        see.send_signal(signal.SIGINT)
        assert see.wait(timeout=30) == 0
    finally:
        see.kill()


def test_with_pyav_a_video_keeps_its_times_and_its_sound(
    python: Path, photo: Path, tmp_path: Path
) -> None:
    requirements = SOURCE / "requirements" / "video.txt"
    run([python, "-m", "pip", "install", "--no-compile", "-r", requirements], {}, tmp_path)
    run([python, "-c", MAKE_VIDEO, photo, "talk.mp4"], {}, tmp_path)
    said = run([python.parent / "facemesh", "find", "talk.mp4", "-o", "faces.mp4"], {}, tmp_path)
    assert said.startswith("20 images, 20 faces in ")
    source, drawn = (
        run([python, "-c", DESCRIBE, name], {}, tmp_path) for name in ("talk.mp4", "faces.mp4")
    )
    assert source == drawn
    assert source.startswith("h264 [0, 100, 133, 166, 266, ")


def test_with_the_extra_bags_a_bag_is_written(python: Path, photo: Path, tmp_path: Path) -> None:
    requirements = SOURCE / "requirements" / "bags.txt"
    run([python, "-m", "pip", "install", "--no-compile", "-r", requirements], {}, tmp_path)
    said = run([python.parent / "facemesh", "find", photo, "-o", "bag"], {}, tmp_path)
    assert said.startswith("1 image, 1 face in ")
    assert (tmp_path / "bag" / "bag_0.mcap").is_file()
