"""Finds the faces in a bag: ros2 launch maix_facemesh_ros bag.launch.py bag:=FOLDER.

Starts the node and a player with the bag's time, and ends at the end of the bag. The arguments of
facemesh.launch.py are available too, such as image:=/camera/image_raw.
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

from maix_facemesh_ros.ros.launch_files import (
    fail_with_process,
    refuse_missing_bag,
    refuse_unknown_arguments,
)

#: A path that is known before the launch starts, so that `--show-args` lists its arguments.
FACEMESH = str(Path(__file__).with_name("facemesh.launch.py"))

ARGUMENTS = (
    ("bag", None, "Bag to play: folder or file."),
    ("rate", "1.0", "Playback rate. Lower: fewer dropped images."),
    ("delay", "3.0", "Delay in s before playback, while the node starts."),
)

#: Seconds from the end of the bag to the end of the node, for the faces of the last image.
LAST_ANSWER = 1.0

#: Advice when the player fails: its own message is above.
IF_IT_FAILS = (
    "see the message of `ros2 bag play` above. It is part of ros-$ROS_DISTRO-rosbag2, and MCAP"
    " files need ros-$ROS_DISTRO-rosbag2-storage-mcap; `ros2 bag info` names the storage of a"
    " bag, and `ros2 bag reindex` repairs one without metadata.yaml. `facemesh_replay` needs no"
    " rosbag2"
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, facemesh.launch.py with the bag's time, and the player."""
    entities: list[LaunchDescriptionEntity] = [
        *(
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, default, description in ARGUMENTS
        ),
        OpaqueFunction(function=refuse_missing_bag, args=[__file__]),
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
    """End with the player: at once after an error, otherwise after the last faces."""
    fail_with_process(__file__, IF_IT_FAILS)(event, context)
    return [TimerAction(period=LAST_ANSWER, actions=[Shutdown()])]
