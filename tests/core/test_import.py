"""Importing single recordings and the layouts of public data sets, from tiny files."""

import json

import cv2
import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.files.images import ImageFolderSource
from mx_capture.files.merged import MergedSource
from mx_capture.recording.session_info import read_dataset, read_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet
from mx_capture.verbs.import_ import main

SIZE = (24, 32)


def some_events(n=200, last_us=100_000, seed=1):
    random = np.random.default_rng(seed)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(random.integers(0, last_us, n))
    events["x"], events["y"] = random.integers(0, SIZE[1], n), random.integers(0, SIZE[0], n)
    events["p"] = random.integers(0, 2, n)
    return events


def write_raw(path, events):
    header = f"% evt 3.0\n% format EVT3;height={SIZE[0]};width={SIZE[1]}\n% end\n"
    path.write_bytes(header.encode() + Evt3Encoder(*SIZE).encode(events))


def write_dat(path, events):
    words = np.zeros((len(events), 2), "<u4")
    words[:, 0] = events["t"]
    wide = events.astype([("t", "i8"), ("x", "u4"), ("y", "u4"), ("p", "u4")])
    words[:, 1] = wide["x"] | wide["y"] << 14 | wide["p"] << 28
    header = (
        f"% Data file containing CD events.\n% Version 2\n% Height {SIZE[0]}\n% Width {SIZE[1]}\n"
    )
    path.write_bytes(header.encode() + bytes([0x0C, 8]) + words.tobytes())


def write_images(folder, n, suffix):
    folder.mkdir(parents=True)
    for i in range(n):
        cv2.imwrite(str(folder / f"frame_{i:02}.{suffix}"), np.full((8, 8, 3), i, np.uint8))


def events_of(source):
    decoder = make_decoder("evt3", *source.event_size)
    packets = [item for item in source if isinstance(item, Packet)]
    return packets, np.concatenate([decoder.decode(packet.events) for packet in packets])


def test_dat_gives_its_events(tmp_path):
    events = some_events()
    write_dat(tmp_path / "a_cd.dat", events)
    source = open_source(tmp_path / "a_cd.dat")
    assert source.event_size == SIZE
    assert np.array_equal(events_of(source)[1], events)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"% Height 4\n", "cut off within its header"),
        (b"% Height 4\n% Width 4\n\x0c\x08", "holds no event"),
        (b"% Height 4\n% Width 4\n\x0c\x08abc", "truncate -s 23"),
        (b"% Height 4\n% Width 4\n\x0e\x10" + bytes(16), "only CD events"),
        (b"% Version 2\n\x0c\x08" + bytes(8), "sensor's size"),
    ],
)
def test_bad_dat(tmp_path, content, message):
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(MxError, match=message):
        open_source(tmp_path / "a.dat")


def test_images_are_frames_at_a_rate(tmp_path):
    write_images(tmp_path / "f", 5, "png")
    source = ImageFolderSource(tmp_path / "f", 20.0)
    assert [(frame.stamp_ns, frame.image[0, 0, 0]) for frame in source] == [
        (i * 50_000_000, i) for i in range(5)
    ]
    (tmp_path / "f" / "frame_05.png").write_bytes(b"no image")
    with pytest.raises(MxError, match="frame_05"):
        list(ImageFolderSource(tmp_path / "f", 20.0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MxError, match="holds no images"):
        ImageFolderSource(tmp_path / "empty", 20.0)


def test_sources_merge_on_one_start(tmp_path):
    write_raw(tmp_path / "a.raw", some_events())
    write_images(tmp_path / "f", 5, "png")
    label = Label("s", (12,), (0.5,), 1_000_000_000, 1_050_000_000, 1_090_000_000, "protocol", "")
    merged = MergedSource(
        [
            (open_source(tmp_path / "a.raw"), 0),
            (ImageFolderSource(tmp_path / "f", 50.0), 7_000_000),
        ],
        start_ns=1_000_000_000,
        labels=[label],
    )
    items = list(merged)
    assert next(item.stamp_ns for item in items if isinstance(item, Frame)) == 1_007_000_000
    assert label in items
    packets, _ = events_of(merged)
    assert packets[0].time_base == 1_000_000_000
    with pytest.raises(MxError, match="both hold frames"):
        MergedSource([(ImageFolderSource(tmp_path / "f", 1.0), 0)] * 2, start_ns=0)


def test_one_recording_with_its_video(tmp_path):
    write_raw(tmp_path / "take 1.raw", some_events())
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (32, 24)
    )
    for _ in range(4):
        writer.write(np.zeros((24, 32, 3), np.uint8))
    writer.release()
    arguments = [str(tmp_path / "take 1.raw"), "--rgb", str(tmp_path / "v.avi")]
    assert main([*arguments, "--rgb-later-ms", "-5", "--out", str(tmp_path / "s")]) == 0
    info = read_session(tmp_path / "s")
    assert (info.subject, info.consent.given, info.origin) == ("take-1", "unknown", "take 1.raw")
    assert info.cameras["events"].height == 24
    source = open_source(tmp_path / "s")
    frames = [item for item in source if isinstance(item, Frame)]
    packets, events = events_of(source)
    assert frames[0].stamp_ns == 1_000_000_000 and packets[0].time_base == 1_005_000_000
    assert np.array_equal(events, some_events())
    with pytest.raises(MxError, match="exists already"):
        main([*arguments, "--out", str(tmp_path / "s")])


def write_nefer(root):
    rows = {"event": [], "event_subjective": [], "gopro": []}
    for i, emotion in enumerate(("Happiness", "Fear")):
        name = f"user03_2022-06-08_15-1{i}-06_cd"
        (root / "event_videos" / "raw" / "user_03").mkdir(parents=True, exist_ok=True)
        write_dat(root / "event_videos" / "raw" / "user_03" / f"{name}.dat", some_events(seed=i))
        write_images(root / "rgb_videos" / "user_03" / f"GOPR080{i}", 4, "png")
        for k in range(2):
            rows["event"].append(f"user_03,{name},x/frame_{k:02}.png,{emotion}")
            rows["event_subjective"].append(f"user_03,{name},x/frame_{k:02}.png,None")
            rows["gopro"].append(f"user_03,GOPR080{i},x/frame_{k:02}.png,{emotion}")
    (root / "annotations" / "expected_emotions").mkdir(parents=True)
    for kind, lines in rows.items():
        path = root / "annotations" / "expected_emotions" / f"validation_{kind}.csv"
        path.write_text("\n".join(lines) + "\n")


def test_nefer(tmp_path):
    write_nefer(tmp_path / "nefer")
    assert main([str(tmp_path / "nefer"), "--out", str(tmp_path / "out")]) == 0
    assert read_dataset(tmp_path / "out").name == "out"
    folder = tmp_path / "out" / "user03_2022-06-08_15-11-06"
    info = read_session(folder)
    assert (info.subject, info.consent.given) == ("user_03", "data set")
    assert info.settings == {"subset": "validation", "rgb_clip": "GOPR0801"}
    items = list(open_source(folder))
    [label] = [item for item in items if isinstance(item, Label)]
    assert (label.condition, label.au, label.source) == ("fear", (), "protocol")
    assert len([item for item in items if isinstance(item, Frame)]) == 4
    # A second run finds everything there.
    assert main([str(tmp_path / "nefer"), "--out", str(tmp_path / "out")]) == 0


def test_nefer_without_matching_clips_or_recordings(tmp_path):
    root = tmp_path / "nefer"
    write_nefer(root)
    clips = root / "annotations" / "expected_emotions" / "validation_gopro.csv"
    clips.write_text("user_03,GOPR0800,x/frame_00.png,Anger\n")
    assert main([str(root), "--out", str(tmp_path / "out")]) == 0
    assert open_source(tmp_path / "out" / "user03_2022-06-08_15-10-06").frame_size is None
    next((root / "event_videos").rglob("*.dat")).unlink()
    with pytest.raises(MxError, match="has no recording of user03"):
        main([str(root), "--out", str(tmp_path / "other")])


def test_see(tmp_path):
    root = tmp_path / "SEE"
    name = "1_001_man_24_Master_normal_angry_45_take000"
    write_images(root / "frame" / "angry" / name, 6, "jpg")
    write_images(root / "event" / "angry" / name, 6, "jpg")
    entry = {"subset": "training", "annotations": {"label": "angry", "segment": [0, 45]}}
    (root / "emotion.json").write_text(json.dumps({"labels": ["angry"], "database": {name: entry}}))
    assert main([str(root), "--out", str(tmp_path / "out")]) == 0
    info = read_session(tmp_path / "out" / name)
    assert (info.subject, info.lighting.name) == ("001", "normal")
    assert info.settings["subset"] == "training" and info.settings["age"] == "24"
    items = list(open_source(tmp_path / "out" / name))
    stamps = [item.stamp_ns for item in items if isinstance(item, Frame)]
    assert stamps == [1_000_000_000 + round(i / 30 * 1e9) for i in range(6)]
    [label] = [item for item in items if isinstance(item, Label)]
    assert label.condition == "angry" and label.offset_ns == 1_200_000_000
    write_images(root / "frame" / "angry" / "strange", 1, "jpg")
    with pytest.raises(MxError, match="strange is not named"):
        main([str(root), "--out", str(tmp_path / "other")])


def test_what_cannot_be_imported_is_said(tmp_path):
    with pytest.raises(MxError, match="does not exist"):
        main([str(tmp_path / "none.raw"), "--out", str(tmp_path / "s")])
    (tmp_path / "a.raw").write_bytes(b"\0\0")
    with pytest.raises(MxError, match="no Prophesee RAW header"):
        main([str(tmp_path / "a.raw"), "--out", str(tmp_path / "s")])
    assert not (tmp_path / "s").exists()
    write_nefer(tmp_path / "nefer")
    with pytest.raises(MxError, match="is no data set of ours"):
        main([str(tmp_path / "nefer"), "--out", str(tmp_path)])
