"""Qualities of service as bags describe them: YAML in a text."""

from __future__ import annotations

from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import parse_qos

#: Characters of a text that describes qualities of service; more are not read.
LONGEST_QOS = 100_000
DEEPEST_QOS = 100


def qos_of(text: str) -> tuple[Qos, ...]:
    """Return the qualities of service that a text describes; none where it cannot be read."""
    levels = sum(text.count(start) for start in ("[", "{", "- -"))
    if len(text) > LONGEST_QOS or "*" in text or levels > DEEPEST_QOS:
        return ()
    try:
        return tuple(parse_qos(text))
    except Exception:  # made by hand, perhaps; nothing depends on it
        return ()
