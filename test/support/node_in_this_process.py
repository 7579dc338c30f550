"""A `FaceMeshNode` in the process of the test, which calls it directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode


@contextmanager
def node_in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaceMeshNode]:
    """A node without its executor; it must not end the ROS of this process with itself."""
    node = FaceMeshNode()
    monkeypatch.setattr(node.context, "try_shutdown", lambda: None)
    try:
        yield node
    finally:
        node.stop()
