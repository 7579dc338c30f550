"""Finds the faces in a webcam's images: ros2 launch maix_facemesh_ros webcam.launch.py.

The node reads the camera itself; a camera driver is not needed. The arguments of
facemesh.launch.py are available too.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration

from maix_facemesh_ros.ros.launch_files import refuse_unknown_arguments

#: A path that is known before the launch starts, so that `--show-args` lists its arguments.
FACEMESH = str(Path(__file__).with_name("facemesh.launch.py"))

ARGUMENTS = (("device", "/dev/video0", "Path or number of the camera."),)


def generate_launch_description() -> LaunchDescription:
    """Describe the argument and facemesh.launch.py with the camera as its source."""
    entities: list[LaunchDescriptionEntity] = [
        *(
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, default, description in ARGUMENTS
        ),
        IncludeLaunchDescription(
            FACEMESH, launch_arguments=[("source", LaunchConfiguration("device"))]
        ),
    ]
    known = [argument.name for argument in LaunchDescription(entities).get_launch_arguments()]
    refuse = OpaqueFunction(function=refuse_unknown_arguments, args=[__file__, known])
    return LaunchDescription([refuse, *entities])
