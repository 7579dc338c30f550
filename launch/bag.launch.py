"""Finds the faces of a bag: ros2 launch maix_facemesh_ros bag.launch.py bag:=FOLDER.

Plays the bag beside the node, with the bag's time, and ends with the bag. The arguments of
facemesh.launch.py can be given too, such as image:=/camera/image_raw.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    Shutdown,
    TimerAction,
)
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir

ARGUMENTS = (
    ("bag", None, "The bag to play: its folder or file."),
    ("rate", "1.0", "How fast to play it; where the node drops pictures, slower."),
    ("delay", "3.0", "Seconds before the bag starts, for the node to be ready."),
)

#: Seconds from the end of the bag to the end of the node, for the last picture to be answered.
LAST_ANSWER = 1.0


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, facemesh.launch.py on the bag's time, and the player."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            IncludeLaunchDescription(
                PathJoinSubstitution([ThisLaunchFileDir(), "facemesh.launch.py"]),
                launch_arguments=[("use_sim_time", "true")],
            ),
            ExecuteProcess(
                cmd=["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock"]
                + ["--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("delay")],
                output="screen",
                on_exit=[TimerAction(period=LAST_ANSWER, actions=[Shutdown()])],
            ),
        ]
    )
