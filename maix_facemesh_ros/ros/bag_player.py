"""Plays a bag into the nodes that answer its pictures, and brings each picture its answer.

One picture's way: `play` waits for its turn → `Camera.ask` publishes it → `Camera._on_faces` takes
the answer → `play` gives both as a `PlayedPicture`.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from maix_facemesh_ros.bags.bag_file import BagMessage, BagTopic
from maix_facemesh_ros.compressed_image import check_compressed
from maix_facemesh_ros.face import PictureError
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.answering_nodes import (
    AnsweringNode,
    NodeReport,
    NodeReports,
    ReplayError,
)
from maix_facemesh_ros.ros.recorded_topics import RecordedTopics, message_class

SECOND = 10**9

#: Seconds between two looks at what else there is to do while nothing comes.
LOOK = 0.1

#: Seconds from a picture, or its answer, to when a report of the node surely tells of it.
REPORT_DELAY = 0.3

#: Seconds for the answer to a black picture before the next is sent, and how many before one is
#: plain.
GREETING_INTERVAL = 0.5
PLAIN_GREETING = 3

#: A picture that gets lost on its way to a best-effort subscription is sent so many times.
ATTEMPTS = 5

#: If a node leaves as many images in a row unanswered without a word, no later one is sent to it:
#: each would be waited for in vain.
HOPELESS = 10

#: Why an image has no answer that the node cannot use; its reasons follow.
REFUSED = "not used by the node"

#: Why an image has no answer that was not sent.
NOT_SENT = f"not played, as the node has answered none of {HOPELESS} in a row"


#: Why a picture has no answer that came when the node was at work on another.
DROPPED = "dropped by the node, which was busy"


class PlayedPicture(NamedTuple):
    """A picture that was played, and what became of it."""

    #: Topics of the bag, and of the answering node.
    pictures: str
    faces: str
    #: Nanoseconds: the picture's stamp, and when it was recorded.
    stamp: int
    log_time: int
    #: A serialized FaceArray; None: there is none.
    answer: bytes | None
    why_not: str = ""


@dataclass(slots=True)
class _Asked:
    """A picture that waits for its answer."""

    stamp: int
    message: BagMessage
    sent_at: float
    attempts: int = 1


class Camera:
    """A topic of pictures, and the node that answers them."""

    def __init__(self, player: Node, topic: BagTopic, node: AnsweringNode) -> None:
        """Listen to the node's answers.

        Args:
            player: the node that plays.
            topic: of the bag.
            node: answers what is published on that topic.
        """
        self.topic = topic
        self.node = node
        self.publisher: Publisher | None = None
        #: Images in a row that the node has left unanswered, and has not said why.
        self.unanswered = 0
        #: Pictures that had to be published more than once.
        self.sent_again = 0
        #: How many the node had refused by its last report.
        self.refused = 0
        #: Stamp of the last answer, whatever it answered.
        self.last_heard: int | None = None
        self._asked: deque[_Asked] = deque()
        self._played: deque[PlayedPicture] = deque()
        player.create_subscription(
            FaceArray, node.faces, self._on_faces, QoSProfile(depth=1000), raw=True
        )

    @property
    def waits_for(self) -> _Asked | None:
        """The oldest picture that waits for its answer."""
        return self._asked[0] if self._asked else None

    def ask(self, message: BagMessage) -> None:
        """Publish a recorded picture, unless there is no hope of an answer."""
        assert self.publisher is not None
        if self.unanswered >= HOPELESS:
            self._done(_Asked(stamp_of(message.data), message, 0.0), None, NOT_SENT)
            return
        self._asked.append(_Asked(stamp_of(message.data), message, time.monotonic()))
        self.publisher.publish(message.data)

    def ask_again(self) -> None:
        """Publish the oldest picture once more."""
        assert self.publisher is not None
        asked = self._asked[0]
        asked.sent_at = time.monotonic()
        asked.attempts += 1
        self.sent_again += 1
        self.publisher.publish(asked.message.data)

    def give_up(self, why: str) -> None:
        """Wait no longer for the oldest picture's answer, of which the node has said nothing."""
        self.unanswered += 1
        self._done(self._asked.popleft(), None, why)

    def is_refused(self, why: str) -> None:
        """Take note that the node has refused the oldest picture; it may well use the next one."""
        self.unanswered = 0
        self._done(self._asked.popleft(), None, why)

    def played(self) -> Iterator[PlayedPicture]:
        """Give the pictures whose fate is known by now, once and in order."""
        while self._played:
            yield self._played.popleft()

    def _on_faces(self, answer: bytes) -> None:
        stamp = self.last_heard = stamp_of(answer)
        if not any(asked.stamp == stamp for asked in self._asked):
            return
        # The node answers in order, so those before will have no answer any more.
        while self._asked[0].stamp != stamp:
            self.give_up(DROPPED)
        self.unanswered = 0
        self._done(self._asked.popleft(), answer)

    def _done(self, asked: _Asked, answer: bytes | None, why_not: str = "") -> None:
        self._played.append(
            PlayedPicture(
                self.topic.name,
                self.node.faces,
                asked.stamp,
                asked.message.log_time,
                answer,
                why_not,
            )
        )


class BagPlayer:
    """Publishes the messages of a bag: each picture when the one before is answered, or by time."""

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
            cameras: those of them whose pictures are answered, and by whom.
            rate: how many seconds of the bag are played in one; None: as fast as the nodes answer.
            clock_rate: how often to publish the bag's time on /clock; None: not.
            timeout: seconds to wait for one answer.
            check: called again and again; raises an error if there is no use in going on.
        """
        self._node = node
        self._rate = rate
        self._timeout = timeout
        self._check = check
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._reports = NodeReports(node)
        self.cameras = [Camera(node, topic, answering) for topic, answering in cameras.items()]
        # Who is to wait before a message: a calibration is for the pictures after it.
        self._waiting: dict[str, list[Camera]] = {
            topic.name: [
                camera
                for camera in self.cameras
                if camera.topic == topic
                or node.resolve_topic_name(topic.name) in camera.node.camera_infos
            ]
            for topic in topics
        }
        #: Topics of pictures that are answered, and of their calibration.
        self.needed_topics = [name for name, waiting in self._waiting.items() if waiting]
        self.topics = RecordedTopics(node, topics, reliable=self.needed_topics)
        for camera in self.cameras:
            camera.publisher = self.topics.publisher(camera.topic.name)
        self._clock = self._clock_interval = None
        if clock_rate is not None:
            self._clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=1))
            self._clock_interval = 1.0 / clock_rate

    def meet(self, first_messages: Sequence[BagMessage]) -> None:
        """Bring the nodes and this one into contact, with nothing left of what they saw before.

        Each gets black pictures with a stamp close to zero until it has answered one: there is no
        face in them, and in their time nobody it knows was there.

        Args:
            first_messages: the first on each topic.

        Raises:
            ReplayError: a node does not answer.
        """
        for camera in self.cameras:
            before = [
                message
                for message in first_messages
                if camera in self._waiting[message.topic.name] and message.topic != camera.topic
            ]
            first = [message for message in first_messages if message.topic == camera.topic]
            if not first:
                raise ReplayError(f"there are no messages on {camera.topic.name}")
            self._greet(camera, first[0], before)

    def _greet(self, camera: Camera, first: BagMessage, before: Sequence[BagMessage]) -> None:
        """Send black pictures, with the calibration before each, until one is answered.

        With a calibration twice, as it may come best effort. Now and then the picture is a plain
        one, in case that the recorded one, whose size and kind the others have, is damaged.
        """
        needed = 2 if before else 1
        give_up = time.monotonic() + self._timeout
        assert camera.publisher is not None
        for number in count(1):
            black = plain_black if number % PLAIN_GREETING == 0 else black_picture
            for message in before:
                self.topics.publish(message)
            camera.publisher.publish(black(first, number))
            end = time.monotonic() + GREETING_INTERVAL
            while camera.last_heard != number and (rest := end - time.monotonic()) > 0:
                self._spin(min(rest, LOOK))
            if camera.last_heard == number and number >= needed:
                return
            if time.monotonic() > give_up:
                raise ReplayError(
                    f"{camera.node.name} gave no answer on {camera.node.faces} to black pictures "
                    f"on {camera.node.pictures} within {self._timeout:.0f} s: see its log"
                )

    def play(self, messages: Iterable[BagMessage]) -> Iterator[PlayedPicture]:
        """Publish messages; gives the pictures among them as their answers come.

        Raises:
            ReplayError: a node has gone.
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

    def _wait_until(self, due: float, log_time: int) -> Iterator[PlayedPicture]:
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

    def _wait_for_answers(self, camera: Camera) -> Iterator[PlayedPicture]:
        """Take what comes until the camera has an answer, or will have none, to every picture."""
        while (asked := camera.waits_for) is not None:
            self._spin(LOOK)
            if camera.waits_for is asked:
                self._look_after(camera, asked)
        # The answer may also have come while another camera's was waited for.
        yield from camera.played()

    def _look_after(self, camera: Camera, asked: _Asked) -> None:
        """Find out what has become of a picture whose answer takes long."""
        reports = self._reports.of(camera.node.name)
        if time.monotonic() - asked.sent_at > self._timeout:
            camera.give_up(f"no answer within {self._timeout:.0f} s")
        elif camera.publisher is not None and not camera.publisher.get_subscription_count():
            raise ReplayError(
                f"{camera.node.name} has gone: nobody subscribes to {camera.node.pictures} any more"
            )
        elif not _tell_that_idle(reports, asked.sent_at):
            return  # it may still come
        elif reports[-1].not_answered > camera.refused:
            camera.refused = reports[-1].not_answered
            camera.is_refused(f"{REFUSED} ({reports[-1].reasons})")
        elif self._rate is None and asked.attempts < ATTEMPTS:
            camera.ask_again()
        else:
            camera.give_up("lost on its way to the node")

    def _publish_clock(self, nanoseconds: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=to_time(max(0, nanoseconds))))

    def _spin(self, seconds: float) -> None:
        self._executor.spin_once(seconds)
        self._check()


def _tell_that_idle(reports: Sequence[NodeReport], since: float) -> bool:
    """Whether a node has twice said since a moment that it has nothing to do.

    Once is not enough: on a busy machine it may speak before it takes what has come.
    """
    now = time.monotonic()
    return (
        len(reports) == 2
        and all(report.is_idle for report in reports)
        and reports[0].received_at > since + REPORT_DELAY
        and reports[1].received_at < now - REPORT_DELAY
    )


def black_picture(like: BagMessage, stamp: int) -> bytes:
    """Return a serialized picture of the size and kind of a recorded one, all black.

    Args:
        like: the recorded one.
        stamp: in nanoseconds.
    """
    try:
        message = deserialize_message(like.data, message_class(like.topic.type))
    except Exception:  # damaged; each distribution of ROS has its own error for it
        return plain_black(like, stamp)
    message.header.stamp = to_time(stamp)
    if isinstance(message, CompressedImage):
        try:
            size = check_compressed(bytes(message.data)).size
        except PictureError:  # A damaged one may declare anything.
            size = (8, 8)
        message.data = _black_jpeg(size)
    else:
        message.data = array("B", bytes(len(message.data)))
    return bytes(serialize_message(message))


def plain_black(like: BagMessage, stamp: int) -> bytes:
    """Return a small black picture of the same message type."""
    message = message_class(like.topic.type)()
    message.header.stamp = to_time(stamp)
    if isinstance(message, CompressedImage):
        message.format, message.data = "jpeg", _black_jpeg((8, 8))
    else:
        message.width = message.height = 8
        message.encoding, message.step = "rgb8", 3 * 8
        message.data = array("B", bytes(3 * 8 * 8))
    return bytes(serialize_message(message))


def _black_jpeg(size: tuple[int, int]) -> array[int]:
    width, height = size
    _, encoded = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))
    return array("B", encoded.tobytes())


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
