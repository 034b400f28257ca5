"""The network as recordings run it is the network as it runs live."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.event_driven import EventDrivenStream
from mx_perception.networks.export import save_au
from mx_perception.networks.snn import AuNetworkConfig
from test_snn import SECTIONS, SMALL, counts, lively_network

SHAPES = {
    "small": SMALL,
    "odd": AuNetworkConfig(
        height=45, width=37, taps=3, phases=3, channels_1=5, channels_2=7, hidden=9
    ),
}


def assert_alike(live: AuStream, recorded: AuStream, face: str) -> int:
    """Membranes of both are equal; returns how many neurons of the last layer are above 1."""
    expected, found = live.state(face), recorded.state(face)
    assert list(expected) == list(found)
    for name in expected:
        # What has faded below 1e-20 is forgotten here.
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-19)
    np.testing.assert_allclose(recorded.evidence[face], live.evidence[face], rtol=1e-4, atol=1e-4)
    return int((found["mem_hidden"] > 1).sum())


@pytest.mark.parametrize("name", SHAPES)
def test_membranes_are_those_of_the_live_network(tmp_path: Path, name: str) -> None:
    config = SHAPES[name]
    save_au(lively_network(config), tmp_path / "au", SECTIONS)
    live, recorded = AuStream(tmp_path / "au"), EventDrivenStream(tmp_path / "au")
    rng, active = np.random.default_rng(2), 0
    for hop in range(300):
        share = (0.1, 0.02, 0.0)[hop // 50 % 3]
        faces = ("a", "b") if hop % 3 else ("b", "a")
        size = (2, 2, config.height, config.width)
        data = {face: counts(rng, *size, share=share) for face in faces}
        reset = {"b"} if hop == 150 else set()
        expected, found = live.step(data, reset), recorded.step(data, reset)
        for face in faces:
            np.testing.assert_allclose(found[face], expected[face], rtol=1e-5, atol=1e-6)
            assert found[face].dtype == np.float32
            active += assert_alike(live, recorded, face)
    assert active > 200
    assert sorted(recorded.faces) == ["a", "b"]


def test_the_shipped_weights_read_the_same_from_full_and_empty_hops() -> None:
    live, recorded = AuStream(DEFAULT_AU), EventDrivenStream(DEFAULT_AU)
    rng = np.random.default_rng(3)
    for hop in range(60):
        x = rng.integers(0, 256, (1, *live.input_shape), np.uint8)
        x[rng.random(x.shape) < (0.0, 0.9, 0.999, 1.0)[hop // 5 % 4]] = 0
        expected, found = live.step({"a": x})["a"], recorded.step({"a": x})["a"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert_alike(live, recorded, "a")


@pytest.mark.parametrize("damage", [b"", b"\x00\xff broken", b"\x3a\x7fcut short"])
def test_a_damaged_model_is_named(tmp_path: Path, damage: bytes) -> None:
    folder = tmp_path / "au"
    shutil.copytree(DEFAULT_AU, folder)
    (folder / "model.onnx").write_bytes(damage)
    with pytest.raises(MxError, match=r"model\.onnx") as caught:
        EventDrivenStream(folder)
    assert "\n" not in str(caught.value)
