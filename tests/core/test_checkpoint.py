"""Checkpoints: what is written comes back, and what does not fit is named in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mx_capture.errors import MxError
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import load_checkpoint
from mx_perception.networks.cvae import Cvae, CvaeConfig
from mx_perception.networks.export import load_au, load_reconstruction, save_reconstruction
from mx_perception.reconstruction import Reconstructor

DATA = Path(__file__).parents[2] / "mx_perception" / "mx_perception" / "data"
AU, RECONSTRUCTION = DATA / "au_default", DATA / "reconstruction_default"


@pytest.mark.parametrize("folder", [AU, RECONSTRUCTION], ids=["au", "reconstruction"])
def test_default_weights_have_a_card_and_no_pickle(folder: Path) -> None:
    assert "synthetic" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    names = {path.name for path in folder.iterdir()}
    assert names == {"MODEL_CARD.md", "model.json", "model.onnx", "model.safetensors"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000


def test_default_weights_run() -> None:
    stream = AuStream()
    scores = stream.step({"f": np.zeros((1, 2, 128, 128), np.uint8)})["f"]
    assert scores.shape == (14,) and ((scores >= 0) & (scores <= 1)).all()
    reconstructor = Reconstructor()
    key = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    frame, uncertainty = reconstructor.reconstruct(
        np.zeros(reconstructor.event_shape, np.uint8), key
    )
    assert frame.dtype == np.uint8 and frame.shape[:2] == uncertainty.shape == (128, 128)
    assert (uncertainty > 0).all()
    assert load_au(AU).config.width == load_reconstruction(RECONSTRUCTION).config.width == 128


def _set(section: str | None, name: str, value: Any) -> Callable[[dict], None]:
    def change(metadata: dict) -> None:
        (metadata if section is None else metadata[section])[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("architecture", "name", "transformer"), "transformer"),
        (_set(None, "action_units", [1, 2, 99]), "99"),
        (_set(None, "action_units", [1, 1]), "different"),
        (_set(None, "action_units", [1, 2, 4]), "scores"),
        (_set("architecture", "height", 64), "model.onnx: x"),
        (_set("architecture", "height", "tall"), "architecture.height"),
        (_set(None, "kind", "reconstruction"), "kind"),
        (_set(None, "format", 7), "format"),
        (_set(None, "metrics", None), "metrics"),
    ],
)
def test_metadata_that_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict], None], named: str
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(AU, folder)
    metadata = json.loads((folder / "model.json").read_text())
    change(metadata)
    (folder / "model.json").write_text(json.dumps(metadata))
    with pytest.raises(MxError, match=named) as caught:
        AuStream(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "model.safetensors"])
def test_missing_or_broken_files_are_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(AU, folder)
    (folder / name).write_bytes(b"\x00\xff broken")
    with pytest.raises(MxError, match=name) as caught:
        AuStream(folder)
        load_au(folder)
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(MxError, match=name):
        load_checkpoint(folder, "au")


def test_a_reconstruction_checkpoint_is_no_au_checkpoint() -> None:
    with pytest.raises(MxError, match="kind"):
        AuStream(RECONSTRUCTION)


def test_an_untrained_network_returns_its_key_frame(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for colours in (1, 3):
        config = CvaeConfig(height=64, width=64, colours=colours, bins=3)
        sections: dict = {"preprocessing": {}, "training": {}, "metrics": {}}
        save_reconstruction(Cvae(config).eval(), tmp_path / str(colours), sections)
        reconstructor = Reconstructor(tmp_path / str(colours))
        key = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        events = np.ones((3, 2, 64, 64), np.uint8)
        frame, uncertainty = reconstructor.reconstruct(events, key)
        assert frame.shape == ((64, 64) if colours == 1 else (64, 64, 3))
        assert uncertainty.shape == (64, 64)
        if colours == 3:
            np.testing.assert_array_equal(frame, key)
        else:
            np.testing.assert_array_equal(reconstructor.reconstruct(events, frame)[0], frame)
        with pytest.raises(MxError, match="event bins"):
            reconstructor.reconstruct(events[:2], key)
        with pytest.raises(MxError, match="key frame"):
            reconstructor.reconstruct(events, key[:32])
