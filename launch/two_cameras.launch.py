"""Finds the faces of several cameras: ros2 launch maix_facemesh_ros two_cameras.launch.py.

One node for each camera, each in its camera's namespace: /left/image_raw and /left/faces,
/right/image_raw and /right/faces. More of them: cameras:=front,left,right. The arguments of
facemesh.launch.py, other than namespace and frame_prefix, can be given too and hold for all.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration

from maix_facemesh_ros.ros.launch_files import LaunchError, refuse_unknown_arguments

FACEMESH = str(Path(__file__).with_name("facemesh.launch.py"))

ARGUMENTS = (
    ("cameras", "left,right", "Namespaces of the cameras, with commas between them."),
    ("view_port", "8478", "Port of the first camera's view; the next ones have the next ports."),
)

#: What each camera has of its own.
OF_EACH_CAMERA = ("namespace", "frame_prefix")


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and facemesh.launch.py once for each camera."""
    own = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    # What is included depends on the cameras, so that `--show-args` would not see its arguments.
    included = LaunchDescription([IncludeLaunchDescription(FACEMESH)]).get_launch_arguments()
    hidden = {*OF_EACH_CAMERA, *(argument.name for argument in own)}
    arguments = [*own, *(argument for argument in included if argument.name not in hidden)]
    known = [argument.name for argument in arguments]
    refuse = OpaqueFunction(function=refuse_unknown_arguments, args=[__file__, known])
    return LaunchDescription([refuse, *arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return one node for each camera."""
    cameras = LaunchConfiguration("cameras").perform(context).split(",")
    port = LaunchConfiguration("view_port").perform(context)
    if not port.isdecimal():
        raise LaunchError(f"view_port is {port!r}: give a number")
    return [_camera(camera.strip(), int(port) + i) for i, camera in enumerate(cameras)]


def _camera(camera: str, view_port: int) -> LaunchDescriptionEntity:
    """Return a group for one camera, so that its arguments are not handed on to the next.

    Args:
        camera: the namespace. The frames of its faces begin with it too: the face_1 of another
            camera is under another frame, and a frame has one parent.
        view_port: of its view.
    """
    arguments = [
        ("namespace", camera),
        ("frame_prefix", f"{camera}/"),
        ("view_port", str(view_port)),
    ]
    return GroupAction([IncludeLaunchDescription(FACEMESH, launch_arguments=arguments)])
