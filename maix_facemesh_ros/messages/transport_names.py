"""Endings of image topics, by which image_transport tells how the images come."""

from __future__ import annotations

from typing import Final

COMPRESSED: Final = "/compressed"

#: By which a base topic such as `image_raw` gets the topic of a transport.
ENDINGS: Final = (COMPRESSED, "/ffmpeg", "/foxglove")


def base_topic(topic: str) -> str:
    """Return the name of a topic of images without the ending of its transport."""
    for ending in ENDINGS:
        if topic.endswith(ending):
            return topic.removesuffix(ending)
    return topic
