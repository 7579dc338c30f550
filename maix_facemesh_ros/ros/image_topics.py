"""Names of the topics that belong to an image topic, as image_transport derives them from it."""

from __future__ import annotations

from rclpy.node import Node

from maix_facemesh_ros.messages.transport_names import COMPRESSED, base_topic


def compressed_topic(node: Node, base: str) -> str:
    """Return the topic with the compressed images of a base topic, see `transport_topic`."""
    return transport_topic(node, base, COMPRESSED)


def transport_topic(node: Node, base: str, ending: str) -> str:
    """Return the topic with the images of a base topic, for a publisher or subscriber.

    A remap of the base topic holds for it too, as in image_transport: with
    `image_raw:=/cam/image_raw` it is `/cam/image_raw/compressed`. Its own remap takes precedence.

    Args:
        node: its namespace and remaps are used.
        base: such as `image_raw`.
        ending: that of a transport, such as `/compressed`.
    """
    own = base + ending
    return own if _is_remapped(node, own) else node.resolve_topic_name(base) + ending


def camera_info_topic(node: Node, images: str) -> str:
    """Return the topic with the calibration of an image topic, for a publisher or subscriber.

    It is `camera_info` in the images' namespace, as in image_transport (camera_common.cpp,
    getCameraInfoTopic): `/cam/camera_info` for `/cam/image_raw`. A remap of `camera_info` goes
    before.

    Args:
        node: its namespace and remaps are used.
        images: full name of the topic with the images, by any transport.
    """
    if _is_remapped(node, "camera_info"):
        return "camera_info"
    return f"{base_topic(images).rpartition('/')[0]}/camera_info"


def _is_remapped(node: Node, topic: str) -> bool:
    return node.resolve_topic_name(topic) != node.resolve_topic_name(topic, only_expand=True)
