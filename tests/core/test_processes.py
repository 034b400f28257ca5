"""Files that worker processes draw once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mx_perception.processes import drawn

from mx_perception import processes


def draw(number: int, path: Path) -> None:
    if number < 0:
        raise ValueError(f"{number} cannot be drawn")
    path.write_text(f"{number} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")


def untracked(numbers: list[int], description: str) -> list[int]:
    return numbers


@pytest.mark.parametrize("cores", [1, 2])
def test_files_come_in_order_and_are_drawn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    files = {number: tmp_path / str(number) for number in (3, 1, 2)}
    files[1].write_text("1 there before")
    paths = list(drawn(files, draw, untracked, "drawing"))
    assert paths == list(files.values())
    assert [path.read_text().split()[0] for path in paths] == ["3", "1", "2"]
    assert files[1].read_text() == "1 there before"
    here = str(os.getpid())
    assert (files[3].read_text().split()[1] == here) == (cores == 1)
    if cores > 1:
        assert files[3].read_text().split()[2] == "1"


@pytest.mark.parametrize("cores", [1, 2])
def test_what_cannot_be_drawn_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    files = {number: tmp_path / str(number) for number in (1, -1, 2)}
    with pytest.raises(ValueError, match="-1 cannot be drawn"):
        list(drawn(files, draw, untracked, "drawing"))


def wait_with_pid(number: int, path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(60)


_PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_processes import untracked, wait_with_pid
from mx_perception import processes
if __name__ == "__main__":
    processes.cores = lambda: 2
    files = {number: Path(sys.argv[1]) / str(number) for number in (1, 2)}
    list(processes.drawn(files, wait_with_pid, untracked, "waiting"))
"""


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen([sys.executable, script, tmp_path, Path(__file__).parent])
    files = [tmp_path / "1", tmp_path / "2"]
    try:
        _until(lambda: all(file.exists() and file.read_text() for file in files))
    finally:
        parent.kill()
        parent.wait()
    pids = [int(file.read_text()) for file in files]
    _until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
