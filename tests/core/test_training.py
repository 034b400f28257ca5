"""Training: it learns, resumes where it stopped, and refuses what cannot work."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mx_capture.errors import MxError
from mx_perception.action_units import AU_NUMBERS
from mx_perception.au_loop import TrainAuConfig
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import DEFAULT_AU, DEFAULT_RECONSTRUCTION, load_checkpoint
from mx_perception.clips import settled_batch
from mx_perception.folds import Fold, held_out_groups, hold_out
from mx_perception.metrics import calibration_error
from mx_perception.networks.snn import AuNetwork, AuNetworkConfig
from mx_perception.on_scores import CANDIDATES, choose_on_scores, store_on_scores
from mx_perception.score_calibration import calibrate
from mx_perception.sequences import FaceSequence
from mx_perception.sketched import FIRST_PERSON, SESSIONS, sketch
from mx_perception.train_au import train_fold
from mx_perception.verbs import train
from mx_perception.views import AugmentConfig
from mx_perception.windows import clip_windows
from safetensors import safe_open
from safetensors.torch import load_file
from toy_faces import toy_sequence

from mx_perception import au_loop, train_au

TINY = AuNetworkConfig(pool=4, channels_1=16, channels_2=24, hidden=48)
QUICK = TrainAuConfig(epochs=2, hops=40, batch=16, learning_rate=5e-3)
MILD = AugmentConfig(shift_px=2, noise=0.005, drop=0.2, rotation=0.03, scale=0.03)
FOLD = Fold(("s0", "s1", "s2"), ("s3",))


@pytest.fixture(scope="module")
def sequences() -> list[FaceSequence]:
    return [toy_sequence(f"s{i}", i, noise_per_hop=30) for i in range(4)]


def silent(line: str, figures: dict[str, float]) -> None:
    """A report that nobody reads."""


def test_it_learns_toy_patches_and_writes_a_checkpoint(
    tmp_path: Path, sequences: list[FaceSequence]
) -> None:
    out = tmp_path / "au"
    losses: list[float] = []
    config = replace(QUICK, epochs=16)
    result = train_fold(
        sequences, FOLD, out, config, TINY, MILD, lambda line, f: losses.append(f["loss"])
    )
    assert losses[-1] < 0.75 * losses[0]
    assert result["classification"]["accuracy"] > 3 / 15
    moved = result["conditions"]["displacement px"]
    assert 0 < sum(b["clips"] for b in moved) <= result["classification"]["clips"]
    assert np.sum(result["baseline_confusion"]) == result["classification"]["clips"]
    checkpoint = load_checkpoint(out, "au")
    assert checkpoint.training["test_subjects"] == ["s3"]
    assert checkpoint.metrics["classification"] == result["classification"]
    for folder in (out, DEFAULT_AU, DEFAULT_RECONSTRUCTION):
        # Where the exporter was found is nobody's business.
        assert b"site-packages" not in (folder / "model.onnx").read_bytes()
        assert b"mx_perception/" not in (folder / "model.onnx").read_bytes()
    scores = AuStream(out).step({"f": np.zeros((1, 2, 128, 128), np.uint8)})["f"]
    assert scores.shape == (len(AU_NUMBERS),)


def test_an_interrupted_run_ends_as_if_it_had_not_been(
    tmp_path: Path, sequences: list[FaceSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_au, "save_au", lambda *_: None)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_fold(sequences, FOLD, whole, QUICK, TINY, MILD, silent)
    lines: list[str] = []

    def stop_after_one(line: str, figures: dict[str, float]) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold(sequences, FOLD, broken, QUICK, TINY, MILD, stop_after_one)
    assert not (broken / "model.json").exists()
    train_fold(sequences, FOLD, broken, QUICK, TINY, MILD, silent, resume=True)
    one, two = (load_file(folder / "resume.safetensors") for folder in (whole, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not list(broken.glob("*.part"))
    other = Fold(("s0", "s1", "s3"), ("s2",))
    with pytest.raises(MxError, match="other settings: seed, subjects"):
        seed = replace(QUICK, seed=1)
        train_fold(sequences, other, broken, seed, TINY, MILD, silent, resume=True)
    cut = broken / "resume.safetensors"
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(MxError, match="or without --resume"):
        train_fold(sequences, FOLD, broken, QUICK, TINY, MILD, silent, resume=True)


def test_the_last_epochs_follow_a_warm_up_and_only_they_are_chosen_from(
    tmp_path: Path, sequences: list[FaceSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def loss(*args: Any) -> torch.Tensor:
        network, batch, _, warm_up, *_ = args
        seen.append((warm_up, len(batch.x)))
        # Those from rest look better, as they do.
        return network.score_head.bias.sum() * 0 + warm_up / 100

    monkeypatch.setattr(au_loop, "clip_loss", loss)
    config = replace(QUICK, epochs=4, at_rest=0.5, warm_up=8)
    train_fold(sequences, FOLD, tmp_path / "whole", config, TINY, MILD, silent)
    half = len(seen) // 2
    assert set(seen[:half]) == {(0, QUICK.hops)}
    assert set(seen[half:]) == {(8, QUICK.hops + 8)}
    with safe_open(tmp_path / "whole" / "resume.safetensors", "pt") as archive:
        assert json.loads(archive.metadata()["state"])["best"]["epoch"] == 2
    seen.clear()
    began = tmp_path / "whole"
    train_fold(sequences, FOLD, tmp_path / "fine", config, TINY, MILD, silent, start_from=began)
    assert {warm_up for warm_up, _ in seen} == {8}


def test_everything_that_is_learned_from_moves_to_the_device(
    sequences: list[FaceSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    # "meta" computes nothing, but refuses to mix with the CPU as a GPU would.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    network = AuNetwork(TINY)
    windows = clip_windows(sequences, QUICK.hops, np.random.default_rng(0))[:4]
    batch = settled_batch(network, sequences, windows, QUICK.hops, warm_up=8)
    network.to("meta")
    for phase in (1, None):
        loss = au_loop.clip_loss(network, batch, QUICK, 8, phase)
        loss.backward()
        assert loss.device.type == "meta"
    with pytest.raises(MxError, match=r"--device moon cannot be used here"):
        replace(QUICK, device="moon")


def test_fine_tuning_starts_from_the_weights_and_says_so(
    tmp_path: Path, sequences: list[FaceSequence]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train_fold(sequences, FOLD, first, QUICK, TINY, MILD, silent)
    still = replace(QUICK, epochs=1, learning_rate=1e-6, weight_decay=0.0)
    train_fold(sequences, FOLD, second, still, TINY, MILD, silent, start_from=first)
    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    torch.testing.assert_close(one["dense.weight"], two["dense.weight"], atol=1e-3, rtol=0)
    wider = replace(TINY, hidden=64)
    with pytest.raises(MxError, match=r"has hidden 48, not 64; leave --hidden out"):
        train_fold(sequences, FOLD, second, still, wider, MILD, silent, start_from=first)
    metadata = json.loads((second / "model.json").read_text())
    assert metadata["training"]["settings"]["learning_rate"] == 1e-6
    assert metadata["training"]["augmentation"]["noise"] == 0.005
    before = json.loads((first / "model.json").read_text())["training"]
    assert metadata["training"]["started_from"] == before
    assert metadata["action_units"] == list(AU_NUMBERS)


def test_a_missing_class_and_a_broken_loss_are_named(
    tmp_path: Path, sequences: list[FaceSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = [
        replace(sequence, spans=tuple(span for span in sequence.spans if span.au != (9,)))
        for sequence in sequences
    ]
    with pytest.raises(MxError, match="AU09"):
        train_fold(fewer, FOLD, tmp_path / "a", QUICK, TINY, MILD, silent)
    monkeypatch.setattr(au_loop, "clip_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(MxError, match="loss became nan"):
        train_fold(sequences, FOLD, tmp_path / "b", QUICK, TINY, MILD, silent)
    assert not list(tmp_path.glob("*/model.json"))


def test_data_that_the_network_cannot_read_is_named(
    tmp_path: Path, sequences: list[FaceSequence]
) -> None:
    fast = replace(TINY, hop_us=5000)
    with pytest.raises(MxError, match=r"10000.*--hop-us"):
        train_fold(sequences, FOLD, tmp_path, QUICK, fast, MILD, silent)
    blind = replace(TINY, modality="rgb", polarities=3)
    with pytest.raises(MxError, match=r"s0/.* has no RGB frames"):
        train_fold(sequences, FOLD, tmp_path, QUICK, blind, MILD, silent)


@pytest.mark.parametrize(
    ("file", "what"),
    [("model.json", "a checkpoint"), ("fold_1/resume.safetensors", "an interrupted training")],
)
def test_what_took_hours_is_not_overwritten(tmp_path: Path, file: str, what: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(MxError, match=f"holds {what}; give another --out, or --resume"):
        train.main(["au", str(tmp_path), "--out", str(tmp_path)])


def test_the_best_epoch_is_chosen_on_people_of_their_own(
    tmp_path: Path, sequences: list[FaceSequence]
) -> None:
    assert hold_out(FOLD, 0.3, 0, known=["s0", "s2"]).validation == ("s1",)
    fold = hold_out(FOLD, 0.3, 0)
    assert len(fold.validation) == 1 and set(fold.train) | set(fold.validation) == set(FOLD.train)
    figures: list[dict[str, float]] = []
    result = train_fold(
        sequences, fold, tmp_path / "au", QUICK, TINY, MILD, lambda line, f: figures.append(f)
    )
    assert all(f["validation_loss"] != f["loss"] for f in figures)
    assert 0.0 <= result["calibration_error"] < 0.5
    recorded = json.loads((tmp_path / "au" / "model.json").read_text())["training"]
    assert recorded["validation_subjects"] == list(fold.validation)


def test_the_data_set_can_be_the_test_alone() -> None:
    subjects = ["s2", "s1", "s2"]
    assert held_out_groups(subjects, "none", 5, 0) == [("s1", "s2")]
    assert (
        len(held_out_groups(subjects, "2", 5, 0)) == 2
        and len(held_out_groups(subjects, "", 0, 0)) == 1
    )
    with pytest.raises(MxError, match="--people"):
        held_out_groups(subjects, "none", 0, 0)


def test_kinds_that_are_left_out_are_not_trained_on(
    tmp_path: Path, sequences: list[FaceSequence]
) -> None:
    lights = ("lighting=dark", "lighting=dim", "lighting=office", "lighting=dark")
    lit = [replace(s, condition=light) for s, light in zip(sequences, lights, strict=True)]
    config = replace(QUICK, epochs=1, leave_out="lighting=dark,dim")
    train_fold(lit, FOLD, tmp_path / "au", config, TINY, MILD, silent)
    training = json.loads((tmp_path / "au" / "model.json").read_text())["training"]
    assert training["spans"] == len(lit[2].spans)
    assert training["settings"]["leave_out"] == "lighting=dark,dim"
    with pytest.raises(MxError, match="'lighting=red' fits no session"):
        train_fold(
            lit, FOLD, tmp_path, replace(QUICK, leave_out="lighting=red"), TINY, MILD, silent
        )


def test_calibration_makes_shifted_scores_right(sequences: list[FaceSequence]) -> None:
    torch.manual_seed(0)
    network = AuNetwork(TINY).eval()
    windows = clip_windows(sequences, 40, np.random.default_rng(0), 0.2)
    errors = calibrate(network, sequences, windows, 40)
    again = calibrate(network, sequences, windows, 40)
    assert errors["after"] < 0.5 * errors["before"]
    assert again["before"] < 0.5 * errors["before"]


def test_calibration_error_is_the_distance_of_score_and_frequency() -> None:
    scores, active = np.full(1000, 0.3), np.zeros(1000)
    assert calibration_error(scores, active) == pytest.approx(0.3)
    active[:300] = 1
    assert calibration_error(scores, active) == pytest.approx(0.0)


def test_sketched_people_are_sequences_with_labels() -> None:
    people = sketch(FIRST_PERSON)
    assert len({s.session for s in people}) == len(people) == SESSIONS
    assert {s.subject for s in people} == {"sketched00000"}
    assert all(s.spans for s in people[:-1])
    for sequence in people:
        assert sequence.cells["hop"].max() < sequence.hops and len(sequence.frames) == 360


def test_thresholds_are_as_low_as_faces_at_rest_allow(tmp_path: Path) -> None:
    rest = np.full((6000, 14), 0.05, np.float32)
    blip = rest.copy()
    blip[1000:1020, AU_NUMBERS.index(12)] = 0.8
    speech = rest.copy()
    speech[:, AU_NUMBERS.index(26)] = np.tile([0.0] * 40 + [1.0] * 20, 100)
    lowest, highest = CANDIDATES[0], CANDIDATES[-1]
    chosen = dict(zip(AU_NUMBERS, choose_on_scores([blip, speech], 10_000), strict=True))
    assert chosen[26] == highest and chosen[1] == lowest
    assert chosen[12] == pytest.approx(0.85)
    many = [blip, *[rest] * 60]
    assert choose_on_scores(many, 10_000)[AU_NUMBERS.index(12)] == lowest


def test_thresholds_go_into_the_checkpoint(tmp_path: Path, sequences: list[FaceSequence]) -> None:
    out = tmp_path / "au"
    train_fold(sequences, FOLD, out, QUICK, TINY, MILD, silent)
    assert load_checkpoint(out, "au").on_scores == ()
    neutral = replace(sequences[0], spans=())
    chosen = store_on_scores(out, [neutral], lambda items, description: items)
    assert list(load_checkpoint(out, "au").on_scores) == chosen and len(chosen) == 14
    path = out / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"on_scores": [0.5, 2]}))
    with pytest.raises(MxError, match="on_scores must be 14 numbers"):
        load_checkpoint(out, "au")
