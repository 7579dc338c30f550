"""A node's process: it ends when it is told to, whatever happens, and loads what it needs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sensor_msgs.msg import CompressedImage

from running_node import Robot

pytest_plugins = ["running_node"]

TIMEOUT = 60.0  # seconds

#: Ends a node whose middleware is busy for as long as the first argument says, with Python's lock
#: held, and then goes on for a second. PyDLL does not let that lock go.
END_NODE = """
import ctypes, sys, time
from maix_facemesh_ros.ros import node_process

class Node:
    def destroy_node(self):
        ctypes.PyDLL(None).usleep(int(float(sys.argv[1]) * 1e6))

node_process.DESTROY_TIMEOUT = 0.5
node_process.end_node(Node())
time.sleep(1)
print("went on")
"""

#: Starts a node whose middleware hangs, with Python's lock held.
START_NODE = """
import ctypes
from maix_facemesh_ros.ros import node_process

def make_node():
    ctypes.PyDLL(None).usleep(60_000_000)

node_process.START_TIMEOUT = 0.5
node_process.run_node(make_node, (), [])
print("went on")
"""

#: Runs a node without timers, whose context ends without waking the executor.
QUIET_NODE = """
import threading
import rclpy
from rclpy.node import Node
from maix_facemesh_ros.ros import node_process

class Quiet(Node):
    failed = source_blocks = False

    def stop(self):
        print("stopped")

def make_node():
    threading.Timer(1.0, rclpy.get_default_context().handle.shutdown).start()
    return Quiet("quiet")

node_process.run_node(make_node, (), [])
"""

#: Runs a node of which each compressed image takes a minute to decode.
SLOW_DECODER = """
import sys, time
from maix_facemesh_ros.ros import facemesh_node, transports

def decode(message):
    print("decoding", flush=True)
    time.sleep(60)

transports.SINGLE_IMAGES["compressed"].read = decode
sys.exit(facemesh_node.main(["--ros-args", "-p", "image_transport:=compressed"]))
"""

#: Has a SIGTERM come in each line of what a SIGINT runs.
SIGNAL_IN_A_SIGNAL = """
import signal, sys
from maix_facemesh_ros.ros.node_process import start_ros

def in_each_line(frame, event, argument):
    signal.raise_signal(signal.SIGTERM)
    return in_each_line

stop_request = start_ros([])
sys.settrace(in_each_line)
signal.raise_signal(signal.SIGINT)
sys.settrace(None)
print(stop_request.made)
"""

#: Uses a message in a node's process, and the generator that is not loaded for it.
MESSAGES = """
import sys
from maix_facemesh_ros.ros.node_process import start_ros

start_ros([])
import rclpy
from maix_facemesh_ros.msg import FaceArray

node = rclpy.create_node("node")
node.create_publisher(FaceArray, "faces", 1).publish(FaceArray())
print(sorted({"lark", "em", "_hashlib"} & set(sys.modules)))
import rosidl_generator_py.generate_py_impl
print("lark" in sys.modules)
"""


def _python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parent,  # The package is the installed one, not the sources.
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_a_middleware_that_hangs_is_ended_and_said() -> None:
    ended = _python(END_NODE, str(TIMEOUT))
    assert ended.returncode == 1, ended
    assert ended.stdout == ""
    assert "destroy_node" in ended.stderr
    assert "node_process.py" in ended.stderr


def test_a_start_that_hangs_is_ended_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    ended = _python(START_NODE)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "in make_node" in ended.stderr
    assert "in run_node" in ended.stderr


def test_a_stop_does_not_wait_for_an_image_that_is_being_decoded(
    robot: Robot, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        node = subprocess.Popen(
            [sys.executable, "-c", SLOW_DECODER],
            cwd=Path(__file__).parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        images = robot.create_publisher(CompressedImage, "image_raw/compressed", 1)

        def is_decoding() -> bool:
            images.publish(CompressedImage(format="jpeg"))
            return "decoding" in log.read_text()

        robot.wait_until(is_decoding, "image in the decoder")
        node.send_signal(signal.SIGINT)
        assert node.wait(timeout=TIMEOUT / 2) == 0, log.read_text()
    finally:
        node.kill()
    assert "Traceback" not in log.read_text()


def test_a_process_goes_on_when_its_node_has_ended() -> None:
    ended = _python(END_NODE, "0")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")


def test_messages_do_not_load_what_generates_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    ended = _python(MESSAGES)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\nTrue\n", "")


def test_a_signal_in_the_middle_of_another_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    ended = _python(SIGNAL_IN_A_SIGNAL)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_a_node_without_timers_ends_though_its_executor_was_not_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    ended = _python(QUIET_NODE)
    assert (ended.stdout, ended.returncode) == ("stopped\n", 0), ended.stderr
