"""A browser's side of `facemesh_view` without a browser: the frames that the page would get."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import Callable
from typing import Any

from tornado.websocket import websocket_connect

from running_node import TIMEOUT, NodeProcess

#: Seconds between two calls of what is done while nothing comes.
INTERVAL = 0.1


def address_of(view: NodeProcess) -> str:
    """Wait until a view says at which address its page is."""
    end = time.monotonic() + TIMEOUT
    while not (found := re.search(r"http://[^ ]+", view.output())):
        assert view.process.poll() is None and time.monotonic() < end, view.output()
        time.sleep(0.02)
    return found.group()


def frame_with_faces(view: NodeProcess, meanwhile: Callable[[], None]) -> dict[str, Any]:
    """Return the header of the first frame that has faces and an image.

    Args:
        view: runs.
        meanwhile: called again and again until it comes, such as for another image.
    """

    async def look() -> dict[str, Any]:
        address = address_of(view).replace("http", "ws", 1) + "frames"
        connection = await websocket_connect(address)
        next_message = asyncio.ensure_future(connection.read_message())
        await connection.write_message("ready")
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            meanwhile()
            await asyncio.wait([next_message], timeout=INTERVAL)
            if not next_message.done():
                continue
            message = next_message.result()
            assert message is not None, view.output()
            if isinstance(message, bytes):
                (length,) = struct.unpack_from("<I", message)
                header: dict[str, Any] = json.loads(message[4 : 4 + length])
                if header["faces"]:
                    connection.close()
                    return header
                await connection.write_message("ready")
            next_message = asyncio.ensure_future(connection.read_message())
        raise AssertionError(f"no frame with faces within {TIMEOUT:.0f} s: {view.output()}")

    return asyncio.run(look())
