"""The events of publishers and subscriptions, under the name of every ROS distribution.

Humble has them in `rclpy.qos_event`. Since Iron they are in `rclpy.event_handler`, and the old name
warns that it is deprecated.
"""

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        QoSMessageLostInfo,
        QoSRequestedIncompatibleQoSInfo,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ModuleNotFoundError:
    from rclpy.qos_event import (
        PublisherEventCallbacks,
        QoSMessageLostInfo,
        QoSRequestedIncompatibleQoSInfo,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

__all__ = [
    "PublisherEventCallbacks",
    "QoSMessageLostInfo",
    "QoSRequestedIncompatibleQoSInfo",
    "SubscriptionEventCallbacks",
    "UnsupportedEventTypeError",
]
