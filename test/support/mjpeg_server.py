"""A network camera: a real HTTP server that sends JPEG images as multipart/x-mixed-replace."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from maix_facemesh_ros.image import Pixels

#: Images a second.
RATE = 20.0


class MjpegServer(ThreadingHTTPServer):
    """Sends an image over and over; it can stall, hang up, be switched off and on again."""

    daemon_threads = True

    def __init__(self, bgr: Pixels, *, port: int = 0, password: str = "") -> None:
        """Listen on this machine, and answer once it is switched on with `start`.

        Args:
            bgr: the image to send.
            port: where to listen; 0: any free one.
            password: of the user "robot"; empty: everyone may look.
        """
        super().__init__(("127.0.0.1", port), _Connection)
        self.authorization = ""
        if password:
            token = base64.b64encode(f"robot:{password}".encode()).decode()
            self.authorization = f"Basic {token}"
        self.connections = 0
        #: Images come while it is set.
        self.streaming = threading.Event()
        self.streaming.set()
        #: Connections last while it is not set.
        self.hanging_up = threading.Event()
        self.show(bgr)

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return f"http://127.0.0.1:{self.server_port}/video"

    def show(self, bgr: Pixels) -> None:
        """Send this image from now on."""
        written, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(bgr))
        assert written
        self.jpeg = jpeg.tobytes()

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def switch_off(self) -> None:
        """Hang up on everyone, and refuse new connections."""
        self.hanging_up.set()
        self.streaming.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Take no notice of those who hang up."""


class _Connection(BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        """Send images until one of the two hangs up."""
        server = self.server
        server.connections += 1
        if server.authorization not in ("", self.headers.get("Authorization")):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if not server.streaming.is_set():  # it does not even answer
            server.streaming.wait()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=image")
        self.end_headers()
        while not server.hanging_up.wait(1 / RATE):
            server.streaming.wait()
            head = f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(server.jpeg)}"
            self.wfile.write(head.encode() + b"\r\n\r\n" + server.jpeg + b"\r\n")

    def log_message(self, *_: Any) -> None:
        """Write no log."""
