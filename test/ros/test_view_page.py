"""`facemesh_view` as its users see it: in Chromium, with the node, images and DDS.

`python test/ros/test_view_page.py` writes the image of the page for the documentation,
`docs/images/browser.jpg`.
"""

from __future__ import annotations

import re
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from chromium import Browser, a_browser
from maix_facemesh_ros.image import Pixels
from running_node import (
    NodeProcess,
    Robot,
    StartNode,
    image_message,
    in_own_network,
    new_robot,
    starting_in,
)
from scenes import plain, scene

pytest_plugins = ["running_node", "chromium"]

LEFT, RIGHT = (170, 180, 95.0), (470, 170, 120.0)
EVERYTHING = ("assumed_field_of_view:=65.0", "gaze:=true", "blendshapes:=true")

#: Seconds between two images.
INTERVAL = 0.1


class Camera:
    """Shows an image again and again, until the page says what it should."""

    def __init__(self, robot: Robot, browser: Browser, interval: float = INTERVAL) -> None:
        self.robot = robot
        self.interval = interval
        self.browser = browser
        self.image = plain()
        self.sent: dict[str, Pixels] = {}

    def take(self) -> None:
        """Publish the image once."""
        message = image_message(self.image)
        message.header.stamp = self.robot.get_clock().now().to_msg()
        stamp = message.header.stamp
        self.sent[f"{stamp.sec}.{stamp.nanosec:09d}"] = self.image
        self.robot.images.publish(message)
        self.robot.spin_for(self.interval)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        self.browser.wait_until(condition, what, self.take)

    def shows(self, image: Pixels) -> None:
        """Show an image until it is the one on the page."""
        self.image = image
        before = set(self.sent)
        self.until(
            # Without an image there is a note.
            lambda: (
                self.stamp in self.sent.keys() - before and not self.browser.text("#stage-note")
            ),
            "image of now",
        )

    @property
    def stamp(self) -> str:
        """The stamp of the frame on the page."""
        return str(self.browser.run("return document.getElementById('stage').dataset.stamp ?? ''"))


@pytest.fixture
def camera(robot: Robot, browser: Browser) -> Camera:
    return Camera(robot, browser)


def start_view(
    start: StartNode, *parameters: str, remaps: Sequence[str] = ()
) -> tuple[NodeProcess, str]:
    """Start the view at a free port; returns it and its address."""
    view = start("port:=0", *parameters, remaps=remaps, program="facemesh_view")
    return view, address_of(view)


def address_of(view: NodeProcess) -> str:
    found = None
    while found is None:
        assert view.process.poll() is None, view.output()
        found = re.search(r"http://[^ ]+", view.output())
    return found.group()


def frozen(browser: Browser) -> tuple[str, Pixels, Pixels]:
    """Return the stamp on the page and the image and the overlay at that time.

    While a test's image stays the same, all that may change between the calls is the stamp.
    """
    stamp = str(browser.run("return document.getElementById('stage').dataset.stamp"))
    return stamp, browser.canvas("#image"), browser.canvas("#overlay")


def center_of_mesh(overlay: Pixels) -> tuple[float, float]:
    """Return where the mesh on an overlay is, as fractions of its width and height."""
    # Box and label are opaque.
    rows, columns = np.nonzero((overlay[:, :, 3] > 0) & (overlay[:, :, 3] < 255))
    return columns.mean() / overlay.shape[1], rows.mean() / overlay.shape[0]


def scores_of(browser: Browser, face: str) -> dict[str, float]:
    pairs = browser.run(
        "return [...document.querySelectorAll(`[data-face='${arguments[0]}'] .scores li`)]"
        ".map((bar) => [bar.dataset.name, bar.style.getPropertyValue('--score')])",
        face,
    )
    return {name: float(score) for name, score in pairs}


def fact(browser: Browser, face: str, name: str) -> str:
    return browser.text(f"[data-face='{face}'] [data-fact='{name}']")


# ---- What it shows -------------------------------------------------------------------------------


def test_the_page_shows_a_face_and_follows_it(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    # On a busy machine the camera pauses for more than half a second.
    start(*EVERYTHING, "smoothing:=off", "id_timeout:=60.0")
    _, address = start_view(start, "pictures:=raw")
    browser.open(address)
    camera.shows(scene(astronaut, LEFT))
    camera.until(lambda: browser.text(".face h2"), "face")
    stamp, image, overlay = frozen(browser)
    assert np.abs(image[:, :, :3].astype(int) - camera.sent[stamp]).mean() < 4, "another image"
    x, y = center_of_mesh(overlay)
    assert (x * 640, y * 360) == pytest.approx(LEFT[:2], abs=15)
    assert browser.text("#connection") == "live"
    assert browser.text("#trouble") == ""
    face = browser.text(".face h2")
    assert re.fullmatch(r"id \d+", face)
    assert re.fullmatch(r"0\.\d\d", fact(browser, face, "score"))
    assert re.fullmatch(r"0\.\d\d m", fact(browser, face, "distance"))
    assert fact(browser, face, "size") == "1.00, assumed"
    camera.until(lambda: "main person" in fact(browser, face, "attention"), "attention")
    assert re.fullmatch(r"\d+° (left|right), \d+° (up|down)", fact(browser, face, "gaze"))
    scores = scores_of(browser, face)
    assert len(scores) == 51
    assert scores["mouthSmileLeft"] > 0.5 > scores["jawOpen"]

    moved = (LEFT[0] + 40, LEFT[1] - 20, LEFT[2])
    camera.shows(scene(astronaut, moved))
    camera.until(lambda: browser.text(".face h2"), "face")
    stamp, image, overlay = frozen(browser)
    assert np.abs(image[:, :, :3].astype(int) - camera.sent[stamp]).mean() < 4
    x, y = center_of_mesh(overlay)
    assert (x * 640, y * 360) == pytest.approx(moved[:2], abs=15)
    assert browser.text(".face h2") == face
    assert browser.complaints() == []


def test_the_head_turns_with_the_face_and_by_hand(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    start(*EVERYTHING, "tracking:=false", "smoothing:=off")
    _, address = start_view(start, "pictures:=raw")
    browser.open(address)
    straight = scene(astronaut, (320, 180, 120.0))
    camera.shows(straight)
    camera.until(lambda: browser.text(".face h2"), "face")
    browser.run("document.querySelector('[name=axes]').click()")
    browser.run("document.querySelector('[name=gaze]').click()")
    roll = int(browser.text("[data-fact=roll]").rstrip("°"))
    upright = lean_of_head(browser)

    turn = cv2.getRotationMatrix2D((320, 180), -25, 1.0)  # clockwise: the top goes to the right
    camera.shows(np.asarray(cv2.warpAffine(straight, turn, (640, 360)), np.uint8))
    # The detector's first run in a turned image loads networks of its size.
    camera.until(lambda: browser.text(".face h2"), "face")
    assert int(browser.text("[data-fact=roll]").rstrip("°")) - roll == pytest.approx(25, abs=4)
    assert lean_of_head(browser) - upright == pytest.approx(25, abs=6)

    camera.shows(straight)
    seen_from_camera = shape_of_head(browser)
    drag_head(browser, 150)  # by 1.5 radians: to the side
    assert overlap(shape_of_head(browser), seen_from_camera) < 0.8
    browser.run("document.querySelector('.head').dispatchEvent(new MouseEvent('dblclick'))")
    assert overlap(shape_of_head(browser), seen_from_camera) > 0.95
    assert browser.complaints() == []


def drag_head(browser: Browser, pixels: int) -> None:
    browser.run(
        "const head = document.querySelector('.head');"
        "head.setPointerCapture = () => {}; head.hasPointerCapture = () => true;"
        "head.dispatchEvent("
        "new PointerEvent('pointermove', { movementX: arguments[0], pointerId: 1 }))",
        pixels,
    )


def shape_of_head(browser: Browser) -> npt.NDArray[np.bool_]:
    shape = browser.canvas(".head")[:, :, 3] > 0
    assert shape.mean() > 0.1, "no head"
    return np.asarray(shape)


def overlap(shape: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((shape & other).sum() / (shape | other).sum())


def lean_of_head(browser: Browser) -> float:
    """Return how far the drawn head's long axis leans to the right, in degrees."""
    rows, columns = np.nonzero(shape_of_head(browser))
    _, axes = np.linalg.eigh(np.cov(columns, -rows))
    right, up = axes[:, 1] * np.sign(axes[1, 1])
    return float(np.degrees(np.arctan2(right, up)))


def test_each_face_has_its_card_and_a_note_says_that_there_is_none(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    start("tracking:=false", "id_timeout:=0.0", "landmarks_num:=146")
    _, address = start_view(start)
    browser.open(address)
    camera.image = scene(astronaut, LEFT, RIGHT)
    cards = "return document.querySelectorAll('.face').length"
    camera.until(lambda: browser.run(cards) == 2, "second face")
    # What the node does not compute is said to be off.
    assert "blendshapes true" in browser.text(".no-scores")
    assert browser.text("[data-fact=distance]") == "no pose"
    camera.image = plain()
    camera.until(lambda: browser.text("#no-faces") == "no face in view", "note")
    assert browser.run(cards) == 0
    assert browser.complaints() == []


@pytest.mark.parametrize("images", ["compressed", "annotated"])
def test_images_that_come_as_jpeg(
    images: str,
    start: StartNode,
    camera: Camera,
    browser: Browser,
    astronaut: Pixels,
    tmp_path: Path,
) -> None:
    """A camera's own go to the browser as they came; the node's have the faces drawn already."""
    jpeg = cv2.imencode(".jpg", astronaut[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    publisher = camera.robot.create_publisher(
        CompressedImage, "camera/image/compressed", QoSProfile(depth=10)
    )
    remaps = ("image_raw/compressed:=camera/image/compressed",)

    def take() -> None:
        message = CompressedImage(format="jpeg", data=array("B", jpeg))
        message.header.stamp = camera.robot.get_clock().now().to_msg()
        if images == "compressed":
            publisher.publish(message)
        camera.robot.spin_for(INTERVAL)

    if images == "compressed":
        start("image_transport:=compressed", remaps=remaps)
    else:
        camera.robot.destroy_publisher(publisher)
        camera.robot.destroy_publisher(camera.robot.images)
        (tmp_path / "face.jpg").write_bytes(jpeg)
        start(f"source:={tmp_path / 'face.jpg'}", "source_loop:=true")
    # By itself the view would take the images of the source, without faces in them.
    chosen = ("pictures:=annotated",) if images == "annotated" else ()
    _, address = start_view(start, *chosen, remaps=remaps)
    browser.open(address)
    topic = "/camera/image/compressed" if images == "compressed" else "/facemesh/image_annotated"
    # Which images there are, it hears little by little: those of the camera go before others.
    browser.wait_until(lambda: topic in browser.text("[data-role=images]"), "topic", take)
    before = browser.run("return document.getElementById('stage').dataset.stamp ?? ''")
    browser.wait_until(
        lambda: browser.run(
            "return document.getElementById('stage').dataset.stamp > arguments[0]", before
        ),
        "image of now",
        take,
    )
    browser.wait_until(lambda: browser.text(".face h2"), "face", take)
    shown = browser.canvas("#image")[:, :, :3].astype(int)
    assert shown.shape == astronaut.shape
    sent = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert sent is not None
    difference = np.abs(shown - sent[:, :, ::-1]).mean()
    overlay = browser.canvas("#overlay")[:, :, 3]
    if images == "compressed":
        assert difference < 0.5
        assert overlay.any()
    else:
        assert 0.5 < difference < 10
        assert not overlay.any(), "drawn twice"
    assert browser.complaints() == []


# ---- When nothing arrives ------------------------------------------------------------------------


def test_it_says_what_is_missing_until_it_comes(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    """Without a node: no faces. Then with one. Then nothing is published any more."""
    view, address = start_view(start)
    assert camera.robot.images.get_subscription_count() == 0, "no subscriber"
    browser.open(address)
    trouble = "no faces: no publisher on /faces (is facemesh_node running?)"
    camera.image = scene(astronaut, LEFT)
    camera.until(lambda: browser.text("#trouble") == trouble, "word on what is missing")
    camera.until(lambda: camera.stamp in camera.sent, "image without faces")
    assert browser.text("#no-faces") == "no faces from the node"
    assert trouble in view.output()

    node = start("max_face_num:=1")
    camera.until(lambda: browser.text(".face h2"), "face")
    camera.until(lambda: browser.text("#trouble") == "", "all well")
    assert node.stop() == 0
    browser.wait_until(
        lambda: "nothing arrives on /image_raw" in browser.text("#trouble"),
        "word on silence",
        lambda: camera.robot.spin_for(INTERVAL),
    )
    assert "/robot with sensor_msgs/msg/Image RELIABLE VOLATILE" in browser.text("#trouble")
    assert browser.run("return document.querySelector('#view').classList.contains('silent')")
    assert camera.robot.images.get_subscription_count() == 1
    browser.leave()
    camera.robot.wait_until(
        lambda: camera.robot.images.get_subscription_count() == 0, "end of the subscription"
    )
    assert browser.complaints() == []


def test_a_image_that_cannot_be_shown_is_named_and_the_next_is_shown(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    view, address = start_view(start)
    browser.open(address)

    def send(encoding: str) -> None:
        camera.robot.images.publish(image_message(astronaut, encoding))
        camera.robot.spin_for(INTERVAL)

    browser.wait_until(
        lambda: "cannot be shown: the encoding is 'rainbow'" in browser.text("#trouble"),
        "word on the encoding",
        lambda: send("rainbow"),
    )
    camera.shows(astronaut)
    camera.until(lambda: "cannot be shown" not in browser.text("#trouble"), "all well")

    jpeg = cv2.imencode(".jpg", astronaut)[1].tobytes()
    publisher = camera.robot.create_publisher(
        CompressedImage, "image_raw/compressed", QoSProfile(depth=10)
    )

    def send_jpeg(data: bytes) -> None:
        message = CompressedImage(format="jpeg", data=array("B", data))
        message.header.stamp = camera.robot.get_clock().now().to_msg()
        publisher.publish(message)
        camera.robot.spin_for(INTERVAL)

    browser.wait_until(
        lambda: "cut short" in browser.text("#trouble"),
        "word on the cut JPEG",
        lambda: send_jpeg(jpeg[:700]),
    )
    # Without its quantization tables (DQT, 0xFFDB) it has all its lengths, and only the browser
    # sees that it cannot be decoded.
    at = jpeg.index(b"\xff\xdb")
    end = jpeg.index(b"\xff\xc0")
    browser.wait_until(
        lambda: browser.text("#stage-note") == "a damaged image",
        "note",
        lambda: send_jpeg(jpeg[:at] + jpeg[end:]),
    )
    camera.robot.destroy_publisher(publisher)
    camera.shows(astronaut)
    assert browser.complaints() == []
    assert "Traceback" not in view.output()


def test_a_quality_of_service_that_does_not_fit_is_named(
    start: StartNode, robot: Robot, browser: Browser
) -> None:
    robot.destroy_publisher(robot.images)
    robot.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    _, address = start_view(
        start, "qos_overrides./image_raw.subscription.reliability:=reliable", "pictures:=raw"
    )
    browser.open(address)
    browser.wait_until(
        lambda: "(RELIABILITY)" in browser.text("#trouble"),
        "quality of service",
        lambda: robot.spin_for(INTERVAL),
    )
    assert "a publisher of /image_raw offers" in browser.text("#trouble")


def test_the_page_comes_back_when_the_server_does(
    start: StartNode, camera: Camera, browser: Browser, astronaut: Pixels
) -> None:
    """Also with a token: the browser keeps what it has for it."""
    start()
    view, address = start_view(start, "token:=let me in")
    browser.open(address)
    browser.run("document.querySelector('[name=token]').value = arguments[0]", "let them in")
    browser.run("document.querySelector('form').submit()")
    camera.until(lambda: browser.text("#wrong"), "refusal")
    browser.run("document.querySelector('[name=token]').value = arguments[0]", "let me in")
    browser.run("document.querySelector('form').submit()")
    camera.image = scene(astronaut, LEFT)
    camera.until(lambda: browser.text(".face h2"), "face")

    assert view.stop() == 0
    camera.until(lambda: "reconnecting" in browser.text("#connection"), "word on the server")
    port = address.rstrip("/").rsplit(":", 1)[1]
    start("token:=let me in", f"port:={port}", program="facemesh_view")
    before = camera.stamp
    camera.until(lambda: browser.text("#connection") == "live", "connection")
    camera.until(lambda: camera.stamp > before, "image of now")


# ---- The image in the documentation ------------------------------------------------------------


def write_image_of_the_page(path: Path) -> None:
    """Show two faces until all is there, and save what the browser shows."""
    from skimage import data

    astronaut = data.astronaut()
    with (
        tempfile.TemporaryDirectory() as folder,
        in_own_network(),
        starting_in(Path(folder)) as start,
        new_robot() as robot,
        a_browser(Path(folder) / "chromium", 1500, 960) as browser,
    ):
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        start(*EVERYTHING)
        browser.open(start_view(start)[1])
        camera = Camera(robot, browser, interval=1 / 30)
        camera.image = scene(astronaut, LEFT, RIGHT)
        camera.until(lambda: browser.text(".has-scores h2"), "face")
        drag_head(browser, -45)
        end = time.monotonic() + 3  # until the rates are those of a running camera
        camera.until(lambda: time.monotonic() > end, "time")
        screenshot = np.frombuffer(browser.driver.get_screenshot_as_png(), np.uint8)
        image = cv2.imdecode(screenshot, cv2.IMREAD_COLOR)
        assert image is not None
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    write_image_of_the_page(Path(__file__).resolve().parents[2] / "docs/images/browser.jpg")
