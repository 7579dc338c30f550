"""The processors that this process may use."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """Return their number: on Linux those that the process is bound to, elsewhere all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
