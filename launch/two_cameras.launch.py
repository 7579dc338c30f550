"""Finds the faces of several cameras: ros2 launch maix_facemesh_ros two_cameras.launch.py.

One node for each camera, each in its camera's namespace: /left/image_raw and /left/faces,
/right/image_raw and /right/faces. More of them: cameras:=front,left,right. The arguments of
facemesh.launch.py, other than namespace, can be given too and hold for all.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir

ARGUMENTS = (("cameras", "left,right", "Namespaces of the cameras, with commas between them."),)


def generate_launch_description() -> LaunchDescription:
    """Describe the argument and facemesh.launch.py once for each camera."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return one node for each camera."""
    facemesh = PathJoinSubstitution([ThisLaunchFileDir(), "facemesh.launch.py"]).perform(context)
    cameras = LaunchConfiguration("cameras").perform(context).split(",")
    return [_camera(camera.strip(), facemesh) for camera in cameras]


def _camera(camera: str, facemesh: str) -> LaunchDescriptionEntity:
    """Return a group for one camera, so that its arguments are not handed on to the next.

    Args:
        camera: the namespace. The frames of its faces begin with it too: the face_1 of another
            camera is under another frame, and a frame has one parent.
        facemesh: path of facemesh.launch.py.
    """
    arguments = [("namespace", camera), ("frame_prefix", f"{camera}/")]
    return GroupAction([IncludeLaunchDescription(facemesh, launch_arguments=arguments)])
