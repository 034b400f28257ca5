"""Sessions as npz and HDF5."""

import json

import h5py
import numpy as np
import pytest
from mx_capture.codecs import make_decoder
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.files.packing import pack_events
from mx_capture.recording.export import export_session
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label

START_US = 1_700_000_000_000_000


class TinySource:
    name, event_size, frame_size = "tiny", (24, 32), (4, 6)
    start_ns, duration_ns = START_US * 1_000, 60_000_000

    def __init__(self, base_us=START_US, first_us=0):
        random = np.random.default_rng(2)
        self.base_us = base_us
        self.events = np.zeros(500, EVENT_DTYPE)
        self.events["t"] = first_us + np.sort(random.integers(0, 50_000, 500))
        self.events["x"], self.events["y"] = random.integers(0, 24, (2, 500))
        self.events["p"] = random.integers(0, 2, 500)

    def __iter__(self):
        yield from pack_events([self.events], self.event_size, self.base_us, "x")
        end_ns = (self.base_us + int(self.events["t"][-1])) * 1_000 + 5_000_000
        for i in range(3):
            yield Frame(end_ns + i, np.full((4, 6, 3), i, np.uint8))
        yield Label("s01", (12,), (0.5,), end_ns - 9, end_ns - 5, end_ns + 3, "simulator", "micro")


@pytest.fixture
def session(tmp_path):
    write_session(TinySource(), tmp_path / "s", SessionInfo("s01", Consent("not needed")))
    return tmp_path / "s"


def check(content, events, t_offset):
    for name in "xypt":
        assert np.array_equal(content[f"events_{name}"], events[name])
    assert int(content["t_offset"]) == t_offset
    assert content["frames_image"].shape == (3, 4, 6, 3)
    assert np.all(np.diff(content["frames_stamp_ns"]) == 1)
    [label] = json.loads(str(content["labels_json"]))
    assert label["au"] == [12] and label["offset_ns"] == content["labels_offset_ns"][0]
    assert json.loads(str(content["session"]))["subject"] == "s01"


def test_npz(session, tmp_path):
    counts = export_session(session, tmp_path / "s.npz")
    assert counts == {"events": 500, "frames": 3, "labels": 1}
    with np.load(tmp_path / "s.npz", allow_pickle=False) as content:
        check(content, TinySource().events, START_US)


def test_hdf5_reads_like_dsec(session, tmp_path):
    export_session(session, tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        flat = {}
        file.visititems(
            lambda name, item: (
                flat.update({name.replace("/", "_"): item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    flat["labels_json"], flat["session"] = flat["labels_json"].decode(), flat["session"].decode()
    events = TinySource().events
    check(flat, events, START_US)
    milliseconds = np.arange(int(events["t"][-1]) // 1_000 + 1) * 1_000
    assert np.array_equal(flat["ms_to_idx"], np.searchsorted(events["t"], milliseconds))
    source = open_source(tmp_path / "s.h5")
    assert source.event_size == (24, 32)
    decoder = make_decoder("evt3", 24, 32)
    packets = list(source)
    assert np.array_equal(np.concatenate([decoder.decode(item.events) for item in packets]), events)
    assert packets[0].time_base == START_US * 1_000


def test_a_session_that_begins_after_a_rollover_keeps_its_time(tmp_path):
    source = TinySource(first_us=3 << 24)
    write_session(source, tmp_path / "s", SessionInfo("s01", Consent("not needed")))
    export_session(tmp_path / "s", tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as content:
        ros_us = content["events_t"] + content["t_offset"]
    assert np.array_equal(ros_us, source.events["t"] + START_US)


def test_what_cannot_be_exported_is_said(session, tmp_path):
    with pytest.raises(MxError, match="unknown extension"):
        export_session(session, tmp_path / "s.csv")
    (tmp_path / "s.npz").touch()
    with pytest.raises(MxError, match="exists already"):
        export_session(session, tmp_path / "s.npz")
    with pytest.raises(MxError, match="neither a session"):
        export_session(tmp_path, tmp_path / "t.npz")
    with pytest.raises(MxError, match="cannot write"):
        export_session(session, tmp_path / "none" / "t.h5")
    assert not list(tmp_path.glob("*.partial"))
