"""Finds the faces before a webcam: ros2 launch maix_facemesh_ros webcam.launch.py.

The node reads the camera itself, no camera driver is needed. The arguments of facemesh.launch.py
can be given too.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir

ARGUMENTS = (("device", "/dev/video0", "The camera: its path or number."),)


def generate_launch_description() -> LaunchDescription:
    """Describe the argument and facemesh.launch.py with the camera as its source."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            IncludeLaunchDescription(
                PathJoinSubstitution([ThisLaunchFileDir(), "facemesh.launch.py"]),
                launch_arguments=[("source", LaunchConfiguration("device"))],
            ),
        ]
    )
