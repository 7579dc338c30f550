"""The file that `ros2 param dump /facemesh` wrote, of a node that subscribes to /cam/image_raw."""

from __future__ import annotations

from pathlib import Path

DUMPED = Path(__file__).parents[1] / "data" / "dumped_params.yaml"
