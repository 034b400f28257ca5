"""The verb bench: what it runs, and the figures of decoding."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
from mx_capture.bench import decode
from mx_capture.bench.streams import HEIGHT, STREAMS, WIDTH, PreparedLoad, make_packets
from mx_capture.codecs.evt3 import Evt3Decoder
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig, TensorStream
from mx_capture.recording.cdr import packet_from_cdr
from mx_capture.roi import Roi
from mx_capture.verbs import bench


def test_the_streams_are_what_they_are_called() -> None:
    counts = {}
    for name in STREAMS:
        packets, events = make_packets(name, 20_000)
        decoder = Evt3Decoder(720, 1280)
        found = sum(len(decoder.decode(memoryview(packet))) for packet in packets)
        assert len(packets) == 20 and found == events
        counts[name] = decoder.counters
    rates = {name: count["events"] / 0.02 / 1e6 for name, count in counts.items()}
    assert rates == pytest.approx({"vector": 20, "single": 20, "low": 2}, rel=0.2)
    share = 1 - counts["vector"]["words_x"] / counts["vector"]["events"]
    assert share == pytest.approx(0.65, abs=0.03)
    assert counts["single"]["words_vector"] == counts["low"]["words_vector"] == 0


def test_a_prepared_load_goes_on_for_ever() -> None:
    load = PreparedLoad(0.1)
    start_ns = 1_700_000_000_000_000_000
    stream = TensorStream(TensorConfig(roi_delay_us=0), "evt3", HEIGHT, WIDTH)
    stream.set_faces(0, {"a": Roi.full(HEIGHT, WIDTH)})
    packets = [packet_from_cdr(load.message(seq, start_ns)) for seq in range(1200)]
    tensors = [tensor for packet in packets for tensor in stream.push(packet)]
    assert [packet.seq for packet in packets] == list(range(1200))
    assert packets[1199].stamp_ns - start_ns == 1_200_000_000
    assert {packet.time_base for packet in packets} == {start_ns}
    assert [tensor.start_us for tensor in tensors] == list(range(0, 1_190_000, 10_000))
    assert {tensor.events for tensor in tensors} == {1000}
    assert stream.counters["time_jumps"] == stream.counters["late"] == 0
    an_hour = load.packet(3_600_000, start_ns)
    assert an_hour.stamp_ns - start_ns == 3_600_001_000_000
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    times = decoder.decode(an_hour.events)["t"]
    assert times[0] // 1000 == 3_600_000_000 % 2**24 // 1000


def test_decode_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decode, "_EVENTS", 40_000)
    monkeypatch.setattr(decode, "_compile_seconds", lambda: 0.0)
    out = tmp_path / "decode.json"
    assert bench.main(["decode", "--repeats", "1", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["ratios"]) == {"vector", "single", "low"}
    for part in figures["streams"].values():
        assert all(speed > 0 for speed in part["mev_per_s"].values())
    try:
        importlib.metadata.version("evt3")
    except importlib.metadata.PackageNotFoundError:
        assert not any(figures["ratios"].values())
        assert "pip install -r requirements/bench.txt" in capsys.readouterr().out.replace("\n", " ")
    else:
        assert all(figures["ratios"].values())


def test_wrong_options_are_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MxError, match="--repeats=0 must be at least 1"):
        bench.main(["decode", "--repeats", "0"])
    with pytest.raises(SystemExit):
        bench.main(["everything"])
    assert "decode" in capsys.readouterr().err


def test_what_a_bench_lacks_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MxError, match=r"bench snn needs torch: \./mx setup train"):
        bench.main(["snn", "--steps", "50"])


def test_a_file_that_cannot_be_written_is_named_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (["decode"], ["soak", "--minutes", "60"], []):
        with pytest.raises(SystemExit):
            bench.main([*name, "--json", str(tmp_path / "missing" / "figures.json")])
        assert "figures.json cannot be written" in capsys.readouterr().err
