"""`facemesh maixcam-check`: whether a MaixCAM, its app and the network do what the node needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
examples:
  facemesh maixcam-check 10.131.167.1 --token-file ~/.ros/maixcam_token
  facemesh maixcam-check maixcam-1a2b.local --token ABCD-EFGH-IJKL-MNOP --output report

Paste the output into a report: it contains no token.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a device and print a report; returns 0 if all is well, 1 if not."""
    given = _parser().parse_args(arguments)
    # Not with the module: `--help` and a wrong command line need no library.
    from maix_facemesh_ros.programs.maixcam_report import run

    return run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facemesh maixcam-check",
        description="Connect to the app on a MaixCAM; print versions, clock and rate, and save "
        "three images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("address", help="of the device, as its screen shows it")
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument("--token-file", default="", help="file with the token")
    token.add_argument("--token", default="", help="the token on the device's screen")
    add("--certificate", default="", help="the device's certificate, where TLS is on")
    add("--seconds", type=float, default=10.0, help="duration (default: %(default)s)")
    add("--output", type=Path, default=Path(), help="folder for the images (default: this one)")
    return parser
