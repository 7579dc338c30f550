"""Shared by the tests of both builds: a copy of the source, and checks of the installed files."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = "maix_facemesh_ros"

# What `git clone` does not bring.
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "install", "log", "__pycache__", "*_cache", "*_output"
)

# Prints the FaceArray that one node of this program sends to another.
ROUND_TRIP = """
import rclpy
from maix_facemesh_ros.msg import BoundingBox, Face, FaceArray

rclpy.init()
node = rclpy.create_node("round_trip")
publisher = node.create_publisher(FaceArray, "faces", 1)
received = []
node.create_subscription(FaceArray, "faces", received.append, 1)
face = Face(id=7, box=BoundingBox(x=1.5, y=2.0, width=30.0, height=40.0), points=[0.5] * 956)
for _ in range(100):
    publisher.publish(FaceArray(image_width=640, image_height=480, faces=[face]))
    rclpy.spin_once(node, timeout_sec=0.1)
    if received:
        break
(face,) = received[0].faces
print(received[0].image_width, face.id, face.box.x, len(face.points))
"""
ROUND_TRIP_ANSWER = "640 7 1.5 956"

# Sends a gray image to the node until it answers, and prints the answer.
ASK_NODE = """
import rclpy
from maix_facemesh_ros.msg import FaceArray
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image_raw", 1)
received = []
node.create_subscription(FaceArray, "faces", received.append, 1)
gray = Image(width=320, height=240, step=960, encoding="rgb8", data=bytes([128]) * 230400)
for _ in range(300):
    publisher.publish(gray)
    rclpy.spin_once(node, timeout_sec=0.1)
    if received:
        break
print(received[0].image_width, received[0].image_height, len(received[0].faces))
"""
NODE_ANSWER = "320 240 0"

# Prints where the package and the library of its messages were loaded from.
WHERE = """
import maix_facemesh_ros
import maix_facemesh_ros.msg
from rclpy.type_support import check_for_type_support

check_for_type_support(maix_facemesh_ros.msg.FaceArray)
print(maix_facemesh_ros.__file__)
print(maix_facemesh_ros.msg.__file__)
for line in open("/proc/self/maps"):
    if "libmaix_facemesh_ros__rosidl_generator_c.so" in line:
        print(line.split()[-1])
        break
"""

# Prints the share folder that the ament index gives, the face count of a gray image, the version,
# and whether type checkers may use the types.
USE = """
import numpy
from ament_index_python.packages import get_package_share_directory
from importlib.resources import files
from maix_facemesh_ros import FaceMesh, __version__
import maix_facemesh_ros.backends.maixcam.source  # with what the device's app shares

print(get_package_share_directory("maix_facemesh_ros"))
with FaceMesh() as mesh:
    print(len(mesh.process(numpy.full((360, 640, 3), 128, numpy.uint8))))
print(__version__, (files("maix_facemesh_ros") / "py.typed").is_file())
"""

#: What it prints after the share folder.
USE_ANSWER = [
    "0",
    f"{ElementTree.parse(SOURCE / 'package.xml').findtext('version')} True",
]

# Below share/maix_facemesh_ros; one file of each kind is enough.
SHARED_FILES = (
    "config/facemesh.yaml",
    "config/facemesh_view.yaml",
    "examples/turn_to_face.py",
    "launch/facemesh.launch.py",
    "launch/two_cameras.launch.py",
    "maixcam_app/main.py",
    "maixcam_app/maixcam_shared/link.py",
    "models/README.md",
    "models/face_landmarks.onnx",
    "msg/FaceArray.msg",
    "package.xml",
    "rviz",
)


def copy_source(folder: Path) -> Path:
    """Copy the repository as git would bring it, so that a build leaves nothing in it."""
    shutil.copytree(SOURCE, folder, symlinks=True, ignore=NOT_SOURCE)
    return folder


def distro_of_this_environment() -> str:
    """Tell which ROS 2 wheels the tests run with."""
    for distro in ("jazzy", "kilted"):
        try:
            importlib.metadata.version(f"ros-{distro}-rclpy")
        except importlib.metadata.PackageNotFoundError:
            continue
        return distro
    raise AssertionError("the tests of the builds need the environment of `make setup`")


def only_local(folder: Path) -> dict[str, str]:
    """Keep the ROS nodes of one test away from all others, and their logs in a folder."""
    return {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_LOG_DIR": str(folder),
    }


def run(command: list[str | Path], environment: dict[str, str], folder: Path) -> str:
    """Run a program, which must succeed within five minutes, and return what it printed."""
    finished = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
        timeout=300,
    )
    assert finished.returncode == 0, f"{command} failed:\n{finished.stdout}"
    return finished.stdout.strip()


def start_view_and_fetch_its_page(
    command: list[str | Path], environment: dict[str, str], folder: Path
) -> None:
    """Start facemesh_view, load all that its page is made of, and stop it as Ctrl+C does."""
    log = folder / "facemesh_view.log"
    with log.open("w") as output:
        view = subprocess.Popen(
            [*command, "--ros-args", "-p", "port:=0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
        try:
            end = time.monotonic() + 60
            while (address := re.search(r"http://\S+", log.read_text())) is None:
                assert view.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            for file in ("", "main.js", "style.css", "three/three.core.min.js", "mesh.json"):
                with urllib.request.urlopen(address.group() + file, timeout=30) as response:
                    assert response.read(), file
            view.send_signal(signal.SIGINT)
            code = view.wait(timeout=30)
        finally:
            view.kill()
    assert code == 0, f"the view ended with {code}:\n{log.read_text()}"
    assert "Traceback" not in log.read_text()


def start_ask_and_stop_node(
    command: list[str | Path], ask: list[str | Path], environment: dict[str, str], folder: Path
) -> None:
    """Start the node, let another process send it an image, and stop it as Ctrl+C does.

    The node itself has to do without a folder for logs, as in a service's empty environment.
    """
    node_environment = {name: environment[name] for name in environment if name != "ROS_LOG_DIR"}
    log = folder / "facemesh_node.log"
    with log.open("w") as output:
        node = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=node_environment, cwd=folder
        )
        try:
            answer = run(ask, environment, folder)
            node.send_signal(signal.SIGINT)
            code = node.wait(timeout=30)
        finally:
            node.kill()
    assert answer == NODE_ANSWER
    assert code == 0, f"the node ended with {code}:\n{log.read_text()}"
    assert "Traceback" not in log.read_text()
