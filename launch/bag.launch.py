"""Finds the faces of a bag: ros2 launch maix_facemesh_ros bag.launch.py bag:=FOLDER.

Plays the bag beside the node, with the bag's time, and ends with the bag. The arguments of
facemesh.launch.py can be given too, such as image:=/camera/image_raw.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration

from maix_facemesh_ros.ros.launch_files import fail_with_process, refuse_unknown_arguments

#: A path that is known before the start, so that `--show-args` sees its arguments.
FACEMESH = str(Path(__file__).with_name("facemesh.launch.py"))

ARGUMENTS = (
    ("bag", None, "The bag to play: its folder or file."),
    ("rate", "1.0", "How fast to play it; where the node drops images, slower."),
    ("delay", "3.0", "Seconds before the bag starts, for the node to be ready."),
)

#: Seconds from the end of the bag to the end of the node, for the last image to be answered.
LAST_ANSWER = 1.0


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, facemesh.launch.py on the bag's time, and the player."""
    entities: list[LaunchDescriptionEntity] = [
        *(
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, default, description in ARGUMENTS
        ),
        IncludeLaunchDescription(FACEMESH, launch_arguments=[("use_sim_time", "true")]),
        ExecuteProcess(
            cmd=["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock"]
            + ["--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("delay")],
            output="screen",
            on_exit=_end,
        ),
    ]
    known = [argument.name for argument in LaunchDescription(entities).get_launch_arguments()]
    refuse = OpaqueFunction(function=refuse_unknown_arguments, args=[__file__, known])
    return LaunchDescription([refuse, *entities])


def _end(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """End with the player: at once with an error, or after the last image is answered."""
    fail_with_process(__file__)(event, context)
    return [TimerAction(period=LAST_ANSWER, actions=[Shutdown()])]
