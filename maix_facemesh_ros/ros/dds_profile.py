"""How images travel between the processes of one machine."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from maix_facemesh_ros.model_files import find_share_file

#: The variable that names Fast DDS's profiles, by Fast DDS's library: 3 with ROS 2 Kilted, which
#: warns of the old name, and 2 up to Jazzy, which does not know the new one.
PROFILE_VARIABLES = {
    "libfastdds.so": "FASTDDS_DEFAULT_PROFILES_FILE",
    "libfastrtps.so": "FASTRTPS_DEFAULT_PROFILES_FILE",
}


#: Profiles in config/: for a process that sends images, and for one that receives them.
CAMERA_PROFILE = "fastdds_shared_memory.xml"
NODE_PROFILE = "fastdds_node.xml"

#: Bytes of a UDP socket's receive buffer that `NODE_PROFILE` asks for, and that images need.
RECEIVE_BUFFER = 4 << 20


def shared_memory_environment(profile_name: str = CAMERA_PROFILE) -> dict[str, str]:
    """Return the variable that makes Fast DDS carry whole images.

    Empty when the user has a profile of their own, or another middleware. It must be set before a
    process calls `rclpy.init`.

    Args:
        profile_name: `CAMERA_PROFILE` for a process that sends images, or `NODE_PROFILE`.
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


def advice_on_lost_images() -> str:
    """Return a remedy against images lost in transport to this process."""
    chosen = [os.environ[name] for name in PROFILE_VARIABLES.values() if name in os.environ]
    foreign = next((name for name in chosen if not _is_of_this_package(name)), None)
    if foreign is not None:
        return f"Fast DDS's profile {foreign} is in force; without it this node takes its own"
    return advice_on_receive_buffer() or (
        "the machine or the network is overloaded. Publish fewer or smaller images, or reliably, "
        "or set image_transport to compressed"
    )


def advice_on_receive_buffer() -> str:
    """Return the command that lets the kernel's receive buffers hold images; empty if they do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # Linux doubles the value, for its own bookkeeping (socket(7)).
        granted = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted >= RECEIVE_BUFFER:
        return ""
    return (
        f"the kernel limits a receive buffer to {granted} bytes, which is less than an image. "
        f"Type: sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER}, and restart this node"
    )


def _is_of_this_package(chosen: str) -> bool:
    """Tell whether a file is one of these profiles, possibly of another installation."""
    file = Path(chosen)
    profiles = (find_share_file("config", name) for name in (CAMERA_PROFILE, NODE_PROFILE))
    return file.is_file() and any(
        profile is not None and profile.read_bytes() == file.read_bytes() for profile in profiles
    )
