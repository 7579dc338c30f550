"""`Pipeline`: all that a configured node has, from its input to its topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from maix_facemesh_ros.parameters import NodeParameters, parameters_of
from maix_facemesh_ros.ros import diagnostic_keys as keys
from maix_facemesh_ros.ros.calibration import open_calibration
from maix_facemesh_ros.ros.diagnostics import Diagnostics
from maix_facemesh_ros.ros.images import InputContext, image_topic, name_of_images
from maix_facemesh_ros.ros.inputs import Input, make_input
from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.outputs import Outputs
from maix_facemesh_ros.ros.result_notices import ResultNotices


class Pipeline:
    """The calibration, the input with its networks, and the outputs."""

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        diagnostics: Diagnostics,
        topic_reader: MessageReader,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Announce the topics and load the networks.

        Args:
            node: has the topics; publishers that it has already stay when the pipeline is closed.
            parameters: those of now.
            diagnostics: of the node.
            topic_reader: reads the messages of the input and the calibration.
            is_stopping: whether images are not processed any more.

        Raises:
            ParameterError: a calibration that cannot be read.
            BackendError, ModelError, SourceError: see `make_input`.
        """
        self._node = node
        self._other_publishers = frozenset(node.publishers)
        # Read in turn with the images: a calibration is there before the image after it.
        self._calibration = open_calibration(
            node,
            parameters,
            images=node.resolve_topic_name(image_topic(node, parameters)),
            callback_group=topic_reader.callback_group,
        )
        try:
            context = InputContext(
                node, parameters, self._calibration, diagnostics, topic_reader, is_stopping
            )
            name = name_of_images(context)
            self._notices = ResultNotices(node, self._calibration, name)
            self.outputs = Outputs(context, self._notices, name)
            self.input: Input[Any] = make_input(context)
        except Exception:
            self._destroy_topics()
            raise
        self._notices.say_what_is_assumed(parameters, None)

    @property
    def facts(self) -> dict[str, str]:
        """Values for /diagnostics."""
        return {
            **self.input.facts,
            keys.IMAGES_FROM: self.input.name,
            **self._calibration.facts,
            keys.POSE: self._notices.pose_state(self.input.parameters),
            keys.FACES_SUBSCRIBERS: str(
                self._node.count_subscribers(self.outputs.faces.topic_name)
            ),
        }

    def change(self, parameters: Sequence[Parameter]) -> None:
        """Change parameters at run time: all of them, or with a bad one none.

        Raises:
            ParameterError: a bad value.
        """
        names = {parameter.name for parameter in parameters_of(NodeParameters)}
        before = self.input.parameters
        self.input.change(**{each.name: each.value for each in parameters if each.name in names})
        self._notices.say_what_is_assumed(self.input.parameters, before)

    def close(self) -> None:
        """Free the networks and the topics of a closed input, on the executor's thread."""
        self.input.free()
        self._destroy_topics()

    def _destroy_topics(self) -> None:
        self._calibration.close()
        for publisher in set(self._node.publishers) - self._other_publishers:
            self._node.destroy_publisher(publisher)
