"""Removing a subject from a data set: all of it, and nothing else."""

import pytest
from mx_capture.errors import MxError
from mx_capture.recording.session_info import (
    SESSION_FILE,
    Consent,
    Retention,
    SessionInfo,
    write_info,
)
from mx_capture.verbs.erase import main


@pytest.fixture
def dataset(tmp_path):
    for session, subject in (("a1", "p01"), ("a10", "p02"), ("deep/a2", "p01"), ("a3", "p010")):
        folder = tmp_path / "study" / session
        (folder / "recording").mkdir(parents=True)
        (folder / "recording/a_0.mcap").write_bytes(b"x" * 1000)
        write_info(folder / SESSION_FILE, SessionInfo(subject, Consent("not needed")))
    cache = tmp_path / "weights/cache"
    cache.mkdir(parents=True)
    for name in ("a1.npz", "a1_64x64.npz", "a10.npz", "a2.npz"):
        (cache / name).write_bytes(b"y")
    (tmp_path / "study/dataset.yaml").write_text("name: study\n")
    (tmp_path / "weights/report.json").write_text('{"subjects": ["p01", "p02"]}')
    return tmp_path


def everything(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_lists_and_keeps(dataset, capsys):
    before = everything(dataset)
    code = main(["p01", str(dataset / "study"), "--also", str(dataset / "weights"), "--dry-run"])
    assert code == 1
    assert everything(dataset) == before
    out = capsys.readouterr().out
    assert "5 would go" in out and "report.json" in out


def test_all_of_a_subject_goes_and_nothing_of_others(dataset, capsys):
    before = everything(dataset)
    main(["p01", str(dataset / "study"), "--also", str(dataset / "weights"), "--yes"])
    gone = before - everything(dataset)
    assert gone == {
        *(
            f"study/{s}/{f}"
            for s in ("a1", "deep/a2")
            for f in (SESSION_FILE, "recording/a_0.mcap")
        ),
        *(f"weights/cache/{name}" for name in ("a1.npz", "a1_64x64.npz", "a2.npz")),
    }
    assert "5 removed" in capsys.readouterr().out
    assert main(["p01", str(dataset / "study")]) == 0
    assert "nothing of p01" in capsys.readouterr().out


def test_names_of_others_are_not_taken_for_ones_own(tmp_path, capsys):
    study, cache = tmp_path / "study", tmp_path / "cache"
    cache.mkdir()
    for session, subject in (("session", "p01"), ("s1", "p01"), ("s1_b", "p02"), ("s2", "p02")):
        (study / session / "recording").mkdir(parents=True)
        write_info(study / session / SESSION_FILE, SessionInfo(subject, Consent("not needed")))
        (cache / f"{session}_64x64.npz").write_bytes(b"y")
    (study / "s2/session-notes.txt").write_text("of p02")
    (study / "dataset.yaml").write_text("name: study\n")
    (study / "dataset/recording").mkdir(parents=True)
    write_info(study / "dataset" / SESSION_FILE, SessionInfo("p01", Consent("not needed")))
    (tmp_path / "other").mkdir()
    moved = tmp_path / "other/s3_moved"
    (study / "s1").rename(moved)
    (study / "s1").symlink_to(moved)
    main(["p01", str(study), "--also", str(cache), "--yes"])
    left = {f"study/{s}/{SESSION_FILE}" for s in ("s1_b", "s2")}
    assert everything(tmp_path) == left | {
        "study/s2/session-notes.txt",
        "study/dataset.yaml",
        "cache/s1_b_64x64.npz",
        "cache/s2_64x64.npz",
    }


def test_it_never_removes_without_being_told(dataset, monkeypatch):
    before = everything(dataset)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(MxError, match="--yes"):
        main(["p01", str(dataset / "study")])
    assert everything(dataset) == before


def test_a_session_that_cannot_be_read_is_told(dataset, capsys):
    (dataset / "study/a3" / SESSION_FILE).write_text("subject: [")
    assert main(["p02", str(dataset / "study"), "--yes"]) == 1
    assert "a3" in capsys.readouterr().out


def test_a_session_that_lies_elsewhere_goes_with_its_link(dataset):
    moved = dataset / "elsewhere"
    (dataset / "study/a1").rename(moved)
    (dataset / "study/a1").symlink_to(moved)
    with pytest.raises(MxError, match="no folder"):
        main(["p01", str(dataset / "nowhere")])
    main(["p01", str(dataset / "study"), "--yes"])
    assert not moved.exists() and not (dataset / "study/a1").is_symlink()


@pytest.mark.parametrize("beside", ["a10/session.yaml", "dataset.yaml", ".git/config"])
def test_a_session_among_other_things_takes_nothing_of_them_with_it(tmp_path, beside):
    write_info(tmp_path / SESSION_FILE, SessionInfo("p01", Consent("not needed")))
    for name in ("recording/a_0.mcap", "labels.yaml", "thesis.tex", beside):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("subject: p02\nconsent: {given: not needed}\n")
    main(["p01", str(tmp_path), "--yes"])
    assert everything(tmp_path) == {"thesis.tex", beside}


def test_what_was_kept_long_enough_goes(dataset, capsys):
    for session, until in (("a1", "2020-01-31"), ("a3", "2999-01-31")):
        path = dataset / "study" / session / SESSION_FILE
        info = SessionInfo("p01", Consent("not needed"), retention=Retention(until))
        write_info(path, info, replace=True)
    before = everything(dataset)
    assert main(["--expired", str(dataset / "study"), "--yes"]) == 0
    assert before - everything(dataset) == {
        f"study/a1/{name}" for name in (SESSION_FILE, "recording/a_0.mcap")
    }
    main(["--expired", str(dataset / "study")])
    assert "nothing whose last day is over" in capsys.readouterr().out
    for words in (["study"], ["p01", "study", "--expired"]):
        with pytest.raises(MxError, match="whose sessions"):
            main(words)
