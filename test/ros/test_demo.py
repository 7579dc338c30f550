"""`make demo` as a user runs it: the node in another process; an image, a video and a bag left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage

from maix_facemesh_ros.msg import FaceArray


def test_the_demo_shows_faces_and_leaves_a_image_and_a_bag(tmp_path: Path) -> None:
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
    assert told
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

    replay = re.search(r"the same faces from it: facemesh_replay (.*)", result.stdout)
    assert replay
    replayed = subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.ros.replay.main", *replay[1].split()],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": str(101 + os.getpid() % 100)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "as the golden faces" in replayed.stdout
