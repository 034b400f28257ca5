"""Evaluation: the same figures by any number of workers, and every bad session named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_person import write_drawn
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.stream import Frame, Label, Packet
from mx_perception.checkpoint import DEFAULT_AU, METADATA_FILE
from mx_perception.evaluation.capture import CaptureWatch
from mx_perception.evaluation.report import classification, merge
from mx_perception.evaluation.runs import Task, find_tasks, store, stored
from mx_perception.evaluation.session import EvaluationConfig, Evaluator, SessionResult
from mx_perception.evaluation.timeline import Timeline
from mx_perception.spotter import OFFSET, ONSET, MicroExpression
from mx_perception.verbs.evaluate import main

HOP_NS = 10_000_000


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for subject in ("s01", "s02"):
        write_drawn(folder / subject, subject)
    return folder


def test_workers_change_nothing_and_nothing_is_done_twice(people: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([str(people), "--out", str(one)]) == 0
    assert main([str(people), "--out", str(two), "--workers", "2"]) == 0
    assert (one / "report.json").read_bytes() == (two / "report.json").read_bytes()
    report = json.loads((one / "report.json").read_text())
    assert report["sessions"]["evaluated"] == 2 and report["left_out"] == []
    figures = report["per_session"][0]
    assert [clip["au"] for clip in figures["clips"]] == [12, 26, 0]
    assert figures["tensors"]["count"] > 150 and figures["capture"]["lost_packets"] == 0
    assert {row["age_ms"] for row in figures["reconstruction"]} >= {32, 96}
    page = (one / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "") and page.count("data:image/png") >= 5
    # A second run takes what is there.
    kept = (one / "sessions" / "s01.json").stat().st_mtime_ns
    assert main([str(people), "--out", str(one)]) == 0
    assert (one / "sessions" / "s01.json").stat().st_mtime_ns == kept
    assert json.loads((one / "report.json").read_text()) == report


def test_bad_sessions_are_named_and_the_rest_is_evaluated(people: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(people / "s01", study / "good")
    write_drawn(study / "no_rgb", frames=False)
    write_drawn(study / "no_labels", labels=False)
    write_drawn(study / "no_face", face=False)
    for name in ("killed", "newer", "broken"):
        shutil.copytree(people / "s01", study / name)
    (study / "killed" / "recording" / "metadata.yaml").unlink()
    text = (study / "newer" / "session.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("software_version")]
    (study / "newer" / "session.yaml").write_text("\n".join([*lines, "software_version: 9.1.0"]))
    (study / "broken" / "session.yaml").write_text("subject: [")
    assert main([str(study), "--out", str(tmp_path / "out")]) == 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sessions"]["total"] == 7
    reasons = {(item["session"], item["part"]): item["reason"] for item in report["left_out"]}
    assert "no RGB" in reasons["no_rgb", "reconstruction"]
    assert "no labels" in reasons["no_labels", "action_units"]
    assert "no face" in reasons["no_face", "action_units"]
    assert "recover" in reasons["killed", "all"]
    assert "9.1.0" in reasons["newer", "all"]
    assert "YAML" in reasons["broken", "all"]
    assert ("good", "all") not in reasons
    assert str(tmp_path) not in (tmp_path / "out" / "report.json").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(name in page for name in ("no_rgb", "no_labels", "killed", "newer", "broken"))


def sessions_at(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.mkdir(parents=True)
        (path / "session.yaml").touch()
    return paths


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["people/s01", "people/s02"], ["s01", "s02"]),
        (["a/s01", "b/s01", "b/s02"], ["a/s01", "b/s01", "s02"]),
        (["2024/people/s01", "2025/people/s01"], ["2024/people/s01", "2025/people/s01"]),
        (["a/people/s01", "b/s01", "a/people_s01"], ["people/s01", "b/s01", "a/people_s01"]),
    ],
)
def test_no_two_sessions_share_a_name_or_a_result(
    tmp_path: Path, given: list[str], names: list[str]
) -> None:
    paths = sessions_at(tmp_path, *given)
    found = {task.path: task.name for task in find_tasks(paths)}
    assert [found[path] for path in paths] == names
    assert {task.path: task.name for task in find_tasks(paths[::-1])} == found
    (tmp_path / "sessions").mkdir()
    for task in find_tasks(paths):
        store(tmp_path, task, SessionResult({"session": task.name}), "")
    assert len(list((tmp_path / "sessions").glob("*.json"))) == len(paths)


def test_a_session_given_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [path] = sessions_at(tmp_path, "people/s01")
    monkeypatch.chdir(tmp_path)
    assert find_tasks([Path("people"), path, Path("people/../people/s01")]) == [
        Task(Path("people/s01"), "s01")
    ]


def test_damaged_results_are_not_there(tmp_path: Path) -> None:
    task = Task(tmp_path, "s01")
    (tmp_path / "sessions").mkdir()
    result = SessionResult({"session": "s01"}, {"scores": np.random.default_rng(0).random(1000)})
    store(tmp_path, task, result, "same")
    assert stored(tmp_path, task, "same") is not None
    assert stored(tmp_path, task, "other") is None
    archive, figures = (tmp_path / "sessions" / f"s01.{ending}" for ending in ("npz", "json"))
    whole = archive.read_bytes()
    for damaged in (whole[:-100], whole[:200] + bytes(400) + whole[600:], b""):
        archive.write_bytes(damaged)
        assert stored(tmp_path, task, "same") is None
    archive.write_bytes(whole)
    for text in ("[]", "{}", '{"fingerprint": "same"}'):
        figures.write_text(text)
        assert stored(tmp_path, task, "same") is None


def test_figures_that_cannot_be_made_leave_out_one_session(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MxError("something cannot be counted")

    monkeypatch.setattr(Timeline, "clips", fail)
    figures = Evaluator(EvaluationConfig()).evaluate(people / "s01", "s01").figures
    assert figures["status"] == "skipped" and "cannot be counted" in figures["reason"]


def test_a_model_of_other_units_is_refused(tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_AU, tmp_path / "au")
    path = tmp_path / "au" / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["action_units"].reverse()
    path.write_text(json.dumps(metadata))
    with pytest.raises(MxError, match=r"au: action_units \(26, .* differ"):
        Evaluator(EvaluationConfig(model=str(tmp_path / "au")))


def test_nothing_to_evaluate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MxError, match="no session"):
        main([str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(MxError, match="does not exist"):
        main([str(tmp_path / "gone"), "--out", str(tmp_path / "out")])


def label(au: int, onset: float, offset: float) -> Label:
    begin, end = round(onset * 1e9), round(offset * 1e9)
    return Label("s", (au,), (0.5,), begin, (begin + end) // 2, end, "simulator", "")


def test_a_perfect_stream_gets_perfect_figures() -> None:
    timeline = Timeline(10_000)
    timeline.labels += [label(12, 1.0, 1.3), label(4, 2.0, 2.3)]
    for hop in range(400):
        scores, evidence = np.zeros(14, np.float32), np.zeros(15, np.float32)
        evidence[14] = 0.1
        for column, begin in ((8, 100), (2, 200)):
            if begin <= hop < begin + 30:
                scores[column] = evidence[column] = 1.0
        timeline.add_scores("f00000", (hop + 1) * HOP_NS, scores, evidence)
    for au, onset in ((12, 1_000_000_000), (4, 2_000_000_000)):
        for phase, offset in ((ONSET, 0), (OFFSET, onset + 300_000_000)):
            found = MicroExpression("f00000", au, phase, onset, onset, offset, 1.0)
            timeline.add_expression(onset + 50_000_000, found)
    clips = timeline.clips()
    assert [clip["au"] for clip in clips] == [12, 4, 0]
    assert all(clip["evidence"] == clip["scores"] == clip["au"] for clip in clips)
    counts = timeline.hop_counts()
    assert sum(counts["hit"]) == 60 and sum(counts["missed"]) == sum(counts["false"]) == 0
    spotting = timeline.spotting()
    assert spotting["hits"] == spotting["labels"] == 2 and spotting["false_alarms"] == 0
    assert spotting["latencies_ms"] == (50.0, 50.0)
    assert spotting["onset_errors_ms"] == (0.0, 0.0) and spotting["apex_errors_ms"] == (
        150.0,
        150.0,
    )


def test_what_another_face_shows_is_no_alarm() -> None:
    timeline = Timeline(10_000)
    timeline.labels.append(label(12, 1.0, 1.3))
    for hop in range(400):
        if hop < 300:
            timeline.add_scores("subject", (hop + 1) * HOP_NS, np.zeros(14, np.float32))
        if hop >= 100:
            timeline.add_scores("visitor", (hop + 1) * HOP_NS, np.zeros(14, np.float32))
    for onset in (2_000_000_000, 3_200_000_000):
        for phase, offset in ((ONSET, 0), (OFFSET, onset + 300_000_000)):
            found = MicroExpression("visitor", 4, phase, onset, onset, offset, 1.0)
            timeline.add_expression(onset + 50_000_000, found)
    # Once the subject has gone, the visitor is the one who is watched.
    assert [round(found.onset_ms) for found in timeline.detections()] == [3200]
    assert timeline.spotting()["false_alarms"] == 1


def test_a_face_that_was_not_seen_counts_as_wrong() -> None:
    timeline = Timeline(10_000)
    timeline.labels += [label(12, 1.0, 1.3), label(4, 3.0, 3.3)]
    for hop in (*range(100, 140), *range(390, 400)):
        timeline.add_scores("f00000", (hop + 1) * HOP_NS, np.eye(14)[8], np.eye(15)[8])
    clips = [clip for clip in timeline.clips() if clip["au"]]
    assert [clip["evidence"] for clip in clips] == [12, None]
    found = classification(clips, "evidence")
    assert found is not None and found["accuracy"] == 0.5 and found["unseen"] == 1
    assert found["uf1"] is None and "AU01" in found["absent"]


def test_what_nobody_expected_costs_one_session(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError(f"no hop in {path}")

    monkeypatch.setattr("mx_perception.evaluation.session.open_source", broken)
    session = next(path for path in people.iterdir() if path.is_dir())
    figures = Evaluator(EvaluationConfig()).evaluate(session, "one").figures
    assert figures["status"] == "skipped"
    assert figures["reason"] == "unexpected ZeroDivisionError: no hop in one"


def test_topics_tell_no_evidence_whether_the_face_was_seen_or_not() -> None:
    timeline = Timeline(10_000)
    timeline.labels += [label(12, 1.0, 1.3), label(4, 3.0, 3.3)]
    for hop in (*range(100, 140), *range(390, 400)):
        timeline.add_scores("f00000", (hop + 1) * HOP_NS, np.eye(14)[8])
    clips = [clip for clip in timeline.clips() if clip["au"]]
    assert classification(clips, "evidence") is None
    found = classification(clips, "scores")
    assert found is not None and found["unseen"] == 1


def test_labels_without_action_units_are_no_rest() -> None:
    emotion = replace(label(12, 0.5, 2.0), au=(), intensity=(), condition="disgust")
    speech = replace(label(12, 0.5, 2.0), au=(50,))
    later = replace(emotion, onset_ns=5_000_000_000, offset_ns=6_000_000_000)
    for between, neutral in ((emotion, 0), (speech, 1), (later, 1)):
        timeline = Timeline(10_000)
        timeline.labels += [label(12, 0.1, 0.4), between]
        for hop in range(220):
            timeline.add_scores("f00000", (hop + 1) * HOP_NS, np.zeros(14, np.float32))
        clips = timeline.clips()
        assert [clip["au"] for clip in clips] == [12] + [0] * neutral
        assert all(clip["end_s"] <= 2.2 for clip in clips)


def test_emotions_alone_are_no_labels_of_action_units(people: Path) -> None:
    gathered = Evaluator(EvaluationConfig()).gathered()
    gathered.timeline.labels.append(replace(label(12, 0.0, 0.3), au=(), intensity=()))
    gathered.timeline.add_scores("f00000", HOP_NS, np.zeros(14, np.float32))
    figures = gathered.figures(open_source(people / "s01"))
    assert "no labels" in figures["missing"]["action_units"] and "clips" not in figures


@pytest.mark.parametrize(("size", "hop_us"), [(64, 10_000), (128, 5_000)])
def test_tensors_of_another_crop_or_hop_are_named(people: Path, size: int, hop_us: int) -> None:
    gathered = Evaluator(EvaluationConfig()).gathered()
    gathered.timeline.labels.append(label(12, 0.0, 0.3))
    data = np.zeros((1, 2, size, size), np.uint8)
    gathered.add_tensor("f00000", 0, 1000 * hop_us, data)
    missing = gathered.figures(open_source(people / "s01"))["missing"]
    assert "another crop or hop" in missing["action_units"]


def test_losses_and_drift_are_seen() -> None:
    watch = CaptureWatch()
    for i in range(500):
        if not 100 <= i < 103:
            packet = Packet(i * 10_000_000, i, "evt3", 1, 1, 0, b"")
            watch.see(packet, round(i * 10_000 * 1.00005))
        if i % 3 == 0 and i != 30:
            watch.see(Frame(i * 10_000_000, np.zeros((1, 1), np.uint8)))
    report = watch.report()
    assert report["lost_packets"] == 3 and report["lost_frames"] == 1
    assert report["drift_ppm"] == pytest.approx(50, abs=2)


def test_an_empty_report_is_a_report() -> None:
    skipped = {"session": "a", "status": "skipped", "reason": "it is empty"}
    report = merge([skipped], {})
    assert report["action_units"] is None and report["sessions"]["skipped"] == 1
    assert report["left_out"] == [{"session": "a", "part": "all", "reason": "it is empty"}]


def test_a_cluster_gives_the_same_report(people: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([str(people), "--out", str(one)]) == 0
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        assert main([str(people), "--out", str(two), "--scheduler", address]) == 0
    assert (one / "report.json").read_bytes() == (two / "report.json").read_bytes()


def test_a_scheduler_that_is_not_there_is_named(people: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    nobody = "tcp://127.0.0.1:9"
    with pytest.raises(MxError, match=nobody):
        main([str(people), "--out", str(tmp_path), "--scheduler", nobody])
