"""What a node prints: which lines a user would worry about."""

from __future__ import annotations

import re

#: The only warning that is none: on a busy machine the first image may take its time.
WAITING = "no image on"

#: Fast DDS says so when a shared memory port belongs to another process that does not react: not a
#: fault of the node, which does not receive through shared memory.
PORT_OF_OTHERS = re.compile(r"RTPS_TRANSPORT_SHM.*Failed init_port")

COMPLAINTS = re.compile(
    r"traceback|error|failed|qos|quality of service|\[(WARN|WARNING|FATAL)\] \[\d", re.IGNORECASE
)


def complaints(output: str) -> list[str]:
    """Return the lines of a node's or a launch's output that a user would worry about."""
    return [
        line
        for line in output.splitlines()
        if COMPLAINTS.search(line) and WAITING not in line and not PORT_OF_OTHERS.search(line)
    ]
