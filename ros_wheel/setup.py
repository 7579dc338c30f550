"""Builds the wheel with the messages: see tools/ros_wheel.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from ros_wheel import main

main()
