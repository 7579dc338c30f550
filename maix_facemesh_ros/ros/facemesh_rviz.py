"""`facemesh_rviz`: RViz with all views of the node, upright and centered at the first head.

RViz displays nothing in an unknown frame, and the frame's name depends on the camera. The program
therefore waits for the first faces and uses their frame. RViz's views rotate only about the z axis
of their frame, which in a camera's frame points forward: rotating to the side would roll the head.
RViz therefore gets a separate fixed frame, at the first face and with z up, while it runs.

RViz receives images as the node does: the node's Fast DDS profile is in its environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile

from maix_facemesh_ros.msg import Face, FaceArray
from maix_facemesh_ros.parameters import NodeParameters
from maix_facemesh_ros.ros.dds_profile import NODE_PROFILE
from maix_facemesh_ros.ros.node_process import StartError, StopRequest, end_node, start_ros

#: Appended to the camera's frame: RViz's fixed frame.
VIEW_FRAME_SUFFIX = "_rviz"

#: The view's frame in a camera's optical frame (REP-103), as a quaternion x, y, z, w: x is forwards
#: (z of the camera), y to the left (-x), z up (-y).
UPRIGHT = (0.5, -0.5, 0.5, 0.5)

#: Seconds from the first message until a face must have come for the view to be aimed at.
FACE_TIMEOUT = 2.0

#: Seconds to wait for the node's parameters.
PARAMETER_TIMEOUT = 2.0

#: Seconds between two checks for the end.
LOOK_INTERVAL = 0.2

#: Maximum seconds for RViz and the publisher of its frame to end.
END_TIMEOUT = 5.0

#: Parameters of the node that matter here, and the fields of rcl_interfaces/ParameterValue.
_FIELDS = {
    "use_sim_time": (ParameterType.PARAMETER_BOOL, "bool_value"),
    "frame_prefix": (ParameterType.PARAMETER_STRING, "string_value"),
    "frame_id": (ParameterType.PARAMETER_STRING, "string_value"),
    "marker_depth": (ParameterType.PARAMETER_DOUBLE, "double_value"),
}


def main(arguments: list[str] | None = None) -> int:
    """Wait for faces and run RViz; returns the exit code.

    Args:
        arguments: such as `--ros-args -r __ns:=/left`: they are RViz's too.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        rviz = Path(get_package_prefix("rviz2"), "lib", "rviz2", "rviz2")
        publisher = Path(
            get_package_prefix("tf2_ros"), "lib", "tf2_ros", "static_transform_publisher"
        )
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        print(
            f"RViz is not installed: sudo apt install ros-{distro}-rviz2, or start without rviz",
            file=sys.stderr,
        )
        return 1
    try:
        stop_request = start_ros(["facemesh_rviz", *arguments], NODE_PROFILE)
    except StartError as error:
        print(f"facemesh_rviz: {error}", file=sys.stderr)
        return 1
    try:
        node = rclpy.create_node("facemesh_rviz")
        namespace = node.get_namespace().strip("/")
        faces, parameters = _first_faces(node, stop_request)
        end_node(node)
    finally:
        rclpy.try_shutdown()
    if faces is None:
        return 0
    camera_frame = faces.header.frame_id or str(parameters["frame_id"])
    view_frame = camera_frame + VIEW_FRAME_SUFFIX
    position = view_position(faces, float(parameters["marker_depth"]))
    clock = ["-p", "use_sim_time:=true"] if parameters["use_sim_time"] else []
    with tempfile.TemporaryDirectory(prefix="facemesh_rviz_") as folder:
        config = Path(folder, "facemesh.rviz")
        config.write_text(_configuration(view_frame, str(parameters["frame_prefix"])))
        # RViz then offers to save changes elsewhere: this folder is removed with RViz.
        config.chmod(0o400)
        return _run(
            [str(publisher), *_transform_arguments(camera_frame, view_frame, position)],
            [
                *(str(rviz), "-d", str(config), "-t", f"{namespace or camera_frame} - RViz"),
                *(*arguments, "--ros-args", *clock),
            ],
            stop_request,
        )


def _configuration(view_frame: str, frame_prefix: str) -> str:
    """Return rviz/facemesh.rviz for the frames of one camera."""
    share = get_package_share_directory("maix_facemesh_ros")
    configuration = yaml.safe_load(Path(share, "rviz", "facemesh.rviz").read_text())
    manager = configuration["Visualization Manager"]
    manager["Global Options"]["Fixed Frame"] = view_frame
    for display in manager["Displays"]:
        if "Filter (whitelist)" in display:
            display["Filter (whitelist)"] = f"^{re.escape(frame_prefix)}(face|gaze)_[0-9]+$"
    return str(yaml.safe_dump(configuration, sort_keys=False))


def view_position(faces: FaceArray, marker_depth: float) -> tuple[float, float, float]:
    """Return where the view is aimed at: meters in the camera's frame.

    That is the sellion of the nearest face that has a pose; else the middle of the largest face's
    box, at the depth of the markers without pose, on which plane the image is as wide as the plane
    is away; else a point straight ahead.
    """
    posed = [face.pose.position for face in faces.faces if face.pose_valid]
    if posed:
        nearest = min(posed, key=lambda position: float(position.z))
        return nearest.x, nearest.y, nearest.z
    if faces.faces and faces.image_width:
        box = max((face.box for face in faces.faces), key=lambda box: float(box.width * box.height))
        x = box.x + box.width / 2 - faces.image_width / 2
        y = box.y + box.height / 2 - faces.image_height / 2
        meters_per_pixel = marker_depth / faces.image_width
        return x * meters_per_pixel, y * meters_per_pixel, marker_depth
    return 0.0, 0.0, marker_depth


def _first_faces(node: Node, stop_request: StopRequest) -> tuple[FaceArray | None, dict[str, Any]]:
    """Return the first message that has a face, or that which there is after `FACE_TIMEOUT`.

    Also the node's parameters; None instead of the message when it is time to go.
    """
    messages: list[FaceArray] = []
    faces = node.create_subscription(FaceArray, "faces", messages.append, QoSProfile(depth=1))
    node.get_logger().info(
        f"RViz starts with the first faces on {faces.topic_name}, in their frame"
    )
    deadline: float | None = None
    while not stop_request.made:
        rclpy.spin_once(node, timeout_sec=LOOK_INTERVAL)
        if not messages:
            continue
        if deadline is None:
            deadline = time.monotonic() + FACE_TIMEOUT
        best = _best(messages)
        if any(face.pose_valid for face in best.faces) or time.monotonic() > deadline:
            return best, _parameters_of_node(node, stop_request)
        messages[:] = [best]
    return None, {}


def _best(messages: Sequence[FaceArray]) -> FaceArray:
    """Return the message with a posed face, or with a face, or the last."""

    def worth(faces: Sequence[Face]) -> tuple[bool, bool]:
        return any(face.pose_valid for face in faces), bool(faces)

    return max(reversed(messages), key=lambda message: worth(message.faces))


def _parameters_of_node(node: Node, stop_request: StopRequest) -> dict[str, Any]:
    """Get the parameters of the node `facemesh`; missing ones have their default."""
    values: dict[str, Any] = {
        "use_sim_time": False,
        "frame_prefix": NodeParameters.frame_prefix,
        "frame_id": NodeParameters.frame_id,
        "marker_depth": NodeParameters.marker_depth,
    }
    client = node.create_client(GetParameters, "facemesh/get_parameters")
    deadline = time.monotonic() + PARAMETER_TIMEOUT
    while not client.service_is_ready() and time.monotonic() < deadline and not stop_request.made:
        rclpy.spin_once(node, timeout_sec=LOOK_INTERVAL)
    answer = client.call_async(GetParameters.Request(names=list(_FIELDS)))
    while not answer.done() and time.monotonic() < deadline and not stop_request.made:
        rclpy.spin_once(node, timeout_sec=LOOK_INTERVAL)
    if answer.done():
        for (name, (kind, field)), value in zip(
            _FIELDS.items(), answer.result().values, strict=False
        ):
            if value.type == kind:
                values[name] = getattr(value, field)
    else:
        node.get_logger().warning(
            f"the node {node.resolve_service_name('facemesh')} does not report "
            "use_sim_time: RViz uses the system time"
        )
    return values


def _transform_arguments(
    parent: str, child: str, position: tuple[float, float, float]
) -> list[str]:
    """Return the arguments of tf2_ros' static_transform_publisher."""
    return [
        *(
            argument
            for name, value in zip(
                ("--x", "--y", "--z", "--qx", "--qy", "--qz", "--qw"),
                (*position, *UPRIGHT),
                strict=True,
            )
            for argument in (name, f"{value:.6f}")
        ),
        *("--frame-id", parent, "--child-frame-id", child),
    ]


def _run(publisher: Sequence[str], rviz: Sequence[str], stop_request: StopRequest) -> int:
    """Run RViz and the publisher of its frame; returns the exit code."""
    frame = subprocess.Popen(publisher)
    window = subprocess.Popen(rviz)
    try:
        while (code := window.poll()) is None and not stop_request.made:
            time.sleep(LOOK_INTERVAL)
        return code or 0
    finally:
        for process in (window, frame):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, at the latest after `END_TIMEOUT` seconds."""
    process.terminate()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
