"""Starts facemesh_node, and if asked what shows its faces, in RViz or in a browser.

ros2 launch maix_facemesh_ros facemesh.launch.py
"""

from __future__ import annotations

from pathlib import PurePosixPath

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from maix_facemesh_ros.ros.transport import shared_memory_environment

SHARE = FindPackageShare("maix_facemesh_ros")

ARGUMENTS = (
    ("params_file", PathJoinSubstitution([SHARE, "config", "facemesh.yaml"]), "Parameters, YAML."),
    (
        "backend",
        "",
        "Where faces are computed: auto, onnx, maix or maixcam. Empty: as params_file says.",
    ),
    (
        "source",
        "",
        "Camera, file, folder or URL to read instead of the topic. Empty: as params_file says.",
    ),
    (
        "maixcam_address",
        "",
        "With backend maixcam: the device, such as maixcam-1a2b.local. Empty: as params_file says.",
    ),
    (
        "maixcam_token_file",
        "",
        "With backend maixcam: file with the device's token. Empty: as params_file says.",
    ),
    (
        "maixcam_jpeg",
        "",
        "true: publish the MaixCAM's pictures on IMAGE/compressed. Empty: as params_file says.",
    ),
    (
        "frame_prefix",
        "",
        "With tf: what the names of the published frames begin with, such as left/. "
        "Empty: as params_file says.",
    ),
    ("image", "image_raw", "Topic with the pictures; compressed ones on IMAGE/compressed."),
    ("camera_info", "", "Topic with the camera's calibration. Empty: camera_info beside image."),
    ("faces", "faces", "Topic for the faces."),
    ("namespace", "", "Namespace of the node and its topics, one for each camera."),
    (
        "use_sim_time",
        "",
        "true: take the time from /clock, as when a bag is played with --clock. "
        "Empty: as params_file says.",
    ),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    (
        "rviz",
        "false",
        "true: start RViz with the first faces, and have the node give it tf and, of a MaixCAM, "
        "its pictures.",
    ),
    ("view", "false", "true: start facemesh_view beside the node, to look with a browser."),
    (
        "view_params_file",
        PathJoinSubstitution([SHARE, "config", "facemesh_view.yaml"]),
        "Parameters of facemesh_view, YAML.",
    ),
)

#: Arguments that are parameters of the node, with their types.
PARAMETERS = {
    "backend": str,
    "source": str,
    "maixcam_address": str,
    "maixcam_token_file": str,
    "maixcam_jpeg": bool,
    "frame_prefix": str,
    "use_sim_time": bool,
}

#: With RViz: what it shows and the node does not give by default.
FOR_RVIZ = {"tf": True, "maixcam_jpeg": True}


IMAGE_REMAPPINGS = (
    ("image_raw", LaunchConfiguration("image")),
    ("image_raw/compressed", [LaunchConfiguration("image"), "/compressed"]),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, the node, RViz and the browser view."""
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
                package="maix_facemesh_ros",
                executable="facemesh_rviz",
                namespace=LaunchConfiguration("namespace"),
                remappings=[("faces", LaunchConfiguration("faces"))],
                output="screen",
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
            Node(
                package="maix_facemesh_ros",
                executable="facemesh_view",
                namespace=LaunchConfiguration("namespace"),
                parameters=[LaunchConfiguration("view_params_file")],
                remappings=[*IMAGE_REMAPPINGS, ("faces", LaunchConfiguration("faces"))],
                condition=IfCondition(LaunchConfiguration("view")),
                output="screen",
            ),
        ]
    )


def _node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node, with those arguments that were given laid over the parameter file."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    for_rviz = FOR_RVIZ if IfCondition(LaunchConfiguration("rviz")).evaluate(context) else {}
    image = LaunchConfiguration("image").perform(context)
    beside_image = str(PurePosixPath(image).parent / "camera_info")
    camera_info = LaunchConfiguration("camera_info").perform(context) or beside_image
    return [
        Node(
            package="maix_facemesh_ros",
            executable="facemesh_node",
            name="facemesh",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), {**for_rviz, **given}],
            remappings=[
                *IMAGE_REMAPPINGS,
                ("camera_info", camera_info),
                ("faces", LaunchConfiguration("faces")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]
