"""Readers, on tiny files that the tests write themselves."""

import cv2
import h5py
import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.files.ordering import in_stamp_order
from mx_capture.files.packing import PACKET_US, pack_events
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

SIZE = (48, 64)


def random_events(n=3000, last_us=40_000, seed=1):
    random = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(random.integers(0, last_us, n))
    events["x"] = random.integers(0, SIZE[1], n)
    events["y"] = random.integers(0, SIZE[0], n)
    events["p"] = random.integers(0, 2, n)
    return events


def decoded(source):
    decoder = make_decoder("evt3", *source.event_size)
    packets = [item for item in source if isinstance(item, Packet)]
    return packets, np.concatenate([decoder.decode(packet.events) for packet in packets])


def check_packets(source, events):
    packets, found = decoded(source)
    assert np.array_equal(found, events)
    stamps = [packet.stamp_ns for packet in packets]
    assert stamps == sorted(stamps)
    assert [packet.seq for packet in packets] == list(range(len(packets)))
    assert packets == [item for item in source if isinstance(item, Packet)]
    assert source.start_ns <= stamps[0]
    return packets


def write_ncaltech(path, events):
    rows = np.zeros((len(events), 5), np.uint8)
    rows[:, 0], rows[:, 1] = events["x"], events["y"]
    times = events["t"].astype(np.uint32)
    rows[:, 2] = events["p"] << 7 | times >> 16
    rows[:, 3], rows[:, 4] = times >> 8 & 0xFF, times & 0xFF
    path.write_bytes(rows.tobytes())


def test_ncaltech_gives_its_events(tmp_path):
    events = random_events()
    write_ncaltech(tmp_path / "a.bin", events)
    source = open_source(tmp_path / "a.bin")
    assert source.event_size == (events["y"].max() + 1, events["x"].max() + 1)
    check_packets(source, events)


def test_ncaltech_cut_off(tmp_path):
    write_ncaltech(tmp_path / "a.bin", random_events())
    data = (tmp_path / "a.bin").read_bytes()
    (tmp_path / "a.bin").write_bytes(data[:-2])
    with pytest.raises(MxError, match=r"a\.bin ends within an event"):
        open_source(tmp_path / "a.bin")


def test_packets_lie_on_the_grid(tmp_path):
    events = random_events(n=500, last_us=100_000)
    blocks = np.array_split(events, 37)
    packets = list(pack_events(blocks, SIZE, 7_000, tmp_path))
    decoder = make_decoder("evt3", *SIZE)
    for packet in packets:
        part = decoder.decode(packet.events)
        windows = set(part["t"] // PACKET_US)
        assert len(windows) == 1
        assert packet.stamp_ns == (7_000 + (windows.pop() + 1) * PACKET_US) * 1_000
        assert packet.time_base == 7_000_000
    assert packets == list(pack_events([events], SIZE, 7_000, tmp_path))


def test_blocks_that_go_back_are_refused(tmp_path):
    events = random_events()
    with pytest.raises(MxError, match="go back"):
        list(pack_events([events, events], SIZE, 0, tmp_path / "x.h5"))


def raw_header(encoding="EVT3", end=True):
    text = (
        "% camera_integrator_name Prophesee\n% date 2023-03-29 16:37:46\n"
        f"% evt {encoding[3]}.0\n% format {encoding};height={SIZE[0]};width={SIZE[1]}\n"
    )
    return (text + ("% end\n" if end else "")).encode()


@pytest.mark.parametrize("end", [True, False])
def test_raw_evt3_passes_through_unchanged(tmp_path, end):
    events = random_events(last_us=60_000)
    payload = Evt3Encoder(*SIZE).encode(events)
    path = tmp_path / "a.raw"
    path.write_bytes(raw_header(end=end) + payload)
    source = open_source(path)
    assert source.event_size == SIZE
    packets = check_packets(source, events)
    assert b"".join(packet.events for packet in packets) == payload
    assert 25 <= len(packets) <= 30
    decoder = make_decoder("evt3", *SIZE)
    for packet in packets:
        times = decoder.decode(packet.events)["t"]
        assert np.all(times * 1_000 < packet.stamp_ns)
        assert np.all(times * 1_000 >= packet.stamp_ns - 2_048_000)


def test_raw_evt3_over_a_rollover(tmp_path):
    events = random_events(n=400, last_us=3_000)
    events["t"] += (1 << 24) - 1_500
    (tmp_path / "a.raw").write_bytes(raw_header() + Evt3Encoder(*SIZE).encode(events))
    source = open_source(tmp_path / "a.raw")
    check_packets(source, events)
    assert source.duration_ns < 10_000_000


def test_raw_evt3_skips_what_precedes_the_time(tmp_path):
    stray = np.array([0x2003, 0x2004], "<u2").tobytes()
    events = random_events(n=50)
    payload = Evt3Encoder(*SIZE).encode(events)
    (tmp_path / "a.raw").write_bytes(raw_header() + stray + payload)
    packets = check_packets(open_source(tmp_path / "a.raw"), events)
    assert b"".join(packet.events for packet in packets) == payload


def evt2_bytes(events):
    words = []
    high = -1
    for t, x, y, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return np.array(words, "<u4").tobytes()


def test_raw_evt2_becomes_evt3(tmp_path):
    events = random_events()
    (tmp_path / "a.raw").write_bytes(raw_header("EVT2") + evt2_bytes(events))
    check_packets(open_source(tmp_path / "a.raw"), events)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02", "no Prophesee RAW header"),
        (raw_header() + b"\x00\x80\x01", "truncate -s"),
        (raw_header() + b"\x00\x20" * 9, "holds no EVT3 time"),
        (b"% evt 2.1\n% geometry 64x48\n% end\n", "known are EVT2 and EVT3"),
        (b"% evt 3.0\n% end\n", "does not tell its sensor's size"),
        (b"% evt 3.0", "cut off within its header"),
        (raw_header("EVT2") + b"\x00\x00\x00\x80", "holds no EVT2 event"),
    ],
)
def test_bad_raw(tmp_path, content, message):
    (tmp_path / "a.raw").write_bytes(content)
    with pytest.raises(MxError, match=message) as caught:
        open_source(tmp_path / "a.raw")
    assert "a.raw" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (b"% evt 3.0\n% geometry 640x480\n% end\n", (480, 640)),
        (b"% evt 3.0\n% plugin_name hal_plugin_imx636_evk4\n% end\n", (720, 1280)),
        (b"% evt 3.0\n% plugin_name hal_plugin_gen31_fx3\n", (480, 640)),
    ],
)
def test_raw_sizes(tmp_path, header, size):
    (tmp_path / "a.raw").write_bytes(header + Evt3Encoder(*SIZE).encode(random_events(n=9)))
    assert open_source(tmp_path / "a.raw").event_size == size


def write_prophesee(path, events, **attributes):
    kind = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    with h5py.File(path, "w") as file:
        table = np.empty(len(events), kind)
        for name in "xypt":
            table[name] = events[name]
        file["CD/events"] = table
        file.attrs.update(attributes)


def write_dsec(path, events, offset=None):
    with h5py.File(path, "w") as file:
        for name in "xypt":
            file.create_dataset(f"events/{name}", data=events[name], compression="gzip")
        if offset is not None:
            file["t_offset"] = offset


def test_prophesee_hdf5(tmp_path):
    events = random_events()
    write_prophesee(tmp_path / "a.hdf5", events, geometry="64x48")
    source = open_source(tmp_path / "a.hdf5")
    assert source.event_size == SIZE
    check_packets(source, events)


def test_dsec_hdf5_with_offset(tmp_path):
    events = random_events()
    write_dsec(tmp_path / "a.h5", events, offset=51_000_000_000)
    source = open_source(tmp_path / "a.h5")
    assert source.event_size == (180, 240)
    packets = check_packets(source, events)
    assert packets[0].time_base == 51_000_000_000_000
    assert source.start_ns == (51_000_000_000 + int(events["t"][0])) * 1_000


def test_bad_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(MxError, match="no readable HDF5"):
        open_source(path)
    with h5py.File(path, "w") as file:
        file["voxels"] = [1]
    with pytest.raises(MxError, match="it holds voxels"):
        open_source(path)
    write_prophesee(path, random_events(n=0))
    with pytest.raises(MxError, match="holds no events"):
        open_source(path)
    write_dsec(path, random_events())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MxError, match=r"a\.h5"):
        open_source(path)


def test_missing_hdf5_filter_is_named(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "xypt":
            space = h5py.h5s.create_simple((4,))
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4,))
            plist.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL, ())
            group = file.require_group("events").id
            dataset = h5py.h5d.create(group, name.encode(), h5py.h5t.NATIVE_INT64, space, plist)
            dataset.write_direct_chunk((0,), np.zeros(4, np.int64).tobytes())
    with pytest.raises(MxError, match="ECF"):
        open_source(path)


def write_video(path, frames=12, rate=25.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    for i in range(frames):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2] = min(20 * i, 255)  # Red, in OpenCV's order.
        writer.write(image)
    writer.release()


def test_video_gives_rgb_frames(tmp_path):
    write_video(tmp_path / "a.avi")
    source = open_source(tmp_path / "a.avi")
    frames = list(source)
    assert source.frame_size == (48, 64)
    assert [frame.stamp_ns for frame in frames] == [round(i * 4e7) for i in range(12)]
    assert source.duration_ns == 480_000_000
    red, green, _ = frames[-1].image.reshape(-1, 3).mean(0)
    assert red > 200 and green < 20


def test_video_cut_off(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, frames=60)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(MxError, match=r"a\.avi"):
        list(open_source(path))


def test_aedat4_merges_events_and_frames(tmp_path, monkeypatch):
    start_us = 1_589_163_147_000_000
    events = random_events(n=900, last_us=90_000)
    raw = np.empty(len(events), [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
    raw["t"] = events["t"] + start_us
    raw["x"], raw["y"], raw["on"] = events["x"], events["y"], events["p"]

    def frame(begin_us, pixels, kind):
        times = {"exposure_begin_t": begin_us, "exposure_end_t": begin_us + 2_000, "t": begin_us}
        return {"stream_id": 1, "frame": {**times, "format": kind, "pixels": pixels}}

    class Decoder:
        def __init__(self, path):
            pass

        def id_to_stream(self):
            size = {"width": SIZE[1], "height": SIZE[0]}
            return {
                0: {"type": "events", **size},
                1: {"type": "frame", **size},
                2: {"type": "imus"},
            }

        def __iter__(self):
            blocks = np.array_split(raw, 9)
            for block in blocks[:5]:
                yield {"stream_id": 0, "events": block}
            yield frame(start_us + 10_000, np.full(SIZE, 7, np.uint8), "L")
            yield {"stream_id": 2, "imus": None}
            yield frame(start_us + 50_000, np.full((*SIZE, 3), 9 << 8, np.uint16), "RGB")
            for block in blocks[5:]:
                yield {"stream_id": 0, "events": block}

    monkeypatch.setattr("aedat.Decoder", Decoder)
    (tmp_path / "a.aedat4").write_bytes(b"x")
    source = open_source(tmp_path / "a.aedat4")
    assert source.event_size == source.frame_size == SIZE
    items = list(source)
    stamps = [item.stamp_ns for item in items]
    assert stamps == sorted(stamps)
    grey, colour = (item for item in items if isinstance(item, Frame))
    assert grey.stamp_ns == (start_us + 11_000) * 1_000 and grey.image.shape == SIZE
    assert colour.image.dtype == np.uint8 and np.all(colour.image == 9)
    packets, found = decoded(source)
    found["t"] += packets[0].time_base // 1_000 - start_us
    assert np.array_equal(found, events)


def test_unknown_paths(tmp_path):
    with pytest.raises(MxError, match="does not exist"):
        open_source(tmp_path / "none.raw")
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(MxError, match=r"unknown extension '\.xyz'; known are \.raw"):
        open_source(tmp_path / "a.xyz")
    with pytest.raises(MxError, match="neither a session nor a rosbag2"):
        open_source(tmp_path)
    for name in ("a.aedat4", "a.bin", "a.mp4", "a.h5"):
        (tmp_path / name).touch()
        with pytest.raises(MxError, match="is empty"):
            open_source(tmp_path / name)
    (tmp_path / "b.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(MxError, match=r"b\.aedat4"):
        open_source(tmp_path / "b.aedat4")


def test_items_come_in_the_order_of_their_stamps():
    image = np.zeros((2, 2), np.uint8)
    frames = [Frame(stamp, image) for stamp in (5, 3, 9, 8, 20, 1)]
    ordered = [frame.stamp_ns for frame in in_stamp_order(frames, slack_ns=10)]
    assert ordered == [3, 5, 8, 9, 1, 20]
