"""Files that users name: their order, and small ones such as calibrations and tokens.

A name may begin with `~`, `file://` or `package://`. Everything but a small regular file is refused
at once: a named pipe or a device would block the program, even against SIGINT.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from maix_facemesh_ros.model_files import PACKAGE, find_share_file

#: Maximum size of such a file in bytes: a calibration has about 1,000, a token 40.
LARGEST_FILE = 1 << 16

_PACKAGE_URL = re.compile(r"package://([A-Za-z0-9_]+)/(.+)")


def path_of(name: str | Path) -> Path:
    """Return the path of a file as users name it.

    Args:
        name: a path, with `~` for the home folder, or a URL as in camera drivers:
            `file:///path`, or `package://package/path` in that package's share folder
            (camera_info_manager).

    Raises:
        FileNotFoundError: there is no such package, or no such file in it.
    """
    name = str(name)
    if name.startswith("file://"):
        return Path(unquote(name.removeprefix("file://")))
    if not name.startswith("package://"):
        return Path(name).expanduser()
    parts = _PACKAGE_URL.fullmatch(name)
    if parts is None:
        raise FileNotFoundError(f"{name} does not name a package and a file in it")
    package, file = parts.groups()
    own = find_share_file(*Path(file).parts) if package == PACKAGE else None
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    candidates = [Path(prefix, "share", package, file) for prefix in prefixes]
    found = own or next((each for each in candidates if each.exists()), None)
    if found is None:
        raise FileNotFoundError(
            f"no package {package} with {file} in its share folder is installed (AMENT_PREFIX_PATH)"
        )
    return found


def read_small_file(name: str | Path) -> bytes:
    """Return the content of a file; see `path_of` for its name.

    Raises:
        OSError: it cannot be read, is not a regular file, or is too large.
    """
    path = path_of(name)
    # Not blocking, because opening a pipe that nothing writes into would.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"{path} is not a regular file")
        if about.st_size > LARGEST_FILE:
            raise OSError(f"{path} has {about.st_size} bytes: {LARGEST_FILE} are the most")
        return stream.read(LARGEST_FILE)


def read_token(name: str | Path) -> str:
    """Return the token in a file, without the white space around it; empty if there is none.

    Raises:
        OSError: it cannot be read, or is not text.
    """
    try:
        return read_small_file(name).decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise OSError(f"{name} is not text: {error}") from error


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return what sorts face2.png before Face10.png."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.name.casefold())
    return [(int(number or -1), text) for number, text in parts], path.name


def exposure_of(file: Path) -> str:
    """Return a warning if others than its owner can read or change a token file, else ""."""
    mode = file.stat().st_mode & 0o777
    others = [what for bits, what in ((0o044, "read"), (0o022, "change")) if mode & bits]
    if not others:
        return ""
    return (
        f"other users of this machine can {' and '.join(others)} the token file {file} "
        f"(mode {mode:04o}): run chmod 600 {file}"
    )
