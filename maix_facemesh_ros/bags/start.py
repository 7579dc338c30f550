"""Starts `facemesh_bag`, and says what is missing where a package manager has not brought it."""

from __future__ import annotations

import sys

#: What the offline part needs, by the name of its module.
PACKAGES = {
    "lz4": "lz4",
    "mcap": "mcap",
    "rosbags": "rosbags",
    "tqdm": "tqdm",
    "zstandard": "zstandard",
}


def main() -> int:
    """Run `facemesh_bag`; returns the exit code."""
    try:
        from maix_facemesh_ros.bags.facemesh_bag import main as facemesh_bag
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in PACKAGES:
            raise
        print(
            f"facemesh_bag needs {module}: pip install {' '.join(PACKAGES.values())}",
            file=sys.stderr,
        )
        return 1
    return facemesh_bag()


if __name__ == "__main__":
    sys.exit(main())
