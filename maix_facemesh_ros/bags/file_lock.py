"""A lock on a file, which its process holds until it ends.

Windows has no such lock, and cannot rename a folder with an open file in it: there two jobs with
the same output are not kept apart.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from maix_facemesh_ros.errors import FaceMeshError


class ReplacedFileError(FaceMeshError, OSError):
    """The file that was locked is not the one of this name any more."""


def lock_new_file(path: Path) -> int | None:
    """Make a file and lock it; returns its descriptor, None on Windows.

    Raises:
        OSError: it cannot be made.
    """
    if sys.platform == "win32":
        path.touch()
        return None
    import fcntl

    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def lock_file(path: Path) -> int | None:
    """Lock a file that another process may have locked, or has removed; see `lock_new_file`.

    Raises:
        BlockingIOError: another process holds the lock.
        FileNotFoundError: the file that was locked has been removed.
        ReplacedFileError: another process has replaced it.
        OSError: it cannot be opened, as it is a link.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
        raise ReplacedFileError(f"{path} is another file now")
    except OSError:
        os.close(lock)
        raise


def release(lock: int | None) -> None:
    """Unlock a file."""
    if lock is not None:
        os.close(lock)
