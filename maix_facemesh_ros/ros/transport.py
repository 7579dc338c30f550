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


def shared_memory_environment() -> dict[str, str]:
    """Return the variable that lets Fast DDS pass whole pictures through shared memory.

    Empty when the user has a profile of their own, or another middleware. It must be set before a
    process calls `rclpy.init`, in the camera's process as well as in the node's.
    """
    profile = find_share_file("config", "fastdds_shared_memory.xml")
    if profile is None or any(name in os.environ for name in PROFILE_VARIABLES.values()):
        return {}
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), f"{sys.prefix}/lib"]
    for library, name in PROFILE_VARIABLES.items():
        if any(any(Path(folder).glob(f"{library}*")) for folder in folders if folder):
            return {name: str(profile)}
    return {}
