"""What trainings read: sequences and pairs, made once per session until that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mx_capture.recording.session_info import (
    SESSION_FILE,
    Camera,
    Consent,
    Lighting,
    SessionInfo,
    write_info,
)
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.source import SimulatedSource
from mx_capture.stream import Frame, Label, Packet
from mx_perception.dataset import read_dataset, sequences_of
from mx_perception.frame_pairs import Pair, read_pairs
from mx_perception.kinds import kind
from mx_perception.networks.cvae import CvaeConfig
from toy_faces import toy_sequence

from mx_perception import dataset, frame_pairs

NETWORK = CvaeConfig(height=32, width=32, bins=1)
Read = Callable[[Path, Path], list[int]]
"""Takes a data set and a cache; gives the numbers that its sessions hold."""


def write_session(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    write_info(folder / SESSION_FILE, SessionInfo("p01", Consent("not needed")))
    (folder / "recording").mkdir()
    (folder / "recording/number").write_text(str(number))


def number_of(session: Path) -> int:
    return int((session / "recording/number").read_text())


def all_of(items: list[Path], description: str) -> list[Path]:
    return items


def hops_of_sequences(data: Path, cache: Path) -> list[int]:
    return [sequence.hops for sequence in read_dataset(data, cache, all_of)]


def ages_of_pairs(data: Path, cache: Path) -> list[int]:
    return list(read_pairs(data, cache, NETWORK, all_of).ages_ms)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The sessions that were opened; what is made of one is the number in its recording."""
    found: list[Path] = []

    def open_source(session: Path) -> Path:
        found.append(session)
        return session

    image = np.zeros((NETWORK.colours, 32, 32), np.uint8)
    events = np.zeros((1, NETWORK.polarities, 32, 32), np.uint8)
    sequence = toy_sequence("p01", 0)
    monkeypatch.setattr(dataset, "open_source", open_source)
    monkeypatch.setattr(frame_pairs, "open_source", open_source)
    monkeypatch.setattr(
        dataset, "sequences_of", lambda session, *_: [replace(sequence, hops=number_of(session))]
    )
    monkeypatch.setattr(
        frame_pairs,
        "pairs_of",
        lambda session, *_: [Pair(image, image, events, number_of(session))],
    )
    return found


@pytest.mark.parametrize("read", [hops_of_sequences, ages_of_pairs])
def test_a_changed_session_is_read_anew(tmp_path: Path, opened: list[Path], read: Read) -> None:
    session, cache = tmp_path / "data/s01", tmp_path / "cache"
    write_session(session, 1)
    assert read(session.parent, cache) == read(session.parent, cache) == [1]
    assert len(opened) == 1
    (session / "labels.yaml").write_text("[]")
    read(session.parent, cache)
    assert len(opened) == 2
    (session / "recording/number").write_text("23")
    assert read(session.parent, cache) == [23]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("read", [hops_of_sequences, ages_of_pairs])
def test_data_sets_share_a_cache(tmp_path: Path, opened: list[Path], read: Read) -> None:
    for name, number in (("a", 1), ("b", 2)):
        write_session(tmp_path / name / "s01", number)
    for _ in range(2):
        assert read(tmp_path / "a", tmp_path / "cache") == [1]
        assert read(tmp_path / "b", tmp_path / "cache") == [2]
    assert len(opened) == 2


@pytest.mark.parametrize("read", [hops_of_sequences, ages_of_pairs])
def test_a_file_that_only_bears_the_name_is_not_trusted(
    tmp_path: Path, opened: list[Path], read: Read
) -> None:
    write_session(tmp_path / "a/s01", 1)
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("s01.npz", f"s01_{NETWORK.name}.npz"):
        (cache / name).write_bytes(b"of another session")
    assert read(tmp_path / "a", cache) == [1]


class Restarted:
    """A simulated session twice in a row: the sensor's clock begins at 0 again."""

    name = "restarted"

    def __init__(self, config: SimulationConfig) -> None:
        simulated = SimulatedSource(config)
        self.event_size, self.frame_size = simulated.event_size, simulated.frame_size
        self.start_ns, self.duration_ns = 0, 2 * simulated.duration_ns
        self._once = list(simulated)

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        yield from self._once
        shift = self.duration_ns // 2
        for item in self._once:
            if isinstance(item, Packet):
                yield replace(item, stamp_ns=item.stamp_ns + shift, time_base=shift)
            elif isinstance(item, Frame):
                yield replace(item, stamp_ns=item.stamp_ns + shift)


def test_a_restarted_camera_begins_a_sequence() -> None:
    config = SimulationConfig(seed=21, duration_s=1.6, sensor="160x160", render_fps=100)
    first, second = sequences_of(Restarted(config), "p01")
    assert 130 < first.hops < second.hops <= 160
    for sequence in (first, second):
        hops = sequence.cells["hop"].astype(int)
        assert (np.diff(hops) >= 0).all() and hops[-1] < sequence.hops
        assert sequence.cells.size > 1000
        assert sequence.frame_hops[0] > -10 and sequence.frame_hops[-1] < sequence.hops + 10


def test_light_and_sensor_of_a_recorded_session_are_known(
    tmp_path: Path, opened: list[Path]
) -> None:
    folder = tmp_path / "data" / "s1"
    write_session(folder, 100)
    info = SessionInfo(
        "p1",
        Consent("not needed"),
        cameras={"events": Camera("EVK4", 1280, 720)},
        lighting=Lighting("office", 300.0),
    )
    write_info(folder / SESSION_FILE, info, replace=True)
    (sequence,) = read_dataset(tmp_path / "data", tmp_path / "cache", all_of)
    found = kind(sequence)
    assert found["lighting"] == "office" and found["sensor"] == "1280x720"
    assert float(found["lux"]) == 300
