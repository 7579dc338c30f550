"""How pictures travel between the processes of one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from maix_facemesh_ros.model_files import find_share_file

#: The variable that names Fast DDS's profiles, by Fast DDS's library: 3 with ROS 2 Kilted, which
#: warns of the old name, and 2 up to Jazzy, which does not know the new one.
PROFILE_VARIABLES = {
    "libfastdds.so": "FASTDDS_DEFAULT_PROFILES_FILE",
    "libfastrtps.so": "FASTRTPS_DEFAULT_PROFILES_FILE",
}


#: Profiles in config/: for whoever sends pictures, and for the node, whose own messages are small.
CAMERA_PROFILE = "fastdds_shared_memory.xml"
NODE_PROFILE = "fastdds_node.xml"


def shared_memory_environment(profile_name: str = CAMERA_PROFILE) -> dict[str, str]:
    """Return the variable that lets Fast DDS pass whole pictures through shared memory.

    Empty when the user has a profile of their own, or another middleware. It must be set before a
    process calls `rclpy.init`, in the camera's process as well as in the node's.

    Args:
        profile_name: `CAMERA_PROFILE` for a process that sends pictures, or `NODE_PROFILE`.
    """
    profile = find_share_file("config", profile_name)
    chosen = [os.environ[name] for name in PROFILE_VARIABLES.values() if name in os.environ]
    if profile is None or not all(map(_is_of_this_package, chosen)):
        return {}
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), f"{sys.prefix}/lib"]
    for library, name in PROFILE_VARIABLES.items():
        if any(any(Path(folder).glob(f"{library}*")) for folder in folders if folder):
            return {name: str(profile)}
    return {}


def _is_of_this_package(chosen: str) -> bool:
    """Tell if a file is one of the profiles here, perhaps of another install."""
    file = Path(chosen)
    profiles = (find_share_file("config", name) for name in (CAMERA_PROFILE, NODE_PROFILE))
    return file.is_file() and any(
        profile is not None and profile.read_bytes() == file.read_bytes() for profile in profiles
    )
