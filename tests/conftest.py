"""Keeps tests that use ROS apart from each other and from everything else on this machine."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_DOMAINS = range(1, 102)
"""Those whose ports lie below the ones that Linux gives to other programs."""


@pytest.fixture(autouse=True)
def ros_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS domain of the test's own, on this machine only, for its child processes too."""
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        # Other runs of the tests by this user take the same files.
        with Path(tempfile.gettempdir(), f"mx-{os.getuid()}-domain-{domain}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
            monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
            monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
            monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
            yield domain
            return
    pytest.fail("every ROS domain of this machine is taken by other tests")
