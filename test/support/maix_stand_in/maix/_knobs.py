"""The environment variables that change what the stand-in does; the package describes them."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "MAIX_STAND_IN_"


def text(name: str, default: str = "") -> str:
    """Return the value, or the default if it is not set or empty."""
    return os.environ.get(PREFIX + name) or default


def number(name: str, default: float = 0.0) -> float:
    """Return the value as a number."""
    return float(text(name, str(default)))


def numbers(name: str) -> frozenset[int]:
    """Return the whole numbers of a list with commas."""
    return frozenset(int(part) for part in text(name).split(",") if part.strip())


def path(name: str) -> Path | None:
    """Return the value as a path; None if it is not set."""
    value = text(name)
    return Path(value) if value else None


def append_line(name: str, line: str) -> None:
    """Append a line to the file that the variable names, at once, so that readers need not wait."""
    file = path(name)
    if file is not None:
        with file.open("ab", buffering=0) as log:
            log.write(f"{line}\n".encode())
