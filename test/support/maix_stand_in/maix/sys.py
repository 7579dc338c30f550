"""What the device says of itself."""

from __future__ import annotations

import socket

from . import _knobs


def device_name(cache: bool = True) -> str:  # noqa: ARG001  nothing to cache here
    """Return the model of the device."""
    return _knobs.text("DEVICE_NAME", "maixcam")


def maixpy_version() -> str:
    """Return the version of MaixPy."""
    return _knobs.text("MAIXPY_VERSION", "4.12.1")


def ip_address() -> dict[str, str]:
    """Return the addresses by the name of their interface; the one here works on this host."""
    return {"usb0": "127.0.0.1"}


def host_name() -> str:
    """Return the name of this host."""
    return socket.gethostname()


def host_domain() -> str:
    """Return the name under which others in the network find this host."""
    return f"{host_name()}.local"
