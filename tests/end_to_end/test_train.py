"""The commands of the README that train, smaller: simulate, train, evaluate with the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mx_capture.verbs import simulate
from mx_perception.verbs import evaluate, train


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_people_to_weights_to_report(tmp_path: Path) -> None:
    faces, weights, report = (tmp_path / name for name in ("faces", "au", "report"))
    people = ["--subjects", "5", "--seed", "1", "--duration-s", "12", "--render-fps", "60"]
    assert simulate.main(["--out", str(faces), "--sensor", "160x160", *people]) == 0
    small = ["--people", "4", "--epochs", "2", "--neutral-minutes", "1"]
    assert train.main(["au", str(faces), "--out", str(weights), "--folds", "none", *small]) == 0
    model = json.loads((weights / "model.json").read_text())
    trained = model["training"]["train_subjects"] + model["training"]["validation_subjects"]
    assert trained and all(name.startswith("sketched") for name in trained)
    assert len(model["training"]["test_subjects"]) == 5
    figures = json.loads((weights / "report.json").read_text())
    assert len(figures["folds"][0]["history"]) == 2
    for name in ("confusion.png", "losses.png"):
        assert (weights / name).read_bytes().startswith(b"\x89PNG")
    assert figures["pooled"]["clips"] == figures["baseline"]["clips"] > 15
    assert evaluate.main([str(faces), "--out", str(report), "--model", str(weights)]) == 0
    evaluated = json.loads((report / "report.json").read_text())
    assert evaluated["sessions"]["evaluated"] == 5
