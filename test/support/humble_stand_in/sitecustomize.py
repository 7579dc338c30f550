"""Makes the installed rclpy look like Humble's, in every Python that has this folder on its path.

Humble has the events of quality of service in `rclpy.qos_event`, and no `rclpy.event_handler`. It
has no events of matched subscriptions.
"""

import sys

import rclpy.lifecycle
import rclpy.node

sys.modules["rclpy.qos_event"] = rclpy.event_handler
# Python's way to say: not there.
sys.modules["rclpy.event_handler"] = None
del rclpy.event_handler
sys.modules["rclpy.qos_event"].PublisherEventCallbacks.matched = property(
    lambda _: None, lambda *_: None
)
