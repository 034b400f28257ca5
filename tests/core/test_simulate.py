"""`./mx simulate`: data sets that do not depend on the workers, resume, and overwrite nothing."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.recording.session_info import read_dataset, read_session
from mx_capture.simulator import cache
from mx_capture.simulator.config import SessionConfig, SimulationConfig
from mx_capture.simulator.dataset import DatasetConfig, open_dataset, plan_sessions
from mx_capture.stream import Frame, Label, Packet
from mx_capture.verbs.simulate import main

BRIEF = ["--duration-s", "0.2", "--protocol", "neutral", "--seed", "4"]


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "set"
    assert main(["--out", str(out), "--subjects", "2", *BRIEF]) == 0
    return out


def test_sessions_are_complete(simulated: Path) -> None:
    folders = sorted(path for path in simulated.iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == ["sim040000_00", "sim040001_00"]
    info = read_session(folders[0])
    assert info.subject == "sim040000"
    assert info.origin == "simulator" and info.consent.given == "not needed"
    assert info.cameras["events"].width == 240
    assert info.settings["identity"] == 40000
    items = list(SessionSource(folders[0]))
    assert sum(isinstance(item, Packet) for item in items) == 50
    assert sum(isinstance(item, Frame) for item in items) == 6
    assert cv2.imread(str(folders[0] / "preview.jpg")) is not None
    assert read_dataset(simulated).settings["seed"] == 4


def test_an_interrupted_run_goes_on_with_any_number_of_workers(
    simulated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    assert main(["--out", str(out), "--subjects", "1", *BRIEF]) == 0
    first = content(out / "sim040000_00")
    half_done = out / ".sim040001_00.partial"
    half_done.mkdir()
    (half_done / "junk").write_text("left by a killed run")
    assert main(["--out", str(out), "--subjects", "2", "--workers", "2", *BRIEF]) == 0
    assert not half_done.exists()
    assert content(out / "sim040000_00") == first
    assert content(out) == content(simulated) | {"dataset.yaml": content(out)["dataset.yaml"]}


def test_other_settings_and_other_folders_are_refused(simulated: Path, tmp_path: Path) -> None:
    before = content(simulated)
    with pytest.raises(MxError, match=r"duration_s=0\.2"):
        main(
            ["--out", str(simulated), "--duration-s", "0.3", "--protocol", "neutral", "--seed", "4"]
        )
    with pytest.raises(MxError, match="seed=4"):
        main(["--out", str(simulated), "--duration-s", "0.2", "--protocol", "neutral"])
    assert content(simulated) == before
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(MxError, match="holds something else"):
        main(["--out", str(tmp_path), *BRIEF])
    with pytest.raises(MxError, match="holds something else"):
        main(["--out", str(tmp_path / "thesis.txt"), *BRIEF])


def test_too_little_space_is_said_before_rendering(tmp_path: Path) -> None:
    template = SessionConfig(sensor="1280x720", duration_s=16_000)
    with pytest.raises(MxError, match="GB free"):
        open_dataset(tmp_path / "huge", DatasetConfig(subjects=1000), template)


def test_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(MxError, match="subjects=0"):
        main(["--out", str(tmp_path / "x"), "--subjects", "0"])
    with pytest.raises(MxError, match="seed=-3"):
        main(["--out", str(tmp_path / "x"), "--seed", "-3"])
    assert not (tmp_path / "x").exists()


def test_people_of_two_seeds_differ() -> None:
    template = SessionConfig()
    people = [
        {session.config.person for session in plan_sessions(DatasetConfig(20, 2, seed), template)}
        for seed in (1, 2)
    ]
    assert len(people[0]) == len(people[1]) == 20
    assert not people[0] & people[1]
    plan = plan_sessions(DatasetConfig(2, 2, 1), template)
    assert len({session.config.seed for session in plan}) == 4


def test_the_cache_forgets_what_was_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    monkeypatch.setattr(cache, "cache_folder", lambda: root)
    monkeypatch.setattr(cache, "_render", lambda config, folder, _: folder.mkdir())
    monkeypatch.setattr(cache, "SessionSource", lambda folder: folder)
    monkeypatch.setattr(cache, "_playing", [])
    monkeypatch.setattr(cache, "MOST_BYTES", 2_500)
    for number, name in enumerate(("played", "old", "new")):
        (root / name).mkdir(parents=True)
        (root / name / "bag").write_bytes(bytes(1_000))
        os.utime(root / name, (number, number))
    with (root / "played.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        made = cache.simulated_session(SimulationConfig())
    assert {path.name for path in root.iterdir() if path.is_dir()} == {"played", "new", made.name}


def test_the_cache_renders_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    config = SimulationConfig(duration_s=0.1, protocol="demo")
    shares: list[float] = []
    first = cache.simulated_session(config, shares.append)
    assert shares and 0 <= min(shares) <= max(shares) <= 1.01
    again = cache.simulated_session(config, lambda _: pytest.fail("rendered twice"))
    assert first.name == again.name
    assert sum(isinstance(item, Packet) for item in again) == 25
    assert not any(isinstance(item, Label) for item in again)
    other = cache.simulated_session(replace(config, seed=8))
    assert other.name != first.name
