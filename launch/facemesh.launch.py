"""Starts facemesh_node, and RViz if asked: ros2 launch maix_facemesh_ros facemesh.launch.py."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from maix_facemesh_ros.ros.transport import shared_memory_environment

SHARE = FindPackageShare("maix_facemesh_ros")

ARGUMENTS = (
    ("params_file", PathJoinSubstitution([SHARE, "config", "facemesh.yaml"]), "Parameters, YAML."),
    ("backend", "auto", "Where faces are computed: auto or onnx."),
    ("source", "", "Camera or file to read; empty: the topic `image`."),
    ("image", "image_raw", "Topic with the pictures."),
    ("faces", "faces", "Topic for the faces."),
    ("namespace", "", "Namespace of the node and its topics, one for each camera."),
    ("use_sim_time", "false", "Take the time from /clock, as when a bag is played with --clock."),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    ("rviz", "false", "Start RViz beside the node."),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, the node and RViz."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            *(
                SetEnvironmentVariable(name, value)
                for name, value in shared_memory_environment().items()
            ),
            OpaqueFunction(function=_node),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", PathJoinSubstitution([SHARE, "rviz", "facemesh.rviz"])],
                remappings=[("image_raw", LaunchConfiguration("image"))],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node, with those arguments that were given laid over the parameter file."""
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    overrides = {name: given[name] for name, default, _ in ARGUMENTS[1:3] if given[name] != default}
    overrides["use_sim_time"] = given["use_sim_time"].lower() == "true"
    return [
        Node(
            package="maix_facemesh_ros",
            executable="facemesh_node",
            name="facemesh",
            namespace=given["namespace"],
            parameters=[given["params_file"], overrides],
            remappings=[("image_raw", given["image"]), ("faces", given["faces"])],
            arguments=["--ros-args", "--log-level", given["log_level"]],
            output="screen",
        )
    ]
