"""`facemesh_node`: images from a topic or a source in, `faces` out.

One image's way from its topic to the messages:

1. `TopicImages.on_message` (images.py) puts the serialized message into a slot that holds the
   latest only.
2. `FaceMeshNode._work`, the worker thread, takes it with `Input.items`.
3. `Input.result` (inputs.py) reads it and finds its faces: a `Result` (result.py).
4. `Outputs.publish` (outputs.py) sends `faces` first, with the image's stamp and frame, and then
   the other topics that have subscribers, each by `publish(result)` (publishers/).

Files, live sources and a MaixCAM are inputs too, so they differ in steps 1 and 3 only. The node is
a lifecycle node (managed_node.py, docs/lifecycle.md).
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.model_files import ModelError
from maix_facemesh_ros.parameters import NodeParameters, ParameterError
from maix_facemesh_ros.ros import diagnostic_keys as keys
from maix_facemesh_ros.ros.dds_profile import NODE_PROFILE
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.inputs import Input
from maix_facemesh_ros.ros.managed_node import ManagedNode
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.node_process import WORKER_TIMEOUT, end_node, run_node, stop_spinning
from maix_facemesh_ros.ros.outputs import Outputs
from maix_facemesh_ros.ros.pipeline import Pipeline
from maix_facemesh_ros.sources.base import SourceError

#: Seconds between two warnings of the same kind.
WARNING_INTERVAL = 5.0

#: Seconds for subscribers to receive the last faces of a file before the node exits.
LAST_FACES_TIMEOUT = 1.0

#: Seconds that a deactivation waits for the image in work.
DEACTIVATE_TIMEOUT = 10.0

#: Number of former inputs that are remembered: a read of theirs that blocks ends some time.
FORMER_INPUTS = 16

#: Errors at the start that are printed in one line, without a traceback.
START_ERRORS = (ParameterError, BackendError, ModelError, SourceError)


class WorkerError(FaceMeshError, RuntimeError):
    """The worker does not end: the process has to be started again."""


class FaceMeshNode(ManagedNode):
    """Answers every image with one FaceArray or, when they come too fast, always the latest.

    One worker thread does the work, so that messages are taken off the middleware at once and the
    latest image is always the next.
    """

    refusals = START_ERRORS

    def __init__(self) -> None:
        super().__init__("facemesh")
        self.failed = False
        self._stopping = threading.Event()
        parameters = self.declare_table(NodeParameters)
        self.fix_parameters(False)
        self._diagnostics = Diagnostics(self, self._facts)
        self._topic_reader = MessageReader(self)
        self._input_ended = self.create_guard_condition(self._on_input_ended)
        #: None while unconfigured.
        self._pipeline: Pipeline | None = None
        self._worker: threading.Thread | None = None
        #: The worker has not ended in time.
        self._is_abandoned = False
        #: One of them may still be reading its camera or URL.
        self._former_inputs: deque[Input[Any]] = deque(maxlen=FORMER_INPUTS)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.add_on_set_parameters_callback(self._on_parameters)
        if parameters.autostart:
            self.autostart()
        self._diagnostics.start()

    def _work(self, images: Input[Any], outputs: Outputs) -> None:
        """Answer one item after the other until the input ends or is stopped."""
        try:
            for item in images.items():
                self._answer(images, item, outputs)
            self._say_ended(outputs)
        except SourceError as error:
            self.failed = True
            self.get_logger().error(str(error))
        except Exception:
            self.failed = True
            raise
        finally:
            if not self._is_stopping():
                self._input_ended.trigger()

    def _answer(self, images: Input[Any], item: Any, outputs: Outputs) -> None:
        """Publish the result of one item; one that cannot be used is named and dropped."""
        try:
            result = images.result(item)
            if not self._is_abandoned:
                outputs.publish(result)
        except ImageError as error:
            self._diagnostics.lost(keys.UNUSABLE)
            self.get_logger().warning(
                f"image on {images.name} not used: {error}",
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

    def _say_ended(self, outputs: Outputs) -> None:
        """Log that a file has ended, and let its last faces arrive before the node exits."""
        if self._is_stopping():
            return
        self.get_logger().info(f"source ended after image {self._diagnostics.total(keys.ARRIVED)}")
        try:
            outputs.faces.wait_for_subscribers(LAST_FACES_TIMEOUT)
        except Exception:
            if not self._is_stopping():
                raise

    def _on_input_ended(self) -> None:
        """End the process; on the executor's thread, so not in the middle of a transition."""
        if not self._is_stopping():
            stop_spinning()

    def configure(self) -> None:
        """See `ManagedNode`; the topics are announced, and the networks are loaded."""
        self._pipeline = Pipeline(
            self,
            self.read_table(NodeParameters),
            self._diagnostics,
            self._topic_reader,
            self._is_stopping,
        )

    def activate(self) -> None:
        """See `ManagedNode`; the topic is subscribed to, or the source opened."""
        assert self._pipeline is not None, "configured before"
        images, outputs = self._pipeline.input, self._pipeline.outputs
        self._stopping.clear()
        images.open()
        self.get_logger().info(
            f"backend {images.facts['backend']}; images from {images.name}, "
            f"faces on {outputs.faces.topic_name}"
        )
        self._worker = threading.Thread(
            target=self._work, args=(images, outputs), name="facemesh worker"
        )
        self._worker.start()
        self._topic_reader.start()

    def deactivate(self) -> None:
        """See `ManagedNode`; the image in work is still answered, and later ones are not."""
        if self._pipeline is None:
            return
        if not self._end_work(DEACTIVATE_TIMEOUT):
            raise WorkerError(f"an image has been in work for {DEACTIVATE_TIMEOUT:.0f} s")
        self._pipeline.input.close()
        self._diagnostics.forget_trouble()

    def clean_up(self) -> None:
        """See `ManagedNode`."""
        if self._pipeline is not None:
            self._pipeline.close()
            if self._pipeline.input.is_blocked:
                self._former_inputs.append(self._pipeline.input)
            self._pipeline = None

    def _end_work(self, timeout: float) -> bool:
        """Let the worker finish the current image; returns whether it did so in time."""
        self._stopping.set()
        self._topic_reader.stop()
        if self._pipeline is not None:
            self._pipeline.input.stop()
        if self._worker is not None and not self._is_abandoned:
            self._worker.join(timeout)
            self._is_abandoned = self._worker.is_alive()
        return not self._is_abandoned

    def stop(self) -> None:
        """Finish the current image, unless it takes long, and free everything."""
        if self._end_work(WORKER_TIMEOUT) and self._pipeline is not None:
            self._pipeline.input.close()
            self.clean_up()
        self._topic_reader.close()
        self._diagnostics.close()
        end_node(self)

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, an image is still being decoded, or a camera or URL read."""
        return self._is_abandoned or any(each.is_blocked for each in self._former_inputs)

    def _is_stopping(self) -> bool:
        """Whether no more images are processed; rclpy's signal handler ends the context at once."""
        return self._stopping.is_set() or not self.context.ok()

    def _facts(self) -> dict[str, str]:
        """Values for /diagnostics in addition to counts and times."""
        pipeline = self._pipeline
        return {keys.STATE: self.state, **({} if pipeline is None else pipeline.facts)}

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Change the parameters of a configured node."""
        try:
            if self._pipeline is not None:
                self._pipeline.change(parameters)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Start a new stream with the next image."""
        if self._pipeline is not None:
            self._pipeline.input.reset()
        response.success = True
        response.message = "tracks, ids and smoothing start again with the next image"
        return response


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is stopped or its source ends; returns the exit code."""
    return run_node(FaceMeshNode, START_ERRORS, arguments, profile=NODE_PROFILE)


if __name__ == "__main__":
    sys.exit(main())
