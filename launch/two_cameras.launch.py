"""Finds the faces of several cameras: ros2 launch maix_facemesh_ros two_cameras.launch.py.

Starts one node per camera in the camera's namespace: /left/image_raw and /left/faces,
/right/image_raw and /right/faces. For more cameras: cameras:=front,left,right. The arguments of
facemesh.launch.py, except namespace and frame_prefix, are available too and apply to all nodes.
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
    ("cameras", "left,right", "Namespaces of the cameras, separated by commas."),
    (
        "view_port",
        "8478",
        "Port of the first camera's view; the other views use the following ports.",
    ),
)

#: Arguments that differ between cameras.
OF_EACH_CAMERA = ("namespace", "frame_prefix")


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and facemesh.launch.py once per camera."""
    own = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    # The included files depend on the cameras: `--show-args` would not list their arguments.
    included = LaunchDescription([IncludeLaunchDescription(FACEMESH)]).get_launch_arguments()
    hidden = {*OF_EACH_CAMERA, *(argument.name for argument in own)}
    arguments = [*own, *(argument for argument in included if argument.name not in hidden)]
    known = [argument.name for argument in arguments]
    refuse = OpaqueFunction(function=refuse_unknown_arguments, args=[__file__, known])
    return LaunchDescription([refuse, *arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return one node per camera."""
    cameras = LaunchConfiguration("cameras").perform(context).split(",")
    port = LaunchConfiguration("view_port").perform(context)
    if not port.isdecimal():
        raise LaunchError(f"view_port is {port!r}: give a number")
    return [_camera(camera.strip(), int(port) + i) for i, camera in enumerate(cameras)]


def _camera(camera: str, view_port: int) -> LaunchDescriptionEntity:
    """Return a group for one camera, which keeps its arguments from the next camera.

    Args:
        camera: the namespace. It is also the prefix of the camera's tf frames: face_1 of another
            camera has another parent, and a frame has one parent.
        view_port: port of the camera's view.
    """
    arguments = [
        ("namespace", camera),
        ("frame_prefix", f"{camera}/"),
        ("view_port", str(view_port)),
    ]
    return GroupAction([IncludeLaunchDescription(FACEMESH, launch_arguments=arguments)])
