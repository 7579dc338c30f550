"""`facemesh_view`: shows images and faces in a browser.

Path of a frame: `_on_faces` and `_on_image` receive serialized messages → `StampMatcher` matches
them by stamp → the server calls `_pack` for the bytes of the latest frame when a browser requests
one. Without a browser the view has no subscriptions.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.analysis.attention import Attention
from maix_facemesh_ros.browser.access import Access, AccessError, check_token, token_of
from maix_facemesh_ros.browser.frame_packet import jpeg_of, pack_frame
from maix_facemesh_ros.browser.server import FrameServer, ServerError
from maix_facemesh_ros.browser.stamp_matcher import Match, StampMatcher
from maix_facemesh_ros.event_rate import SILENCE
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.messages.image import read_compressed_image, read_encoded_image, read_stamp
from maix_facemesh_ros.msg import FaceArray, FaceAttentionArray
from maix_facemesh_ros.parameters import ParameterError, ViewParameters, parameters_of
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.cv_bridge_encodings import read_image_of_any_encoding
from maix_facemesh_ros.ros.dds_profile import NODE_PROFILE, advice_on_lost_images
from maix_facemesh_ros.ros.image_topics import compressed_topic
from maix_facemesh_ros.ros.messages import faces_of, read_attention, read_faces
from maix_facemesh_ros.ros.node_parameters import ParameterNode
from maix_facemesh_ros.ros.node_process import end_node, run_node
from maix_facemesh_ros.ros.view.topics import WatchedTopic, trouble_with
from maix_facemesh_ros.user_files import exposure_of, path_of

#: Errors at the start that are printed in one line, without a traceback.
START_ERRORS = (ParameterError, AccessError, ServerError)

#: Seconds between two checks of the topics.
REPORT_INTERVAL = 1.0

#: Seconds after which the same fault is logged again.
REPEAT_AFTER = 60.0

#: The attention in the faces, and the seconds after which it is not shown any more.
ATTENTION_TOPIC = "facemesh/attention"
ATTENTION_LASTS = 0.5

#: Maximum seconds between a stamp and now for the difference to be a delay.
LONGEST_DELAY = 60.0


class ImageTopic(NamedTuple):
    """A topic with images."""

    #: Compressed images are on the topic derived from it.
    base: str
    message_type: type
    #: The faces are already drawn into its images.
    drawn: bool


#: By the values of `pictures`; `auto` takes the first that has a publisher.
IMAGE_TOPICS = {
    "compressed": ImageTopic("image_raw", CompressedImage, False),
    "raw": ImageTopic("image_raw", ImageMessage, False),
    "annotated": ImageTopic("facemesh/image_annotated", CompressedImage, True),
}


class FaceMeshView(ParameterNode):
    """Subscribes while a browser is connected, and passes matching messages to the server."""

    failed = False

    def __init__(self) -> None:
        super().__init__("facemesh_view")
        self._in_force = parameters = self.declare_table(ViewParameters)
        self._audience = 0
        self._watched: dict[str, WatchedTopic] = {}
        self._images = IMAGE_TOPICS["raw"]
        # With `pictures` auto: topics without messages.
        self._silent_images: set[ImageTopic] = set()
        self._matcher = StampMatcher()
        #: Stamp in seconds and attention of the last message; None: none has come.
        self._attention: tuple[float, Attention] | None = None
        self._attention_subscription: Subscription | None = None
        self._image_error = ""
        self._logged_at: dict[str, float] = {}
        self._audience_guard = self.create_guard_condition(self._follow_audience)
        # Not the node's clock: with use_sim_time the clock may be missing. The timer is always
        # on: rclpy may miss the signal to stop while it waits, and checks again when it wakes.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(REPORT_INTERVAL, self._report, clock=clock)
        self._server = FrameServer(_access(parameters), self._on_audience)
        self._server.rate = parameters.rate
        self._server.start(parameters.address, parameters.port)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.get_logger().info(self._invitation())
        if parameters.token_file:
            exposure = exposure_of(path_of(parameters.token_file))
            if exposure:
                self.get_logger().warning(exposure)

    def _invitation(self) -> str:
        if self._in_force.is_local:
            return f"open http://localhost:{self._server.port}/ in a browser on this machine"
        return f"open http://<this machine>:{self._server.port}/ in a browser" + (
            "; it asks for the token"
            if self._server.access.needs_token
            else "; everyone may connect"
        )

    # ---- Browsers --------------------------------------------------------------------------------

    def _on_audience(self, browsers: int) -> None:
        """Receive, on the server's thread, the number of browsers."""
        self._audience = browsers
        if self.context.ok():
            self._audience_guard.trigger()

    def _follow_audience(self) -> None:
        """Subscribe for the first browser, and stop with the last."""
        if self._audience and not self._watched:
            self._watch("faces", "faces", FaceArray, self._on_faces)
            self._watch_images()
            self._attention_subscription = self.create_subscription(
                FaceAttentionArray,
                ATTENTION_TOPIC,
                self._on_attention,
                QoSProfile(depth=5),
                raw=True,
            )
        elif not self._audience and self._watched:
            for role in tuple(self._watched):
                self._stop_watching(role)
            self.destroy_subscription(self._attention_subscription)
            self._attention = None
            self._image_error = ""
            self._logged_at.clear()

    def _watch(
        self,
        role: str,
        topic: str,
        message_type: type,
        callback: Callable[[bytes], None],
        silent_since: float | None = None,
    ) -> None:
        def on_message(message: bytes) -> None:
            watched.arrived()
            callback(message)

        subscription = AdaptiveSubscription(self, message_type, topic, on_message)
        watched = WatchedTopic(subscription, silent_since)
        self._watched[role] = watched

    def _stop_watching(self, role: str) -> None:
        self._watched.pop(role).subscription.destroy()

    def _watch_images(self) -> None:
        """Subscribe to the selected images, or to others if the selected topic is silent."""
        watched = self._watched.get("images")
        chosen = self._choose_images(watched)
        if watched is not None:
            if chosen is self._images:
                return
            self._stop_watching("images")
        self._images = chosen
        # Waiting images are of the other topic.
        self._matcher = StampMatcher()
        self._watch(
            "images",
            self._name_of(chosen),
            chosen.message_type,
            self._on_image,
            silent_since=None if watched is None else watched.silent_since,
        )

    def _name_of(self, choice: ImageTopic) -> str:
        if choice.message_type is CompressedImage:
            return compressed_topic(self, choice.base)
        return choice.base

    def _choose_images(self, watched: WatchedTopic | None) -> ImageTopic:
        """Return the first that has a publisher and has not been waited for in vain."""
        if self._in_force.pictures != "auto":
            return IMAGE_TOPICS[self._in_force.pictures]
        if watched is None:
            self._images = IMAGE_TOPICS["raw"]
            self._silent_images.clear()
        elif watched.is_silent and time.monotonic() - watched.watched_since > SILENCE:
            self._silent_images.add(self._images)
        # The node publishes annotated images only together with faces.
        faces_come = not self._watched["faces"].is_silent
        choices = [choice for choice in IMAGE_TOPICS.values() if faces_come or not choice.drawn]
        published = {
            choice
            for choice in choices
            if self.count_publishers(self.resolve_topic_name(self._name_of(choice)))
        }
        if published <= self._silent_images:
            self._silent_images = {self._images}
        promising = published - self._silent_images
        return next((choice for choice in choices if choice in promising), self._images)

    # ---- What arrives ----------------------------------------------------------------------------

    def _on_faces(self, message: bytes) -> None:
        if (stamp := self._stamp_of(message)) is not None:
            self._show(self._matcher.add_faces(stamp, message))

    def _on_image(self, message: bytes) -> None:
        if (stamp := self._stamp_of(message)) is not None:
            self._show(self._matcher.add_image(stamp, message))

    def _on_attention(self, message: bytes) -> None:
        # One that is damaged is not shown, which is all that it costs.
        with suppress(ImageError):
            self._attention = read_stamp(message).seconds, read_attention(message)

    def _attention_at(self, stamp: Stamp) -> Attention | None:
        """Return the last attention, which comes after its faces; None if it is an old one."""
        if self._attention is None:
            return None
        seconds, attention = self._attention
        return attention if abs(stamp.seconds - seconds) < ATTENTION_LASTS else None

    def _stamp_of(self, message: bytes) -> Stamp | None:
        try:
            return read_stamp(message)
        except ImageError as error:
            self._image_error = str(error)
            return None

    def _show(self, match: Match | None) -> None:
        if match is not None:
            source = self._images
            self._server.show(lambda: self._pack(match, source))

    def _pack(self, match: Match, source: ImageTopic) -> bytes:
        """Return a frame's bytes, on the server's thread; empty if its image is damaged."""
        try:
            faces = read_faces(match.faces) if match.faces else None
            jpeg, size = self._jpeg_of(match.image, source) if match.image else (b"", (0, 0))
            packed = pack_frame(
                stamp=match.stamp,
                delay=self._delay_of(match.stamp),
                size=(faces.image_width, faces.image_height) if faces is not None else size,
                faces=faces_of(faces) if faces is not None else None,
                jpeg=jpeg,
                drawn=source.drawn,
                attention=self._attention_at(match.stamp),
            )
        except ImageError as error:
            self._image_error = str(error)
            return b""
        except Exception as error:
            # From the middleware, for a message of another type than its topic's.
            self._image_error = f"{type(error).__name__}: {error}"
            return b""
        self._image_error = "" if match.image else self._image_error
        return packed

    def _jpeg_of(self, message: bytes, source: ImageTopic) -> tuple[bytes, tuple[int, int]]:
        """Return an image as JPEG with at most `largest_width`, and its original size."""
        if source.message_type is ImageMessage:
            return self._encoded(read_image_of_any_encoding(message))
        file = read_encoded_image(message).file
        # A JPEG without its end is decoded: browsers differ in how they show it.
        as_it_is = file.kind == "JPEG" and not file.open_end
        if as_it_is and file.width <= self._in_force.largest_width:
            return bytes(file.data), file.size
        return self._encoded(read_compressed_image(message))

    def _encoded(self, image: Image) -> tuple[bytes, tuple[int, int]]:
        now = self._in_force
        return jpeg_of(image, now.largest_width, now.jpeg_quality), image.size

    def _delay_of(self, stamp: Stamp) -> float | None:
        """Return the seconds since a stamp; None if the stamp is of another clock."""
        now = self.get_clock().now().nanoseconds
        delay = (now - stamp.nanoseconds) / 1e9
        return delay if abs(delay) < LONGEST_DELAY else None

    # ---- Reports ---------------------------------------------------------------------------------

    def _report(self) -> None:
        """Send the state of the topics to the browsers, once a second."""
        if not self._watched:
            return
        self._watch_images()
        for watched in self._watched.values():
            watched.publishers = self.get_publishers_info_by_topic(watched.name)
            watched.subscription.follow(watched.publishers)
        trouble = [
            *trouble_with(self._watched["faces"], "faces", "is facemesh_node running?"),
            *trouble_with(self._watched["images"], "images", self._advice_on_images()),
        ]
        images = self._watched["images"]
        if images.has_lost_messages():
            trouble.append(
                f"images on {images.name} are lost in transport: {advice_on_lost_images()}"
            )
        if self._image_error:
            trouble.append(f"an image on {images.name} cannot be shown: {self._image_error}")
        if self._matcher.never_fit:
            trouble.append(
                "no faces have the stamp of an image: are both of the same camera, and does the "
                "node keep up?"
            )
        self._log(trouble)
        topics = {role: watched.state() for role, watched in self._watched.items()}
        self._server.tell({"topics": topics, "trouble": trouble})

    def _log(self, trouble: list[str]) -> None:
        """Log lines that were not logged lately."""
        now = time.monotonic()
        self._logged_at = {
            line: at for line, at in self._logged_at.items() if now - at <= REPEAT_AFTER
        }
        for line in trouble:
            if line not in self._logged_at:
                self._logged_at[line] = now
                self.get_logger().warning(line)

    def _advice_on_images(self) -> str:
        if self._in_force.pictures != "auto":
            return f"pictures is {self._in_force.pictures}; auto finds others"
        names = [self.resolve_topic_name(self._name_of(choice)) for choice in IMAGE_TOPICS.values()]
        return f"nor on {names[0]} or {names[2]}"

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        names = {parameter.name for parameter in parameters_of(ViewParameters)}
        changes = {p.name: p.value for p in parameters if p.name in names}
        try:
            self._in_force = self._in_force.changed(**changes)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._server.rate = self._in_force.rate
        return SetParametersResult(successful=True)

    def stop(self) -> None:
        """Disconnect the browsers and end the node."""
        self._server.close()
        end_node(self)

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, an image is still being decoded."""
        return self._server.blocks


def _access(parameters: ViewParameters) -> Access:
    names = [name.strip() for name in parameters.host_names.split(",") if name.strip()]
    file = parameters.token_file
    try:
        token = token_of(path_of(file)) if file else parameters.token or None
    except FileNotFoundError as error:
        raise AccessError(f"token_file is {file!r}: {error}") from error
    if token is not None and not parameters.is_local:
        check_token(token)
    return Access(token, names)


def main(arguments: list[str] | None = None) -> int:
    """Run the view until it is stopped; returns the exit code."""
    return run_node(FaceMeshView, START_ERRORS, arguments, "facemesh_view", NODE_PROFILE)


if __name__ == "__main__":
    sys.exit(main())
