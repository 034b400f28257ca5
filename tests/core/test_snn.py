"""The spiking network: explicit state, one clip pass, deployment and the exported step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from mx_capture.errors import MxError
from mx_perception.au_stream import AuStream, clip_class
from mx_perception.networks import event_memory
from mx_perception.networks.export import load_au, save_au
from mx_perception.networks.leaky_clip import SLOPE, leaky_clip
from mx_perception.networks.snn import AuNetwork, AuNetworkConfig
from snntorch import surrogate

SMALL = AuNetworkConfig(height=32, width=32, channels_1=8, channels_2=16, hidden=32)
SECTIONS: dict = {"preprocessing": {}, "training": {}, "metrics": {}}


def counts(rng: np.random.Generator, *shape: int, share: float = 0.1) -> np.ndarray:
    return (rng.random(shape) < share).astype(np.uint8) * rng.integers(1, 4, dtype=np.uint8)


def lively_network(config: AuNetworkConfig = SMALL) -> AuNetwork:
    """Random weights with normalisation set from data, so that every layer fires."""
    torch.manual_seed(0)
    network = AuNetwork(config).train()
    x = counts(np.random.default_rng(0), 20, 4, config.polarities, config.height, config.width)
    for _ in range(20):
        network.forward_clip(torch.from_numpy(x))
    return network.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("au")
    save_au(lively_network(), folder, SECTIONS)
    return folder


def test_a_layer_over_a_clip_is_snntorch_step_by_step() -> None:
    torch.manual_seed(0)
    bins, batch, channels = 20, 3, 5
    beta, threshold = torch.rand(channels, 1, 1), torch.rand(channels, 1, 1) + 0.3
    neuron = snntorch.Leaky(
        beta=beta.clone(),
        threshold=threshold.clone(),
        learn_beta=True,
        learn_threshold=True,
        spike_grad=surrogate.fast_sigmoid(slope=float(SLOPE)),
    )
    one = torch.randn(bins * batch, channels, 4, 4, requires_grad=True)
    two = one.detach().clone().requires_grad_()
    mem, outputs = torch.zeros(batch, channels, 4, 4), []
    for current in one.unflatten(0, (bins, batch)):
        spk, mem = neuron(current, mem)
        outputs.append(spk)
    expected = torch.cat(outputs)
    beta.requires_grad_()
    threshold.requires_grad_()
    found, rate = leaky_clip(two, bins, beta, threshold)
    weights = torch.randn_like(found)
    ((expected * weights).sum() + 100 * expected.mean()).backward()
    ((found * weights).sum() + 100 * rate).backward()
    assert 0 < found.sum() < found.numel()
    assert torch.equal(found, expected)
    torch.testing.assert_close(rate, expected.mean())
    torch.testing.assert_close(two.grad, one.grad)
    torch.testing.assert_close(beta.grad, neuron.beta.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(threshold.grad, neuron.threshold.grad, rtol=1e-4, atol=1e-4)


def test_a_layer_in_bfloat16_rounds_what_it_reads_and_writes() -> None:
    torch.manual_seed(0)
    beta, threshold = torch.rand(5), torch.rand(5) + 0.3
    half = torch.randn(60, 5).to(torch.bfloat16).requires_grad_()
    full = half.detach().float().requires_grad_()
    found, _ = leaky_clip(half, 20, beta, threshold)
    expected, _ = leaky_clip(full, 20, beta, threshold)
    assert found.dtype == torch.bfloat16 and torch.equal(found.float(), expected)
    weights = torch.randn(60, 5).to(torch.bfloat16)
    (found * weights).sum().backward()
    (expected * weights.float()).sum().backward()
    assert torch.equal(half.grad, full.grad.to(torch.bfloat16))


def test_hops_that_settle_have_no_gradient_and_change_no_value() -> None:
    network = lively_network()
    x = torch.from_numpy(counts(np.random.default_rng(1), 30, 2, 2, 32, 32))
    free, settled = network.forward_clip(x, 1), network.forward_clip(x, 1, settle=3)
    for one, two in zip(free, settled, strict=True):
        torch.testing.assert_close(one, two)
    grads = []
    for logits, *_ in (free, settled):
        network.zero_grad()
        logits[3:].square().sum().backward()
        grads.append(network.dense.weight.grad.norm().item())
    assert 0 < grads[1] < grads[0]
    taps, decay, phases = SMALL.taps, SMALL.tap_decay, SMALL.phases
    pooled = network._pooled(x.flatten(0, 1)).unflatten(0, (30, 2))
    signal = event_memory.seen_over_clip(pooled, taps, decay, 1, phases)[3:].flatten(0, 1)
    mean = network.convolutions[0](signal).mean((0, 2, 3))
    before = network.norms[0].running_mean.clone()
    network.train().forward_clip(x, 1, settle=3)
    torch.testing.assert_close(network.norms[0].running_mean, 0.9 * before + 0.1 * mean)


def test_a_clip_pass_equals_the_steps() -> None:
    network = lively_network().deployed()
    x = torch.from_numpy(counts(np.random.default_rng(1), 30, 2, 2, 32, 32))
    logits, evidence, rates = network.forward_clip(x)
    state = network.initial_state(2)
    for t in range(30):
        output, state = network.step(x[t], state)
        torch.testing.assert_close(output.scores, torch.sigmoid(logits[t]))
        torch.testing.assert_close(output.evidence, evidence[t])
    assert (rates > 0).all()


def test_a_phase_trains_as_it_streams() -> None:
    network = lively_network().deployed()
    x = torch.from_numpy(counts(np.random.default_rng(1), 30, 2, 2, 32, 32))
    state, evidence = network.initial_state(2), []
    for t in range(30):
        _, state = network.step(x[t], state)
        evidence.append(network.evidence_head(torch.relu(state.mem_hidden[:, -1])))
    for phase in range(network.config.phases):
        found = network.forward_clip(x, phase)[1]
        torch.testing.assert_close(found, torch.stack(evidence[phase :: network.config.phases]))


def test_the_input_remembers_what_happened_when() -> None:
    x = torch.zeros(40, 1, 2, 4, 4, dtype=torch.uint8)
    x[3, 0, 1, 2, 2] = 15
    taps, decay = 4, 0.8
    memory, steps = torch.zeros(1, taps, 2, 4, 4), []
    for hop in x:
        memory = event_memory.remember(hop.float(), memory, decay)
        steps.append(event_memory.seen(memory))
    pixel = torch.stack(steps).unflatten(2, (taps, 2))[:, 0, :, 1, 2, 2]
    latest = pixel.argmax(0).tolist()
    assert latest[0] == 3 and latest == sorted(set(latest)), "each tap peaks after the one before"
    assert torch.equal(event_memory.seen_over_clip(x, taps, decay, 0, 1), torch.stack(steps))
    assert torch.equal(event_memory.seen_over_clip(x, taps, decay, 2, 5), torch.stack(steps)[2::5])


def test_deployment_changes_little_and_scores_stay_in_range() -> None:
    network = lively_network()
    x = torch.from_numpy(counts(np.random.default_rng(1), 30, 4, 2, 32, 32))
    with torch.no_grad():
        before, after = network.forward_clip(x), network.deployed().forward_clip(x)
    assert (before[0] - after[0]).abs().mean() < 0.05
    assert ((torch.sigmoid(after[0]) >= 0) & (torch.sigmoid(after[0]) <= 1)).all()


@pytest.mark.timeout(900)  # a minute alone, many on a busy machine
def test_spikes_of_the_export_are_those_of_snntorch_over_10000_steps(checkpoint: Path) -> None:
    stream, network = AuStream(checkpoint), load_au(checkpoint).deployed()
    state, rng = network.initial_state(1), np.random.default_rng(2)
    fired = np.zeros(2)
    with torch.inference_mode():
        for step in range(10_000):
            share = 0.1 if step % 500 < 300 else 0.02
            x = counts(rng, 1, 2, 32, 32, share=share)
            stream.step({"a": x})
            _, state = network.step(torch.from_numpy(x), state)
            streamed = stream.state("a")
            for layer, name in enumerate(("mem_1", "mem_2")):
                mem = getattr(state, name)[0].numpy()
                threshold = network.neurons[layer].threshold.numpy()
                spikes = mem > threshold
                assert np.array_equal(streamed[name] > threshold, spikes), (step, name)
                fired[layer] += spikes.sum()
    assert (fired > 1000).all()
    np.testing.assert_allclose(streamed["mem_hidden"], state.mem_hidden[0].numpy(), atol=1e-3)


def test_faces_of_a_batch_do_not_mix(checkpoint: Path) -> None:
    rng = np.random.default_rng(3)
    data = {face: counts(rng, 25, 2, 32, 32) for face in "abc"}
    together, alone = AuStream(checkpoint), {face: AuStream(checkpoint) for face in "abc"}
    for t in range(25):
        faces = "abc" if t % 3 else "cab"
        found = together.step({face: data[face][t : t + 1] for face in faces})
        for face in "abc":
            expected = alone[face].step({face: data[face][t : t + 1]})[face]
            np.testing.assert_allclose(found[face], expected, atol=1e-6)
            assert found[face].dtype == np.float32 and found[face].shape == (14,)


def test_reset_starts_from_rest_and_bins_are_steps(checkpoint: Path) -> None:
    data = counts(np.random.default_rng(4), 8, 2, 32, 32)
    fresh, used = AuStream(checkpoint), AuStream(checkpoint)
    used.step({"a": data})
    bins = [fresh.step({"a": data[t : t + 1]})["a"] for t in range(8)]
    np.testing.assert_array_equal(used.step({"a": data}, reset={"a"})["a"], bins[-1])
    used.forget(["a", "nobody"])
    assert used.faces == []
    np.testing.assert_array_equal(used.step({"a": data[:1]})["a"], bins[0])
    assert used.step({}) == {}


def test_a_tensor_that_does_not_fit_is_named(checkpoint: Path) -> None:
    stream = AuStream(checkpoint)
    with pytest.raises(MxError, match="face a"):
        stream.step({"a": np.zeros((1, 2, 64, 64), np.uint8)})
    with pytest.raises(MxError, match="float32"):
        stream.step({"a": np.zeros((1, 2, 32, 32), np.float32)})
    with pytest.raises(MxError, match="bins"):
        stream.step(
            {"a": np.zeros((1, 2, 32, 32), np.uint8), "b": np.zeros((2, 2, 32, 32), np.uint8)}
        )


def test_the_class_of_a_clip_is_the_strongest_mean_evidence() -> None:
    evidence = np.zeros((10, 15), np.float32)
    evidence[:, 14], evidence[3:7, 8] = 0.1, 1.0
    assert clip_class(evidence) == 12
    assert clip_class(evidence[:3]) == 0
    with pytest.raises(MxError):
        clip_class(evidence[:0])


def test_a_network_that_reads_frames_is_no_stream_of_events(tmp_path: Path) -> None:
    save_au(AuNetwork(replace(SMALL, modality="rgb", polarities=3)), tmp_path, SECTIONS)
    with pytest.raises(MxError, match="reads rgb, and streams are of events"):
        AuStream(tmp_path)
