"""The soak of `soak.py`, for some seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from soak import check, soak

#: Bytes of a node's log in a minute at most, whatever is sent to it.
MOST_LOG = 10_000

SECONDS = 5.0


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_every_message_is_accounted_for(transport: str, tmp_path: Path) -> None:
    account = soak(SECONDS, transport, tmp_path)
    print(account)
    check(account)
    # Its first lines count as much here as in a whole minute.
    assert account.log * SECONDS / 60 < MOST_LOG
