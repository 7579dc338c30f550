"""`make demo` as a user runs it: the node in another process; an image, a video and a bag left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage

from ctrl_c import with_ctrl_c_in_a_destructor
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.demo import _typed


def test_the_demo_shows_faces_and_leaves_an_image_and_a_bag(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.ros.demo", "--seconds", "2"],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": str(101 + os.getpid() % 100)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    told = re.search(r" 30 images sent.* Hz, latency .* ms \| (1 face: id 1, .*)", result.stdout)
    assert told, result.stdout
    assert re.search(r"m away, yaw \S+ pitch \S+ roll \S+ deg, gaze .* deg, \w+$", told[1])
    counts = re.search(r"60 images sent, (\d+) answered, (\d+) with a face", result.stdout)
    assert counts
    # On a busy machine, a later image takes the place of one that waits.
    assert int(counts[1]) == int(counts[2]) > 5
    video = cv2.VideoCapture(str(tmp_path / "demo_output" / "faces.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == int(counts[1])

    image = cv2.imread(str(tmp_path / "demo_output" / "face.png"))
    assert image is not None and image.shape == (480, 640, 3)
    green_of_the_box = (image == (160, 250, 80)).all(axis=2)
    assert green_of_the_box.sum() > 500

    with AnyReader([tmp_path / "demo_output" / "faces_bag"]) as bag:
        raw_of: dict[str, list[bytes]] = {}
        for connection, _, raw in bag.messages():
            assert bag.deserialize(raw, connection.msgtype)  # by the definition in the bag itself
            raw_of.setdefault(connection.topic, []).append(raw)
    images = [deserialize_message(raw, CompressedImage) for raw in raw_of["/image_raw/compressed"]]
    messages = [deserialize_message(raw, FaceArray) for raw in raw_of["/faces"]]
    # Those before the images that are counted: until both ends have found each other.
    assert len(messages) > int(counts[1])
    assert [each.header for each in images] == [each.header for each in messages]
    stamps = [(message.header.stamp.sec, message.header.stamp.nanosec) for message in messages]
    assert stamps == sorted(set(stamps))
    assert all(len(message.faces[0].points) == 956 for message in messages if message.faces)

    # The steps that it names work as printed, in a shell that knows nothing of the environment.
    replay, see, find = re.findall(r"^  (\S*facemesh\S* .*)$", result.stdout, re.MULTILINE)
    assert "as the golden faces" in in_a_new_shell(replay, tmp_path)
    assert "a camera" in in_a_new_shell(see.removesuffix(" 0") + " --help", tmp_path)
    in_a_new_shell(find.replace("YOUR.mp4", "demo_output/faces.mp4"), tmp_path)
    assert (tmp_path / "faces.csv").stat().st_size > 1000


@pytest.mark.parametrize("seconds", [1.5, 6.0])  # while the node is imported; later
def test_ctrl_c_ends_it_and_the_node_without_a_traceback(seconds: float, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "maix_facemesh_ros.ros.demo", "--seconds", "60"],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": str(101 + os.getpid() % 100)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Its own processes, to which the terminal sends the signal.
        start_new_session=True,
    )
    assert demo.stdout is not None
    assert "Starting facemesh_node" in demo.stdout.readline()
    time.sleep(seconds)
    os.killpg(demo.pid, signal.SIGINT)
    output, _ = demo.communicate(timeout=60)
    assert "Traceback" not in output
    assert "interrupted" in output
    assert demo.returncode in (0, 130), output
    with pytest.raises(ProcessLookupError):  # nor is the node left
        os.killpg(demo.pid, 0)


def test_ctrl_c_is_not_lost_where_python_ignores_exceptions(tmp_path: Path) -> None:
    """As in a destructor, or in a callback of C."""
    demo = "maix_facemesh_ros.ros.demo"
    ended = subprocess.run(
        [*with_ctrl_c_in_a_destructor(demo, demo, "_Robot", "take_image"), "--seconds", "60"],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": str(101 + os.getpid() % 100)},
        capture_output=True,
        text=True,
        timeout=45,
    )
    assert "interrupted" in ended.stdout, ended
    assert ended.returncode == 130


def in_a_new_shell(command: str, folder: Path) -> str:
    """Run a command as a user does whose virtual environment is not active; return its output."""
    left_out = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    environment["ROS_DOMAIN_ID"] = str(101 + os.getpid() % 100)
    ended = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def test_a_program_is_printed_as_it_has_to_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my robot" / "bin"
    folder.mkdir(parents=True)
    program = folder / "facemesh_replay"
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert _typed("facemesh_replay") == "ros2 run maix_facemesh_ros facemesh_replay"
    program.touch(mode=0o755)
    assert _typed("facemesh_replay") == "'my robot/bin/facemesh_replay'"
    monkeypatch.chdir("/")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert _typed("facemesh_replay") == "facemesh_replay"
