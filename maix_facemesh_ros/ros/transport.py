"""How pictures travel between the processes of one machine."""

from __future__ import annotations

import os

from maix_facemesh_ros.model_files import find_share_file

#: Environment variables that name Fast DDS's profiles: up to Jazzy, and from Kilted on.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def shared_memory_environment() -> dict[str, str]:
    """Return the variables that let Fast DDS pass whole pictures through shared memory.

    Empty when the user has a profile of their own. The variables must be set before a process
    calls `rclpy.init`, in the camera's process as well as in the node's.
    """
    profile = find_share_file("config", "fastdds_shared_memory.xml")
    if profile is None or any(name in os.environ for name in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(profile))
