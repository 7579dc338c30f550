"""Starts facemesh_node and, optionally, RViz or the browser view.

ros2 launch maix_facemesh_ros facemesh.launch.py
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from maix_facemesh_ros.ros.launch_files import (
    PACKAGE,
    fail_with_process,
    parameter_arguments,
    refuse_unknown_arguments,
)

SHARE = FindPackageShare(PACKAGE)

ARGUMENTS = (
    ("params_file", PathJoinSubstitution([SHARE, "config", "facemesh.yaml"]), "Parameter file."),
    ("image", "image_raw", "Topic of the images; compressed images are on IMAGE/compressed."),
    (
        "camera_info",
        "",
        "Topic of the camera's calibration. Empty: camera_info in the namespace of image.",
    ),
    ("faces", "faces", "Topic of the faces."),
    ("namespace", "", "Namespace of the node and its topics. Each camera needs its own."),
    (
        "use_sim_time",
        "",
        "true: use the time on /clock, as when a bag is played with --clock. "
        "Empty: as in params_file.",
    ),
    ("log_level", "info", "Minimum level of log lines: debug, info, warn, error or fatal."),
    (
        "rviz",
        "false",
        "true: start RViz when the first faces arrive; the node also publishes tf and, with a "
        "MaixCAM, its images.",
    ),
    ("view", "false", "true: also start facemesh_view, which shows the faces in a browser."),
    ("view_port", "", "Port of facemesh_view. Empty: as in view_params_file."),
    (
        "view_params_file",
        PathJoinSubstitution([SHARE, "config", "facemesh_view.yaml"]),
        "Parameter file of facemesh_view.",
    ),
)

#: With RViz: outputs that it displays and that are off by default.
FOR_RVIZ = {"tf": True, "maixcam_jpeg": True}


#: This also remaps compressed images and the calibration.
IMAGE_REMAPPING = ("image_raw", LaunchConfiguration("image"))


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, the node, RViz and the browser view."""
    entities: list[LaunchDescriptionEntity] = [
        *(
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, default, description in ARGUMENTS
        ),
        *(
            DeclareLaunchArgument(name, default_value="", description=description)
            for name, _, description in parameter_arguments()
        ),
        OpaqueFunction(function=_node),
        Node(
            package=PACKAGE,
            executable="facemesh_rviz",
            namespace=LaunchConfiguration("namespace"),
            remappings=[("faces", LaunchConfiguration("faces"))],
            output="screen",
            condition=IfCondition(LaunchConfiguration("rviz")),
            on_exit=fail_with_process(__file__),
        ),
        OpaqueFunction(function=_view, condition=IfCondition(LaunchConfiguration("view"))),
    ]
    known = [argument.name for argument in LaunchDescription(entities).get_launch_arguments()]
    refuse = OpaqueFunction(function=refuse_unknown_arguments, args=[__file__, known])
    return LaunchDescription([refuse, *entities])


def _node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node; arguments that were given override the parameter file."""
    arguments = [("use_sim_time", bool), *(each[:2] for each in parameter_arguments())]
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in arguments
        if LaunchConfiguration(name).perform(context)
    }
    for_rviz = FOR_RVIZ if IfCondition(LaunchConfiguration("rviz")).evaluate(context) else {}
    camera_info = LaunchConfiguration("camera_info")
    return [
        Node(
            package=PACKAGE,
            executable="facemesh_node",
            name="facemesh",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), {**for_rviz, **given}],
            remappings=[
                IMAGE_REMAPPING,
                *([("camera_info", camera_info)] if camera_info.perform(context) else []),
                ("faces", LaunchConfiguration("faces")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
            on_exit=fail_with_process(__file__),
        )
    ]


def _view(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the browser view."""
    port = LaunchConfiguration("view_port")
    given = {"port": ParameterValue(port, value_type=int)} if port.perform(context) else {}
    return [
        Node(
            package=PACKAGE,
            executable="facemesh_view",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("view_params_file"), given],
            remappings=[IMAGE_REMAPPING, ("faces", LaunchConfiguration("faces"))],
            output="screen",
            on_exit=fail_with_process(__file__),
        )
    ]
