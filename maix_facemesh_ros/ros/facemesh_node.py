"""`facemesh_node`: images from a topic or a source in, `faces` out.

One image's way from its topic to the messages:

1. `TopicImages.on_message` (inputs.py) puts the serialized message into a slot that holds the
   latest only.
2. `FaceMeshNode._work`, the worker thread, takes it with `Input.items`.
3. `Input.result` reads it and finds its faces: a `Result` (result.py).
4. `FaceMeshNode._publish` sends `faces` first, with the image's stamp and frame, and then the other
   topics that have subscribers, each by `publish(result)` (publishers/).

Files, live sources and a MaixCAM are inputs too, so they differ in steps 1 and 3 only.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.backends.registry import FACE_SOURCES
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError, parameters_of
from maix_facemesh_ros.ros import diagnostic_keys as keys
from maix_facemesh_ros.ros.calibration import open_calibration
from maix_facemesh_ros.ros.dds_profile import NODE_PROFILE
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.inputs import Input, InputContext, image_topic, open_input
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.node_parameters import ParameterNode
from maix_facemesh_ros.ros.node_process import WORKER_TIMEOUT, end_node, run_node
from maix_facemesh_ros.ros.publishers.annotated_image import AnnotatedImage
from maix_facemesh_ros.ros.publishers.blurred_image import BlurredImage
from maix_facemesh_ros.ros.publishers.cloud import FaceCloud
from maix_facemesh_ros.ros.publishers.faces import FacePublisher
from maix_facemesh_ros.ros.publishers.interop import open_other_packages
from maix_facemesh_ros.ros.publishers.jpeg_image import JpegImages
from maix_facemesh_ros.ros.publishers.markers import FaceMarkers
from maix_facemesh_ros.ros.publishers.source_image import SourceImage
from maix_facemesh_ros.ros.publishers.tf_broadcaster import FaceFrames
from maix_facemesh_ros.ros.result import Result, ResultPublisher
from maix_facemesh_ros.ros.result_notices import ResultNotices
from maix_facemesh_ros.sources.base import SourceError

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 5.0

#: Seconds for subscribers to receive the last faces of a file before the node exits.
LAST_FACES_TIMEOUT = 1.0

#: Errors at the start that are printed in one line, without a traceback.
START_ERRORS = (ParameterError, BackendError, ModelError, SourceError)


class FaceMeshNode(ParameterNode):
    """Answers every image with one FaceArray or, when they come too fast, always the latest.

    One worker thread does the work, so that messages are taken off the middleware at once and the
    latest image is always the next.
    """

    def __init__(self) -> None:
        super().__init__("facemesh")
        self.failed = False
        self._closing = threading.Event()
        parameters = self.declare_table(NodeParameters)
        self._diagnostics = Diagnostics(self, self._facts)
        self._topic_reader = MessageReader(self)
        # Read in turn with the images: a calibration is there before the image after it.
        self._calibration = open_calibration(
            self,
            parameters,
            images=self.resolve_topic_name(image_topic(self, parameters)),
            callback_group=self._topic_reader.callback_group,
        )
        self._faces = FacePublisher(self)
        annotated, blurred = AnnotatedImage(self), BlurredImage(self)
        #: Publishers of each result, after `faces`.
        self._views: Sequence[ResultPublisher] = (
            self._calibration,
            FaceFrames(self),
            FaceCloud(self),
            FaceMarkers(self),
            *open_other_packages(self, parameters),
            annotated,
            blurred,
            *((SourceImage(self),) if parameters.source else ()),
        )
        #: Publishers of a MaixCAM's JPEGs, whose faces have been published before.
        self._jpeg_views: Sequence[ResultPublisher] = (
            (JpegImages(self, (annotated, blurred)),) if parameters.backend in FACE_SOURCES else ()
        )
        context = InputContext(
            self,
            parameters,
            self._calibration,
            self._diagnostics,
            self._topic_reader,
            self._is_stopping,
        )
        self._input: Input[Any] = open_input(context)
        self._notices = ResultNotices(self, self._calibration, self._input.name)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._notices.say_what_is_assumed(parameters, None)
        self.get_logger().info(
            f"backend {self._input.facts['backend']}; images from {self._input.name}, "
            f"faces on {self._faces.topic_name}"
        )
        self._worker = threading.Thread(target=self._work, name="facemesh worker")
        self._worker.start()
        self._topic_reader.start()

    def _work(self) -> None:
        """Answer one item after the other until the input ends or the node stops."""
        try:
            for item in self._input.items():
                self._answer(item)
            self._say_ended()
        except SourceError as error:
            self.failed = True
            self.get_logger().error(str(error))
        except Exception:
            self.failed = True
            raise
        finally:
            # A source has ended (or the node is shutting down): let the executor return.
            self.context.try_shutdown()

    def _answer(self, item: Any) -> None:
        """Publish the result of one item; one that cannot be used is named and dropped."""
        try:
            self._publish(self._input.result(item))
        except ImageError as error:
            self._diagnostics.lost(keys.UNUSABLE)
            self.get_logger().warning(
                f"image on {self._input.name} not used: {error}",
                throttle_duration_sec=WARNING_INTERVAL,
            )
        except Exception:
            # A fault of ours with one image must not cost the robot the images after it.
            if not self._is_stopping():
                self._diagnostics.lost(keys.FAULT)
                self.get_logger().error(
                    f"image not processed: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )

    def _publish(self, result: Result) -> None:
        """Publish the faces of one image, then the other subscribed topics."""
        if result.jpeg is not None:
            self._publish_to(self._jpeg_views, result, keys.JPEG_VIEWS)
            return
        started = time.perf_counter()
        self._faces.publish(result)
        self._diagnostics.answered(len(result.faces))
        self._diagnostics.took({keys.PUBLISH: time.perf_counter() - started})
        self._notices.note(result)
        self._publish_to(self._views, result, keys.VIEWS)

    def _publish_to(self, publishers: Sequence[ResultPublisher], result: Result, step: str) -> None:
        """Publish to each; the image has been answered, whatever is wrong here."""
        started = time.perf_counter()
        for publisher in publishers:
            try:
                publisher.publish(result)
            except ImageError as error:
                self.get_logger().warning(
                    f"a JPEG of {self._input.name} cannot be used: {error}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )
            except Exception:
                if not self._is_stopping():
                    self.get_logger().error(
                        f"publishing markers, tf or images failed: {traceback.format_exc()}",
                        throttle_duration_sec=WARNING_INTERVAL,
                    )
        self._diagnostics.took({step: time.perf_counter() - started})

    def _say_ended(self) -> None:
        """Log that a file has ended, and let its last faces arrive before the node exits."""
        if self._is_stopping():
            return
        self.get_logger().info(f"source ended after {self._diagnostics.total(keys.ARRIVED)} images")
        try:
            self._faces.wait_for_subscribers(LAST_FACES_TIMEOUT)
        except Exception:
            if not self._is_stopping():
                raise

    def _facts(self) -> dict[str, str]:
        """Values for /diagnostics in addition to counts and times."""
        return {
            **self._input.facts,
            keys.IMAGES_FROM: self._input.name,
            **self._calibration.facts,
            keys.POSE: self._notices.pose_state(self._input.parameters),
            keys.FACES_SUBSCRIBERS: str(self.count_subscribers(self._faces.topic_name)),
        }

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        names = {parameter.name for parameter in parameters_of(NodeParameters)}
        before = self._input.parameters
        try:
            self._input.change(**{p.name: p.value for p in parameters if p.name in names})
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._notices.say_what_is_assumed(self._input.parameters, before)
        return SetParametersResult(successful=True)

    def _is_stopping(self) -> bool:
        """Whether the node is shutting down; rclpy's signal handler ends the context at once."""
        return self._closing.is_set() or not self.context.ok()

    def stop(self) -> None:
        """Finish the current image, unless it takes long, and free the backend and the source."""
        self._closing.set()
        self._topic_reader.stop()
        self._input.stop()
        self._worker.join(WORKER_TIMEOUT)
        if not self._worker.is_alive():
            self._input.close()
        end_node(self)

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, an image is still being decoded, or a camera or URL read."""
        return self._worker.is_alive() or self._input.is_blocked


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is stopped or its source ends; returns the exit code."""
    return run_node(FaceMeshNode, START_ERRORS, arguments, profile=NODE_PROFILE)


if __name__ == "__main__":
    sys.exit(main())
