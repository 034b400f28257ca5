"""Keeps tests that use ROS apart from each other and from everything else on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_DOMAINS = range(1, 102)
"""Those whose ports lie below the ones that Linux gives to other programs."""


_RECOVERIES: dict[str, float] = {}


@pytest.fixture(autouse=True)
def ros_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS domain of the test's own, on this machine only, for its child processes too."""
    with _own_domain(monkeypatch, tmp_path) as domain:
        yield domain


@pytest.fixture(scope="module")
def module_ros_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The same for a graph that all tests of a module share."""
    folder = tmp_path_factory.mktemp("graph")
    with pytest.MonkeyPatch.context() as monkeypatch, _own_domain(monkeypatch, folder) as domain:
        yield domain


@contextlib.contextmanager
def _own_domain(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[int]:
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
            monkeypatch.setenv("ROS_LOG_DIR", str(folder / "ros_log"))
            yield domain
            return
    pytest.fail("every ROS domain of this machine is taken by other tests")


@pytest.fixture(scope="session")
def recoveries() -> dict[str, float]:
    """What the graph recovered from, and the seconds it took; printed at the end."""
    return _RECOVERIES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="slow; ./mx test --slow runs it, too")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _RECOVERIES:
        terminalreporter.section("seconds until the graph worked again")
        for fault, seconds in sorted(_RECOVERIES.items(), key=lambda item: -item[1]):
            terminalreporter.line(f"{seconds:6.2f}  {fault}")
