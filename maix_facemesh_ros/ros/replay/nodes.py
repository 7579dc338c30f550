"""The nodes that answer images with faces: found in the ROS graph, or started here."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from maix_facemesh_ros.bags.camera_topics import COMPRESSED_IMAGE, IMAGE
from maix_facemesh_ros.bags.message_types import CAMERA_INFO, FACE_ARRAY
from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.messages.transport_names import base_topic
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.diagnostic_keys import ANSWERED, ARRIVED, NOT_ANSWERED, REASON, STATUS
from maix_facemesh_ros.ros.facemesh_node_child import start_node, stop_nodes
from maix_facemesh_ros.ros.transports import VIDEO_MESSAGES

#: The node's parameter `image_transport`, by the type of a topic of images.
TRANSPORTS = {
    IMAGE: "raw",
    COMPRESSED_IMAGE: "compressed",
    **{f"{video.package}/msg/{video.message}": name for name, video in VIDEO_MESSAGES.items()},
}

#: Seconds between two checks of the graph, and until the first report of what is missing.
LOOK = 0.05
FIRST_TELL, PATIENCE_WITH_STARTED, TELL_INTERVAL = 1.0, 10.0, 5.0

#: Seconds without a new node, or subscriber, after which those that are known count as all.
SETTLED = 1.0


class ReplayError(FaceMeshError, RuntimeError):
    """A bag cannot be played, or no node processes its images; the message names a remedy."""


class AnsweringNode(NamedTuple):
    """A node that subscribes to a topic of images and publishes faces."""

    #: With its namespace, such as `/facemesh`.
    name: str
    images: str
    faces: str
    #: Topics of `sensor_msgs/msg/CameraInfo` to which it subscribes.
    camera_infos: frozenset[str]
    #: Every topic on which it publishes.
    publishes: frozenset[str]


def answering_nodes(node: Node, images: str, image_type: str) -> list[AnsweringNode]:
    """Return the currently known nodes that process the images on a topic.

    Args:
        node: sees the graph.
        images: full name of the topic.
        image_type: such as `sensor_msgs/msg/Image`.
    """
    found = []
    seen: set[tuple[bytes, str, str]] = set()
    for endpoint in node.get_subscriptions_info_by_topic(images):
        if endpoint.topic_type != image_type:
            continue
        name, namespace = endpoint.node_name, endpoint.node_namespace
        # A node that changes its reliability has two subscriptions for a moment. The first 12 bytes
        # of an endpoint's id are its participant's (DDSI-RTPS 2.2, 8.2.4).
        identity = (bytes(endpoint.endpoint_gid[:12]), namespace, name)
        if identity in seen:
            continue
        seen.add(identity)
        published = _published_by(node, name, namespace)
        infos = frozenset(
            topic
            for topic, types in _subscribed_by(node, name, namespace).items()
            if CAMERA_INFO in types
        )
        found += [
            AnsweringNode(_full_name(name, namespace), images, topic, infos, frozenset(published))
            for topic, types in published.items()
            if FACE_ARRAY in types
        ]
    return found


def other_face_nodes(node: Node) -> list[str]:
    """Return the subscriptions of the nodes that publish faces, to help find a wrong topic."""
    found = []
    for name, namespace in node.get_node_names_and_namespaces():
        if any(FACE_ARRAY in types for types in _published_by(node, name, namespace).values()):
            subscribed = _subscribed_by(node, name, namespace)
            images = [topic for topic, types in subscribed.items() if TRANSPORTS.keys() & types]
            what = ", ".join(images) or "no images"
            found.append(f"{_full_name(name, namespace)}, which subscribes to {what}")
    return found


def _full_name(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


def _published_by(node: Node, name: str, namespace: str) -> Mapping[str, Sequence[str]]:
    return _topics(node.get_publisher_names_and_types_by_node, name, namespace)


def _subscribed_by(node: Node, name: str, namespace: str) -> Mapping[str, Sequence[str]]:
    return _topics(node.get_subscriber_names_and_types_by_node, name, namespace)


def _topics(
    get: Callable[[str, str], list[tuple[str, list[str]]]], name: str, namespace: str
) -> Mapping[str, Sequence[str]]:
    # Its topics may be known already, and itself not yet, or no more.
    if not namespace.startswith("/"):
        return {}
    try:
        return dict(get(name, namespace))
    except NodeNameNonExistentError:
        return {}


def wait_for_nodes(
    node: Node,
    images: Mapping[str, str],
    *,
    every_one: bool,
    started_here: bool,
    timeout: float,
    check: Callable[[], None],
) -> dict[str, AnsweringNode]:
    """Wait for the nodes that process the images; prints the missing ones.

    Every node that publishes faces has a subscriber meanwhile: one that rests has no subscription
    to its images.

    Args:
        node: sees the graph.
        images: full names of the topics, and their types.
        every_one: all topics must have a node; otherwise those without are skipped.
        started_here: the nodes are being started, so it is not reported that they are missing.
        timeout: seconds.
        check: called again and again; raises an error if there is no use in waiting.

    Returns:
        the node of each topic.

    Raises:
        ReplayError: there is none, or more than one for a topic.
    """
    begin = since = time.monotonic()
    tell_at = begin + (PATIENCE_WITH_STARTED if started_here else FIRST_TELL)
    found: dict[str, AnsweringNode] = {}
    subscriptions: dict[str, Subscription] = {}
    told = ""
    while len(found) < len(images):
        check()
        _subscribe_to_faces(node, subscriptions)
        before, found = found, _one_each(node, images)
        now = time.monotonic()
        if found != before:
            since = now
        if found and not every_one and now - since > SETTLED:
            break
        if now > tell_at:
            missing = _missing(node, images, found)
            if missing != told:
                print(f"waiting for {missing}", flush=True)
            told, tell_at = missing, now + TELL_INTERVAL
        if now - begin > timeout:
            raise ReplayError(
                f"within {timeout:g} s these were not found: {_missing(node, images, found)}. "
                "Start facemesh_node with -r image_raw:=TOPIC (and image_transport:=compressed, "
                "foxglove or ffmpeg for such a topic), let --start-node do it, or publish the "
                "images on the node's topic with --remap"
            )
        time.sleep(LOOK)
    for subscription in subscriptions.values():
        node.destroy_subscription(subscription)
    if len({answering.faces for answering in found.values()}) < len(found):
        nodes = ", ".join(f"{node.name} on {node.faces}" for node in found.values())
        raise ReplayError(
            f"several nodes publish faces on one topic: {nodes}. Give each its own namespace"
        )
    return found


def _subscribe_to_faces(node: Node, subscriptions: dict[str, Subscription]) -> None:
    """Subscribe to each topic of faces that has no subscription of this node yet."""
    for topic, types in node.get_topic_names_and_types():
        if FACE_ARRAY in types and topic not in subscriptions:
            # That they have a subscriber is all that matters.
            subscriptions[topic] = node.create_subscription(
                FaceArray, topic, lambda _: None, QoSProfile(depth=1), raw=True
            )


def _one_each(node: Node, images: Mapping[str, str]) -> dict[str, AnsweringNode]:
    found = {}
    for topic, image_type in images.items():
        nodes = answering_nodes(node, topic, image_type)
        if len(nodes) > 1:
            names = ", ".join(f"{other.name} on {other.faces}" for other in nodes)
            raise ReplayError(
                f"several nodes process the images on {topic}: {names}. Stop the others, or use a "
                "ROS_DOMAIN_ID of its own"
            )
        if nodes:
            found[topic] = nodes[0]
    return found


def _missing(node: Node, images: Mapping[str, str], found: Mapping[str, AnsweringNode]) -> str:
    missing = [f"{topic} ({kind})" for topic, kind in images.items() if topic not in found]
    there = "; ".join(other_face_nodes(node)) or "no node that publishes faces"
    return (
        f"a node that subscribes to {' or '.join(missing)} and publishes {FACE_ARRAY}; "
        f"there is {there}"
    )


class NodeReport(NamedTuple):
    """A node's state on /diagnostics, read from shared keys."""

    #: Of `time.monotonic`.
    received_at: float
    #: Key and value.
    values: Mapping[str, str]

    def number(self, key: str) -> int | None:
        """Return a number; None if the node does not report it."""
        text = self.values.get(key, "")
        return int(text) if text.isdecimal() else None

    @property
    def not_answered(self) -> int:
        """How many images the node has not answered."""
        return self.number(NOT_ANSWERED) or 0

    @property
    def reasons(self) -> str:
        """Why it has not answered some."""
        reasons = [key.removeprefix(REASON) for key in self.values if key.startswith(REASON)]
        return ", ".join(reasons)

    @property
    def is_idle(self) -> bool:
        """Whether no image was waiting or being processed."""
        answered = self.number(ANSWERED) or 0
        return (self.number(ARRIVED) or 0) == answered + self.not_answered


class NodeReports:
    """Keeps the last two reports of each node."""

    def __init__(self, node: Node) -> None:
        self._reports: defaultdict[str, deque[NodeReport]] = defaultdict(lambda: deque(maxlen=2))
        node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )

    def of(self, name: str) -> Sequence[NodeReport]:
        """Return a node's last two reports, or less if there were less."""
        return self._reports[name]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(STATUS):
                values = {value.key: value.value for value in status.values}
                report = NodeReport(time.monotonic(), values)
                self._reports[status.name.removesuffix(STATUS)].append(report)


def node_arguments(
    images: str,
    image_type: str,
    faces: str,
    parameters: Sequence[str],
    parameter_files: Sequence[str],
) -> list[str]:
    """Return the arguments after `--ros-args` of a node for a camera.

    Nothing may be lost on the way, so images and calibration come reliably.

    Args:
        images: full name of the topic with its images; the calibration is in its namespace.
        image_type: such as `sensor_msgs/msg/Image`.
        faces: full name of the topic for their faces; the node is in its namespace.
        parameters: such as `max_face_num:=4`.
        parameter_files: YAML.
    """
    camera_info = f"{base_topic(images).rpartition('/')[0]}/camera_info"
    transport = TRANSPORTS[image_type]
    remaps = {
        "__ns": faces.rpartition("/")[0] or "/",
        "image_raw" if transport == "raw" else f"image_raw/{transport}": images,
        "camera_info": camera_info,
        "faces": faces,
    }
    own = [f"image_transport:={transport}", "autostart:=true"] + [
        f"qos_overrides.{topic}.subscription.reliability:=reliable"
        for topic in (images, camera_info)
    ]
    options: list[tuple[str, str]] = [
        *(("-r", f"{name}:={topic}") for name, topic in remaps.items()),
        *(("--params-file", str(file)) for file in parameter_files),
        *(("-p", parameter) for parameter in (*own, *parameters)),
    ]
    return [part for option in options for part in option]


@contextmanager
def started(nodes: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run nodes with these arguments in separate processes, and stop them at the end."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for arguments in nodes:
            processes.append(start_node(arguments))
        yield processes
    finally:
        stop_nodes(processes)
