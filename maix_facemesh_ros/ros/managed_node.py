"""`ManagedNode`: a node with ROS 2's lifecycle, whose transitions are methods that raise errors.

The states and transitions are those of https://design.ros2.org/articles/node_lifecycle.html.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn

from maix_facemesh_ros.ros.node_parameters import ParameterNode

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"


class ManagedNode(LifecycleNodeMixin, ParameterNode):
    """Calls its methods `configure`, `activate`, `deactivate` and `clean_up` in the transitions.

    An error of `refusals` is logged in one line, and the node keeps its state. Any other
    error is a fault: it is logged with its traceback, everything is freed, and the node is
    unconfigured; if it cannot be freed, the node is finalized. Parameters that are fixed at the
    start may change while the node is unconfigured.
    """

    advice_on_fixed = (
        "set it there and restart, or set it while the node is unconfigured (docs/lifecycle.md)"
    )

    #: Errors by which `configure` and `activate` refuse.
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self, name: str) -> None:
        ParameterNode.__init__(self, name)  # type: ignore[call-arg]
        LifecycleNodeMixin.__init__(self)
        self.state = UNCONFIGURED
        self._is_autostarting = False
        self._error: Exception | None = None

    def configure(self) -> None:
        """Load what the node needs, with the parameters of now."""
        raise NotImplementedError

    def activate(self) -> None:
        """Begin to work."""
        raise NotImplementedError

    def deactivate(self) -> None:
        """Stop working; also after a part of `activate`, and where nothing is active."""
        raise NotImplementedError

    def clean_up(self) -> None:
        """Free what `configure` has loaded; also after a part of it, and where nothing is."""
        raise NotImplementedError

    def autostart(self) -> None:
        """Configure and activate, without a log line.

        Raises:
            Exception: the error of a transition that failed.
        """
        self._is_autostarting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS and self._error is not None:
                raise self._error
        self._is_autostarting = False

    def destroy_node(self) -> None:
        """Destroy the node with its lifecycle services.

        rclpy leaves these, and the middleware's node with them, until this object is collected.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """See `ManagedNode`."""
        result = self._attempt(self.configure, self.clean_up, INACTIVE)
        self.fix_parameters(self.state == INACTIVE)
        return result

    def on_activate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """See `ManagedNode`."""
        return self._attempt(self.activate, self.deactivate, ACTIVE)

    def on_deactivate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """See `ManagedNode`."""
        return self._attempt(self.deactivate, self.deactivate, INACTIVE)

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """See `ManagedNode`."""
        result = self._attempt(self.clean_up, self.clean_up, UNCONFIGURED)
        self.fix_parameters(self.state != UNCONFIGURED)
        return result

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        """See `ManagedNode`."""
        return self._attempt(self._free_everything, self.clean_up, FINALIZED)

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a fault."""
        result = self._attempt(self._free_everything, self.clean_up, UNCONFIGURED)
        if result == TransitionCallbackReturn.SUCCESS:
            self.fix_parameters(False)
            return result
        self._enter(FINALIZED)
        return TransitionCallbackReturn.FAILURE

    def _free_everything(self) -> None:
        self.deactivate()
        self.clean_up()

    def _attempt(
        self, method: Callable[[], None], undo: Callable[[], None], goal: str
    ) -> TransitionCallbackReturn:
        """Call the method of a transition, and undo what it has done if it refuses."""
        try:
            method()
        except self.refusals as error:
            self._note(error, f"stays {self.state}: {error}")
            undo()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self._note(error, f"a transition failed: {traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        self._enter(goal)
        return TransitionCallbackReturn.SUCCESS

    def _enter(self, state: str) -> None:
        self.state = state
        if not self._is_autostarting:
            self.get_logger().info(f"lifecycle state: {state}")

    def _note(self, error: Exception, text: str) -> None:
        self._error = error
        if not self._is_autostarting:
            self.get_logger().error(text)
