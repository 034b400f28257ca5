"""Files that worker processes draw once."""

from __future__ import annotations

import os
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
