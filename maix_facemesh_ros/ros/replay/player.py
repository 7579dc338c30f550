"""Plays a bag into the nodes that answer its images, and brings each image its answer.

One image's way: `play` waits for its turn → `PlayedCamera.ask` publishes it →
`PlayedCamera._on_faces` takes the answer → `play` gives both as a `PlayedImage`.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from maix_facemesh_ros.bags.storage import BagMessage, BagTopic
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.messages.faces import check_faces
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.diagnostic_keys import (
    CALIBRATION_PUBLISHERS,
    FACES_SUBSCRIBERS,
    IMAGE_PUBLISHERS,
)
from maix_facemesh_ros.ros.replay.nodes import (
    SETTLED,
    AnsweringNode,
    NodeReport,
    NodeReports,
    ReplayError,
)
from maix_facemesh_ros.ros.replay.publishers import RecordedTopics

SECOND = 10**9

#: Seconds between two checks for other work while no message arrives.
LOOK = 0.1

#: Seconds after an image, or its faces, until a report of the node includes it.
REPORT_DELAY = 0.3

#: Seconds after which a node counts as connected that does not publish diagnostics, and so cannot
#: be facemesh_node; one that does has half of the timeout, as it may still be loading its networks.
PATIENCE = 3.0

#: Seconds after which it is enough that the node knows one publisher and one subscriber of each
#: topic, though this node knows more.
PATIENCE_WITH_OTHERS = 10.0

DIAGNOSTICS = "/diagnostics"

#: Maximum number of times that an image is sent to a best-effort subscription.
ATTEMPTS = 5

#: If a node leaves as many images in a row unanswered without a word, no later one is sent to it:
#: each would be waited for in vain.
HOPELESS = 10


class Outcome(Enum):
    """Outcome of an image."""

    ANSWERED = auto()
    #: The node has counted it as not answered, with its reason.
    REFUSED = auto()
    #: The node has answered a later one instead.
    DROPPED = auto()
    #: It never arrived at the node.
    LOST = auto()
    #: No answer in time.
    UNANSWERED = auto()
    #: The node has answered none of `HOPELESS` in a row.
    NOT_SENT = auto()


class PlayedImage(NamedTuple):
    """A played image and its outcome."""

    #: Topics of the bag, and of the answering node.
    images: str
    faces: str
    #: Nanoseconds: the image's stamp, and when it was recorded.
    stamp: int
    log_time: int
    #: A serialized FaceArray; None: there is none.
    answer: bytes | None
    outcome: Outcome
    #: The outcome in words, for reports.
    text: str


@dataclass(slots=True)
class _Asked:
    """An image that waits for its faces."""

    stamp: int
    message: BagMessage
    sent_at: float
    attempts: int = 1


class PlayedCamera:
    """A topic of images, and the node that answers them."""

    def __init__(self, player: Node, topic: BagTopic, node: AnsweringNode) -> None:
        """Listen to the node's answers.

        Args:
            player: the node that plays.
            topic: of the bag.
            node: processes the images on that topic.
        """
        self.topic = topic
        self.node = node
        self.publisher: Publisher | None = None
        #: Images in a row without faces and without a reason from the node.
        self.unanswered = 0
        #: Images that had to be published more than once.
        self.sent_again = 0
        #: How many the node had refused by its last report.
        self.refused = 0
        self._asked: deque[_Asked] = deque()
        self._played: deque[PlayedImage] = deque()
        player.create_subscription(
            FaceArray, node.faces, self._on_faces, QoSProfile(depth=1000), raw=True
        )

    @property
    def waits_for(self) -> _Asked | None:
        """The oldest image that waits for its faces."""
        return self._asked[0] if self._asked else None

    def ask(self, message: BagMessage) -> None:
        """Publish a recorded image, unless there is no hope of an answer."""
        assert self.publisher is not None
        if self.unanswered >= HOPELESS:
            asked = _Asked(stamp_of(message.data), message, 0.0)
            text = f"not played, as the node has answered none of {HOPELESS} in a row"
            self._done(asked, Outcome.NOT_SENT, text)
            return
        self._asked.append(_Asked(stamp_of(message.data), message, time.monotonic()))
        self.publisher.publish(message.data)

    def ask_again(self) -> None:
        """Publish the oldest image once more."""
        assert self.publisher is not None
        asked = self._asked[0]
        asked.sent_at = time.monotonic()
        asked.attempts += 1
        self.sent_again += 1
        self.publisher.publish(asked.message.data)

    def give_up(self, outcome: Outcome, text: str) -> None:
        """Wait no longer for the oldest image's answer, of which the node has said nothing."""
        self.unanswered += 1
        self._done(self._asked.popleft(), outcome, text)

    def is_refused(self, reasons: str) -> None:
        """Record that the node has refused the oldest image; it may use the next one."""
        self.unanswered = 0
        text = f"not used by the node ({reasons})"
        self._done(self._asked.popleft(), Outcome.REFUSED, text)

    def played(self) -> Iterator[PlayedImage]:
        """Yield the images whose outcome is known, once and in order."""
        while self._played:
            yield self._played.popleft()

    def _on_faces(self, answer: bytes) -> None:
        try:
            check_faces(answer)
        except ImageError:  # of another publisher: the node's are whole
            return
        stamp = stamp_of(answer)
        if not any(asked.stamp == stamp for asked in self._asked):
            return
        # The node answers in order, so those before will have no answer any more.
        while self._asked[0].stamp != stamp:
            self.give_up(Outcome.DROPPED, "dropped by the node, which was busy")
        self.unanswered = 0
        self._done(self._asked.popleft(), Outcome.ANSWERED, "answered", answer)

    def _done(
        self, asked: _Asked, outcome: Outcome, text: str, answer: bytes | None = None
    ) -> None:
        self._played.append(
            PlayedImage(
                self.topic.name,
                self.node.faces,
                asked.stamp,
                asked.message.log_time,
                answer,
                outcome,
                text,
            )
        )


class BagPlayer:
    """Publishes the messages of a bag: each image when the one before is answered, or by time."""

    def __init__(
        self,
        node: Node,
        topics: Sequence[BagTopic],
        cameras: Mapping[BagTopic, AnsweringNode],
        *,
        rate: float | None,
        clock_rate: float | None,
        timeout: float,
        check: Callable[[], None],
    ) -> None:
        """Make the publishers and listen to the answers.

        Args:
            node: publishes and listens.
            topics: the bag's topics that are to be played.
            cameras: those of them whose images are answered, and by whom.
            rate: how many seconds of the bag are played in one; None: as fast as the nodes answer.
            clock_rate: how often to publish the bag's time on /clock; None: not.
            timeout: seconds to wait for the faces of one image.
            check: called again and again; raises an error if there is no use in going on.

        Raises:
            ReplayError: a topic that the nodes need cannot be published here.
        """
        self._node = node
        self._rate = rate
        self._timeout = timeout
        self._check = check
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._reports = NodeReports(node)
        self.cameras = [
            PlayedCamera(node, topic, answering) for topic, answering in cameras.items()
        ]
        # Who is to wait before a message: a calibration is for the images after it.
        self._waiting: dict[str, list[PlayedCamera]] = {
            topic.name: [
                camera
                for camera in self.cameras
                if camera.topic == topic
                or node.resolve_topic_name(topic.name) in camera.node.camera_infos
            ]
            for topic in topics
        }
        #: Topics of images that are answered, and of their calibration.
        self.needed_topics = [name for name, waiting in self._waiting.items() if waiting]
        self.topics = RecordedTopics(node, topics, reliable=self.needed_topics)
        for name in self.needed_topics:
            if reason := self.topics.left_out.get(name):
                raise ReplayError(f"{name} cannot be played: {reason}")
        for camera in self.cameras:
            camera.publisher = self.topics.publisher(camera.topic.name)
        self._clock = self._clock_interval = None
        #: Of `time.monotonic`: when to publish the bag's time again.
        self._next_clock = 0.0
        if clock_rate is not None:
            self._clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=1))
            self._clock_interval = 1.0 / clock_rate

    def meet(self, first_messages: Sequence[BagMessage]) -> None:
        """Wait until what is sent will arrive, in both directions; nothing is sent for that.

        A calibration that was recorded after the first image holds for that image too, as in
        `facemesh_bag`, so it is sent before.

        Args:
            first_messages: the first on each topic.

        Raises:
            ReplayError: a topic has no images, or a node does not connect.
        """
        begins = {message.topic.name: message.log_time for message in first_messages}
        for camera in self.cameras:
            if camera.topic.name not in begins:
                raise ReplayError(f"there are no messages on {camera.topic.name}")
        self._connect()
        for camera in self.cameras:
            if reports := self._reports.of(camera.node.name):
                camera.refused = reports[-1].not_answered
        for message in first_messages:
            waiting = self._waiting[message.topic.name]
            if any(message.log_time > begins[camera.topic.name] for camera in waiting):
                self.topics.publish(message)

    def _connect(self) -> None:
        """Wait until this node and those of the cameras know each other's endpoints.

        Other subscribers, such as a recorder, may become known later than the nodes.
        """
        begin = since = time.monotonic()
        known: list[int] = []
        while (missing := self._unconnected(begin)) or time.monotonic() - since < SETTLED:
            if time.monotonic() - begin > self._timeout:
                raise ReplayError(self._not_connected(missing))
            self._spin(LOOK)
            before = known
            known = [self._node.count_subscribers(camera.node.images) for camera in self.cameras]
            if known != before:
                since = time.monotonic()

    def _unconnected(self, begin: float) -> list[AnsweringNode]:
        """Return the nodes of the cameras that have not connected since `begin`."""
        return [c.node for c in self.cameras if not self._is_connected(c, begin)]

    def _not_connected(self, missing: Sequence[AnsweringNode]) -> str:
        """Return the error for nodes that have not connected in time."""
        if not missing:
            topics = ", ".join(camera.node.images for camera in self.cameras)
            return (
                f"the subscribers of {topics} did not stay the same for {SETTLED:g} s within "
                f"{self._timeout:g} s: see ros2 topic info -v, or give a longer --timeout"
            )
        nodes = ", ".join(
            f"{node.name} has not connected to {node.images} and {node.faces}" for node in missing
        )
        return (
            f"{nodes} within {self._timeout:g} s: see its log, and compare the quality of "
            "service with ros2 topic info -v"
        )

    def _is_connected(self, camera: PlayedCamera, begin: float) -> bool:
        """Tell whether all connections with a camera's node exist on both sides."""
        topics = [
            name
            for name, waiting in self._waiting.items()
            if camera in waiting and name != camera.topic.name
        ]
        # Others may be seen from here alone, such as those of a network that the node is not in.
        waited_long = time.monotonic() - begin > PATIENCE_WITH_OTHERS
        for publisher in (self.topics.publisher(name) for name in (camera.topic.name, *topics)):
            known = 1 if waited_long else self._node.count_subscribers(publisher.topic_name)
            if publisher.get_subscription_count() < max(known, 1):
                return False
        calibrations = {self._node.resolve_topic_name(name) for name in topics}
        expected = {
            IMAGE_PUBLISHERS: self._node.count_publishers(camera.node.images),
            CALIBRATION_PUBLISHERS: sum(map(self._node.count_publishers, calibrations)),
            FACES_SUBSCRIBERS: self._node.count_subscribers(camera.node.faces),
        }
        reports = self._reports.of(camera.node.name)
        if not reports or reports[-1].number(IMAGE_PUBLISHERS) is None:
            tells = DIAGNOSTICS in camera.node.publishes
            return time.monotonic() - begin > (self._timeout / 2 if tells else PATIENCE)
        # A number that the node does not report is of an unused connection.
        return all(
            known is None or known >= (min(number, 1) if waited_long else number)
            for known, number in (
                (reports[-1].number(key), number) for key, number in expected.items()
            )
        )

    def play(self, messages: Iterable[BagMessage]) -> Iterator[PlayedImage]:
        """Publish messages; yields the images among them when their faces arrive.

        Raises:
            ReplayError: a node has ended.
        """
        start: int | None = None
        for message in messages:
            waiting = self._waiting[message.topic.name]
            if self._rate is not None:
                if start is None:
                    start = message.log_time
                    started_at = self._next_clock = time.monotonic()
                due = started_at + (message.log_time - start) / SECOND / self._rate
                yield from self._wait_until(due, message.log_time)
            else:
                for camera in waiting:
                    yield from self._wait_for_answers(camera)
                self._publish_clock(message.log_time)
            asked = [camera for camera in waiting if camera.topic == message.topic]
            for camera in asked:
                camera.ask(message)
            if not asked:
                self.topics.publish(message)
        for camera in self.cameras:
            yield from self._wait_for_answers(camera)

    def _wait_until(self, due: float, log_time: int) -> Iterator[PlayedImage]:
        """Take what comes until a moment of `time.monotonic`; it is `log_time` in the bag."""
        assert self._rate is not None
        while True:
            now = time.monotonic()
            until = due
            if self._clock_interval is not None:
                if now >= self._next_clock:
                    self._publish_clock(log_time - round((due - now) * self._rate * SECOND))
                    self._next_clock = max(self._next_clock + self._clock_interval, now)
                until = min(due, self._next_clock)
            self._spin(min(max(until - now, 0.0), LOOK))
            for camera in self.cameras:
                yield from camera.played()
            if time.monotonic() >= due:
                return

    def _wait_for_answers(self, camera: PlayedCamera) -> Iterator[PlayedImage]:
        """Take what comes until the camera has an answer, or will have none, to every image."""
        while (asked := camera.waits_for) is not None:
            self._spin(LOOK)
            if camera.waits_for is asked:
                self._look_after(camera, asked)
        # The answer may also have come while another camera's was waited for.
        yield from camera.played()

    def _look_after(self, camera: PlayedCamera, asked: _Asked) -> None:
        """Find out what has become of an image whose answer takes long."""
        reports = self._reports.of(camera.node.name)
        is_refused = bool(reports) and reports[-1].not_answered > camera.refused
        if time.monotonic() - asked.sent_at > self._timeout:
            camera.give_up(Outcome.UNANSWERED, f"no answer within {self._timeout:g} s")
        elif camera.publisher is not None and not camera.publisher.get_subscription_count():
            raise ReplayError(
                f"{camera.node.name} has ended: {camera.node.images} has no subscriber any more"
            )
        elif not _tell_that_idle(reports, asked.sent_at) and not (
            # No other image in transport could be the refused one.
            is_refused and self._rate is None
        ):
            return  # it may still come
        elif is_refused:
            camera.refused = reports[-1].not_answered
            camera.is_refused(reports[-1].reasons)
        elif self._rate is None and asked.attempts < ATTEMPTS:
            camera.ask_again()
        else:
            camera.give_up(Outcome.LOST, "lost in transport to the node")

    def _publish_clock(self, nanoseconds: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=to_time(max(0, nanoseconds))))

    def _spin(self, seconds: float) -> None:
        self._executor.spin_once(seconds)
        self._check()


def _tell_that_idle(reports: Sequence[NodeReport], since: float) -> bool:
    """Whether a node has reported twice since a time that it is idle.

    Once is not enough: on a busy machine it may speak before it takes what has come.
    """
    now = time.monotonic()
    return (
        len(reports) == 2
        and all(report.is_idle for report in reports)
        and reports[0].received_at > since + REPORT_DELAY
        and reports[1].received_at < now - REPORT_DELAY
    )


def stamp_of(message: bytes) -> int:
    """Return the stamp in nanoseconds of a serialized message that begins with a header.

    Zero for one that is damaged so much that it has none: who reads it will say so.
    """
    if len(message) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if message[1] else ">iI", message, 4)
    return int(seconds) * SECOND + int(nanoseconds)


def to_time(nanoseconds: int) -> Time:
    """Return nanoseconds as a message."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)
