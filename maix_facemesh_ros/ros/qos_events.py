"""The events of a subscription's quality of service, under the name of every ROS distribution.

Humble has them in `rclpy.qos_event`. Since Iron they are in `rclpy.event_handler`, and the old name
warns that it is deprecated.
"""

try:
    from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
except ModuleNotFoundError:
    from rclpy.qos_event import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks

__all__ = ["QoSRequestedIncompatibleQoSInfo", "SubscriptionEventCallbacks"]
