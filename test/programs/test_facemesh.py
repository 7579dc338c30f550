"""`facemesh`: each verb does its job, and `see` shows a face in a page without ROS."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
from tornado.websocket import websocket_connect

from maix_facemesh_ros.image import Pixels

TIMEOUT = 60.0

#: Makes importing ROS fail in the process.
WITHOUT_ROS = """
import sys
sys.modules.update(dict.fromkeys(("rclpy", "sensor_msgs", "maix_facemesh_ros.msg")))
sys.argv[0] = "facemesh"
from maix_facemesh_ros.programs.start import start
sys.exit(start("facemesh"))
"""


def facemesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_ROS, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_without_a_verb_it_says_what_there_is() -> None:
    for arguments in ([], ["--help"]):
        said = facemesh(*arguments)
        assert said.returncode == 0
        for verb in ("see", "find", "node", "view", "replay", "info"):
            assert f"    facemesh {verb} " in said.stdout or f"    facemesh {verb}\n" in said.stdout


def test_an_unknown_verb_is_refused() -> None:
    said = facemesh("look")
    assert said.returncode == 2
    assert said.stderr.startswith(
        "facemesh has no verb 'look': it has see, info, maixcam-check, find"
    )


def test_info_names_what_is_there_and_what_is_missing() -> None:
    said = facemesh("info")
    assert said.returncode == 0, said.stderr
    for name in ("maix_facemesh_ros:", "Python:", "numpy:", "onnxruntime:", "models:"):
        assert re.search(f"^{name} +[^ ]", said.stdout, re.MULTILINE), said.stdout
    assert re.search("^execution providers:.*CPUExecutionProvider", said.stdout, re.MULTILINE)


def test_find_is_facemesh_bag() -> None:
    assert "usage: facemesh_bag" in facemesh("find", "--help").stdout


def test_see_names_a_source_that_is_not_there() -> None:
    said = facemesh("see", "nowhere.mp4", "--port", "0", "--no-browser")
    assert said.returncode == 1
    assert said.stderr.startswith("facemesh see: source 'nowhere.mp4' is neither a camera")


async def first_frame_with_faces(address: str) -> dict[str, Any]:
    connection = await websocket_connect(address.replace("http", "ws", 1) + "frames")
    await connection.write_message("ready")
    while (message := await connection.read_message()) is not None:
        if isinstance(message, bytes):
            (length,) = struct.unpack_from("<I", message)
            header: dict[str, Any] = json.loads(message[4 : 4 + length])
            if header["faces"]:
                connection.close()
                return {**header, "jpeg": message.endswith(b"\xff\xd9")}
            await connection.write_message("ready")
    raise AssertionError("the page was closed")


def test_see_shows_a_face_in_the_page_and_ends_with_ctrl_c(
    astronaut: Pixels, tmp_path: Path
) -> None:
    image = tmp_path / "astronaut.png"
    cv2.imwrite(str(image), astronaut[:, :, ::-1])
    see = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_ROS, "see", str(image), "--port", "0", "--no-browser"]
        + ["--gaze", "--blendshapes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert see.stdout is not None
    assert see.stderr is not None
    line = see.stdout.readline()
    found = re.search(r"http://localhost:\d+/", line)
    assert found, line + see.stderr.read()
    frame = asyncio.run(asyncio.wait_for(first_frame_with_faces(found.group()), TIMEOUT))
    (face,) = frame["faces"]
    assert (frame["width"], frame["height"], frame["jpeg"]) == (512, 512, True)
    assert face["arrays"]["points"] == 2 * 478
    assert face["arrays"]["blendshapes"] == 52
    begin = time.monotonic()
    see.send_signal(signal.SIGINT)
    assert see.wait(TIMEOUT) == 0, see.stderr.read()
    print(f"ended after {time.monotonic() - begin:.2f} s")
    assert see.stderr.read() == ""


@pytest.mark.parametrize("verb", ["node", "view"])
def test_ros_verbs_say_what_is_missing(verb: str) -> None:
    said = facemesh(verb)
    assert said.returncode == 1
    assert "which is not installed: " in said.stderr
