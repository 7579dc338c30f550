"""`facemesh_node` as the child of a program: it ends when that program ends, also by SIGKILL.

The child's standard input is a pipe whose other end only the parent has. The kernel closes it with
the parent, however that ends, and the child stops; multiprocessing watches its parent in the same
way. `facemesh_node` itself does not read its standard input, which may be closed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

#: Maximum seconds for a node to stop before it is killed.
STOP_TIMEOUT = 10.0

STANDARD_INPUT = 0


def start_node(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a node, which `stop_nodes` or the end of this process stops. Main thread only.

    Args:
        arguments: those after `--ros-args`.
    """
    program = [sys.executable, "-m", __name__, "--ros-args"]
    # Ctrl-C in a terminal reaches both processes: this one stops the node. The child inherits that.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.Popen([*program, *arguments], stdin=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)


def stop_nodes(nodes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop nodes, at the latest after `STOP_TIMEOUT` seconds each."""
    for node in nodes:
        if node.stdin is not None:
            node.stdin.close()
    for node in nodes:
        try:
            node.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()


def main() -> int:
    """Run the node until it is stopped; returns the exit code."""
    threading.Thread(target=_stop_with_parent, name="parent watch", daemon=True).start()
    # Not with the module: the import takes seconds in which the parent may end.
    from maix_facemesh_ros.ros import facemesh_node

    return facemesh_node.main()


def _stop_with_parent() -> None:
    """Wait for the end of the parent, and stop this process as SIGTERM does from outside."""
    while os.read(STANDARD_INPUT, 1):
        pass  # Nothing is sent.
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
