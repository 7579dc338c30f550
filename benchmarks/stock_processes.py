"""A camera driver and a subscriber as robots have them: plain rclpy processes, no Fast DDS profile.

Run as a program, it publishes images at a rate once there are subscribers and prints their stamps,
or it subscribes and prints how many images arrived. Imported, it starts that program in a clean
environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Variables that a stock driver's environment has here; no Fast DDS profile is among them.
KEPT = ("PATH", "HOME", "LANG", "AMENT_PREFIX_PATH", "ROS_DOMAIN_ID")

#: Seconds to wait for subscribers, and between the first of them and the images.
TIMEOUT = 60.0
SETTLING = 1.5


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process without this package's settings."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


@dataclass
class Driven:
    """Statistics of the driver."""

    #: Nanoseconds, one for each image in order.
    stamps: list[int]
    #: Images a second that it really published.
    rate: float
    #: Milliseconds of computing that an image cost the driver, and the longest publish().
    computing: float
    longest_publish: float


class StockDriver:
    """A running driver."""

    def __init__(
        self,
        size: tuple[int, int],
        images: int,
        *,
        reliability: str = "RELIABLE",
        rate: float = 30.0,
        subscribers: int = 1,
        more: Sequence[str] = (),
        **variables: str,
    ) -> None:
        """Start it.

        Args:
            size: width and height.
            images: number of images.
            reliability: RELIABLE or BEST_EFFORT.
            rate: images a second.
            subscribers: number of subscriptions to wait for.
            more: arguments of the program.
            **variables: more variables of its environment.
        """
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, size), str(images), f"--rate={rate}"]
            + [f"--reliability={reliability}", f"--subscribers={subscribers}", *more],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(**variables),
        )

    def wait(self) -> Driven:
        """Wait for the last image."""
        output, _ = self.process.communicate(timeout=3 * TIMEOUT)
        return Driven(**json.loads(output.splitlines()[-1]))


class StockSubscriber:
    """A running subscriber, reliable, that does nothing with the images."""

    def __init__(self, **variables: str) -> None:
        """Start it; the variables are added to its environment."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, "0", "0", "0", "--subscribe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(**variables),
        )

    def stop(self) -> int:
        """Return the number of images that arrived."""
        output, _ = self._process.communicate("stop", timeout=TIMEOUT)
        return int(output)


def main() -> None:
    """Publish or subscribe."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("width", "height", "images"):
        parser.add_argument(name, type=int)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--reliability", default="RELIABLE")
    parser.add_argument("--subscribers", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="leave every n-th image out")
    parser.add_argument("--first", type=int, default=0, help="images before those that count")
    parser.add_argument("--subscribe", action="store_true", help="count images until stdin ends")
    given = parser.parse_args()
    if given.subscribe:
        count()
    else:
        drive(given)


def count() -> None:
    """Count images until standard input ends."""
    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("plain_subscriber")
    arrived: list[None] = []
    node.create_subscription(
        Image, "image_raw", lambda _: arrived.append(None), QoSProfile(depth=5), raw=True
    )
    threading.Thread(target=rclpy.spin, args=(node,), daemon=True).start()
    sys.stdin.read()
    print(len(arrived), flush=True)
    os._exit(0)


def drive(given: argparse.Namespace) -> None:
    """Publish images and print the fields of `Driven`."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("driver")
    reliability = ReliabilityPolicy[given.reliability]
    publisher = node.create_publisher(
        Image, "image_raw", QoSProfile(depth=5, reliability=reliability)
    )
    message = Image(height=given.height, width=given.width, encoding="rgb8", step=3 * given.width)
    message.data = array("B", a_face(given.width, given.height).tobytes())
    end = time.monotonic() + TIMEOUT
    while publisher.get_subscription_count() < given.subscribers and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(SETTLING)
    if given.first:
        publish(publisher, message, given.first, given.rate, skip=0)
    print(json.dumps(publish(publisher, message, given.images, given.rate, given.skip)), flush=True)
    # The last image may still be asked for again.
    time.sleep(1.0)
    node.destroy_node()
    rclpy.try_shutdown()


def a_face(width: int, height: int) -> Any:
    """Return an image with a face, as a camera's mostly is: uint8 (height, width, 3) RGB."""
    import cv2
    import numpy as np
    from skimage import data

    image = np.zeros((height, width, 3), np.uint8)
    side = min(width, height)
    image[:side, :side] = cv2.resize(data.astronaut(), (side, side))
    return image


def publish(publisher: Any, message: Any, images: int, rate: float, skip: int) -> dict[str, Any]:
    """Publish at a rate; returns the fields of `Driven`."""
    stamps: list[int] = []
    longest, computed, start = 0.0, time.process_time(), time.monotonic()
    for number in range(images):
        rest = start + number / rate - time.monotonic()
        if rest > 0:
            time.sleep(rest)
        if skip and number % skip == skip - 1:
            continue
        stamp = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        before = time.monotonic()
        publisher.publish(message)
        longest = max(longest, time.monotonic() - before)
        stamps.append(stamp)
    elapsed = time.monotonic() - start
    return {
        "stamps": stamps,
        "rate": (images - 1) / elapsed,
        "computing": 1e3 * (time.process_time() - computed) / len(stamps),
        "longest_publish": 1e3 * longest,
    }


if __name__ == "__main__":
    # The folder of this file holds no modules of ROS.
    sys.path.remove(str(Path(__file__).parent))
    main()
