"""The virtual environments of the benchmark, and how a process is started in one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: This package and ROS, as a user has them.
OURS = Path(sys.prefix)
#: MediaPipe 0.10.21, TFLite, and ROS for the wrapper node; made by the Makefile.
PEERS = ROOT / ".venv-bench"
#: The newest MediaPipe.
NEWEST = ROOT / ".venv-bench-newest"

#: What an environment with ROS wheels tells the programs that it starts, and others must not hear.
_OF_THIS_ENVIRONMENT = (
    "AMENT_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


def python_of(environment: Path) -> str:
    """Return the Python of an environment.

    Raises:
        FileNotFoundError: the environment has not been made.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            f"{environment.name} is missing: `make bench` makes it, and says why it could not"
        )
    return str(python)


def variables_for(environment: Path) -> dict[str, str]:
    """Return the variables for a process in an environment."""
    variables = {name: at for name, at in os.environ.items() if name not in _OF_THIS_ENVIRONMENT}
    return {**variables, "AMENT_PREFIX_PATH": str(environment)}
