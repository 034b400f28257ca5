"""Recordings: writing, reading back with rosbags, sessions and annotations."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.recording import cdr, qos
from mx_capture.recording.message_types import definition_of, typestore
from mx_capture.recording.session_info import (
    Camera,
    Consent,
    Lighting,
    SessionInfo,
    read_session,
    session_folders,
    write_info,
)
from mx_capture.recording.session_writer import write_session
from mx_capture.recording.writer import RecordingWriter, WriterConfig
from mx_capture.stream import Frame, Label, Packet
from rosbags.highlevel import AnyReader

INFO = SessionInfo("s01", Consent("not needed"))
QUICK = WriterConfig(reserve_mb=0)


class TinySource:
    name, event_size, frame_size = "tiny", (24, 32), (24, 32)
    start_ns, duration_ns = 1_000_000_000, 100_000_000

    def __init__(self, n=20):
        self.n = n

    def __iter__(self):
        random = np.random.default_rng(3)
        for i in range(self.n):
            stamp = self.start_ns + i * 5_000_000
            events = random.bytes(40)
            yield Packet(stamp, i, "evt3", 24, 32, self.start_ns, events)
            if i % 4 == 0:
                yield Frame(stamp, random.integers(0, 256, (24, 32, 3), np.uint8))
            if i == 12:
                onset = self.start_ns + 10
                yield Label(
                    "s01", (1, 12), (0.25, 0.5), onset, onset + 1, stamp, "simulator", "micro"
                )


def same(a, b):
    if isinstance(a, Frame):
        return a.stamp_ns == b.stamp_ns and np.array_equal(a.image, b.image)
    return a == b


def test_messages_survive_cdr():
    packet = Packet(1_700_000_000_123_456_789, 7, "evt3", 480, 640, 9, b"abc")
    for frame_id in ("", "f", "event_camera"):
        for encoding in ("evt3", "libcaer_cmp"):
            told = replace(packet, encoding=encoding)
            data = cdr.packet_to_cdr(told, frame_id)
            assert cdr.packet_from_cdr(data) == cdr._usual_packet(data) == told
    label = Label("s", (4,), (0.125,), 1, 2, 3_000_000_001, "protocol", "dim")
    assert cdr.label_from_cdr(cdr.label_to_cdr(label, "f")) == label
    for image in (np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.zeros((3, 5), np.uint8)):
        frame = Frame(5, image)
        assert same(frame, cdr.frame_from_cdr(cdr.frame_to_cdr(frame, "f")))
    info = cdr.read_message(cdr.camera_info_to_cdr((480, 640), 1, "f"), cdr.CAMERA_INFO_TYPE)
    assert (info.height, info.width, info.k[0]) == (480, 640, 0)
    for damaged in (b"\x00\x01", data[:40], data[:-1]):
        with pytest.raises(MxError, match="no valid"):
            cdr.packet_from_cdr(damaged)


def test_packets_of_big_endian_machines_are_read():
    packet = Packet(1_700_000_000_123_456_789, 7, "evt3", 480, 640, 9, b"abc")
    message = cdr.read_message(cdr.packet_to_cdr(packet, "f"), cdr.PACKET_TYPE)
    data = bytes(typestore().serialize_cdr(message, cdr.PACKET_TYPE, little_endian=False))
    assert cdr._usual_packet(data) is None
    assert cdr.packet_from_cdr(data) == packet


def image_cdr(encoding, size, count):
    message = cdr.read_message(
        cdr.frame_to_cdr(Frame(5, np.zeros((1, 1), np.uint8)), "f"), cdr.IMAGE_TYPE
    )
    message.encoding, (message.height, message.width) = encoding, size
    message.data = np.zeros(count, np.uint8)
    return bytes(typestore().serialize_cdr(message, cdr.IMAGE_TYPE))


@pytest.mark.parametrize(
    ("encoding", "size", "count"),
    [
        ("nv12", (4, 4), 24),
        ("nv12", (6, 4), 36),
        ("rgb8", (4, 4), 47),
        ("rgb8", (0, 4), 0),
        ("jpeg", (4, 4), 48),
        ("32FC1", (4, 4), 64),
    ],
)
def test_images_that_cannot_be_read_are_named(encoding, size, count):
    with pytest.raises(MxError, match=rf"4x{size[0]} .*{encoding}.* {count} bytes .*record"):
        cdr.frame_from_cdr(image_cdr(encoding, size, count))


def test_a_compressed_image_without_bytes_is_named():
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](0, 0)
    header = types["std_msgs/msg/Header"](stamp, "f")
    message = types[cdr.COMPRESSED_TYPE](header, "jpeg", np.zeros(0, np.uint8))
    data = bytes(typestore().serialize_cdr(message, cdr.COMPRESSED_TYPE))
    with pytest.raises(MxError, match="no readable jpeg"):
        cdr.frame_from_cdr(data, cdr.COMPRESSED_TYPE)


def test_labels_whose_intensities_do_not_fit_are_named():
    label = Label("s", (4, 12), (0.5, 0.5), 1, 2, 3, "protocol", "")
    for intensity, reason in (((0.5,), "2 Action Units with 1"), ((0.5, 2.0), "outside 0 to 1")):
        with pytest.raises(MxError, match=f"Label.*{reason}"):
            cdr.label_from_cdr(cdr.label_to_cdr(replace(label, intensity=intensity), "f"))


def test_event_packet_has_the_upstream_hash():
    _, type_hash = definition_of(cdr.PACKET_TYPE)
    assert type_hash == "RIHS01_d6fa176260b1f37e5a40845305315e150a0f18191241eb64f407442aa29844aa"


def test_session_round_trip(tmp_path):
    counts = write_session(TinySource(), tmp_path / "a", INFO)
    assert counts["/event_camera/events"] == 20 and counts["/rgb/image_raw"] == 5
    assert counts["/rgb/camera_info"] == 5 and counts["/labels"] == 1
    source = open_source(tmp_path / "a")
    assert source.event_size == (24, 32) and source.frame_size == (24, 32)
    items, expected = list(source), list(TinySource())
    assert len(items) == len(expected)
    assert all(same(a, b) for a, b in zip(items, expected, strict=True))
    assert len(list(open_source(tmp_path / "a" / "recording"))) == len(expected)


def test_bag_is_what_rosbag2_expects(tmp_path):
    write_session(TinySource(), tmp_path / "a", INFO)
    bag = tmp_path / "a" / "recording"
    assert sorted(path.name for path in bag.iterdir()) == ["metadata.yaml", "recording_0.mcap"]
    with AnyReader([bag]) as reader:
        assert reader.message_count == 31
        events = next(item for item in reader.connections if item.topic == "/event_camera/events")
        [profile] = events.ext.offered_qos_profiles
        assert profile.reliability.name == "BEST_EFFORT" and profile.depth == 1000
        # The type comes from the bag itself.
        message = reader.deserialize(next(reader.messages([events]))[2], events.msgtype)
        assert message.encoding == "evt3"


def test_another_reader_agrees(tmp_path):
    write_session(TinySource(), tmp_path / "a", INFO)
    with (tmp_path / "a" / "recording" / "recording_0.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        statistics = reader.get_summary().statistics
        messages = list(reader.iter_messages())
    assert statistics.message_count == len(messages) == 31
    assert {schema.encoding for schema, _, _ in messages} == {"ros2msg"}
    assert all(channel.metadata["offered_qos_profiles"] for _, channel, _ in messages)


def test_the_same_source_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_session(TinySource(), tmp_path / name, INFO)
    for file in ("recording/recording_0.mcap", "recording/metadata.yaml", "session.yaml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("config", [{"split_s": 1}, {"split_mb": 1}])
def test_splits_read_as_one(tmp_path, config):
    with RecordingWriter(tmp_path / "bag", WriterConfig(reserve_mb=0, **config)) as writer:
        for i in range(35):
            packet = Packet(i * 100_000_000, i, "evt3", 4, 4, 0, bytes(100_000))
            data = cdr.packet_to_cdr(packet, "f")
            writer.write("/e", cdr.PACKET_TYPE, packet.stamp_ns, data)
            writer.flush()
    files = sorted(path.name for path in (tmp_path / "bag").glob("*.mcap"))
    assert files == [f"bag_{i}.mcap" for i in range(4)]
    assert [packet.seq for packet in open_source(tmp_path / "bag")] == list(range(35))


def test_every_message_is_on_disk_when_its_flush_time_is_over(tmp_path):
    now = 0.0
    writer = RecordingWriter(tmp_path / "bag", WriterConfig(reserve_mb=0), clock=lambda: now)
    file = tmp_path / "bag" / "bag_0.mcap"
    before = file.stat().st_size
    writer.write("/e", cdr.PACKET_TYPE, 0, bytes(1000))
    assert file.stat().st_size == before
    now = 0.5
    writer.flush_if_due()
    assert file.stat().st_size > before + 1000
    writer.close()


def test_an_existing_folder_is_never_touched(tmp_path):
    write_session(TinySource(), tmp_path / "a", INFO)
    before = (tmp_path / "a" / "recording" / "recording_0.mcap").read_bytes()
    with pytest.raises(MxError, match="exists already"):
        write_session(TinySource(2), tmp_path / "a", INFO)
    assert (tmp_path / "a" / "recording" / "recording_0.mcap").read_bytes() == before


def test_a_full_disk_closes_the_recording(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    writer = RecordingWriter(tmp_path / "bag", WriterConfig(reserve_mb=100))
    for i in range(3):
        writer.write(
            "/e", cdr.PACKET_TYPE, i, cdr.packet_to_cdr(Packet(i, i, "evt3", 1, 1, 0, b""), "")
        )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=99_000_000))
    with pytest.raises(MxError, match=r"99 MB are left .* closed after 3 messages"):
        writer.flush()
    assert len(list(open_source(tmp_path / "bag"))) == 3
    with pytest.raises(MxError, match="99 MB are left"):
        RecordingWriter(tmp_path / "other", WriterConfig(reserve_mb=100))
    assert not (tmp_path / "other").exists()


def test_one_topic_has_one_type(tmp_path):
    with RecordingWriter(tmp_path / "bag", QUICK) as writer:
        writer.add_topic("/a", cdr.PACKET_TYPE, (qos.EVENTS,))
        with pytest.raises(MxError, match="at once"):
            writer.write("/a", cdr.LABEL_TYPE, 0, b"")
        with pytest.raises(MxError, match="was not found"):
            writer.add_topic("/b", "nowhere_msgs/msg/Nothing")


def test_session_yaml_round_trip(tmp_path):
    info = SessionInfo(
        "p-07",
        Consent("yes", "2026-01-31", ("research",)),
        cameras={"events": Camera("EVK4", 1280, 720, "00ca0009"), "rgb": Camera("UVC", 640, 480)},
        lighting=Lighting("office", 420.0),
        settings={"seed": 3, "nested": {"a": [1, 2]}},
    )
    write_info(tmp_path / "session.yaml", info)
    assert read_session(tmp_path) == info
    with pytest.raises(MxError, match="exists already"):
        write_info(tmp_path / "session.yaml", info)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": "Jane Doe"}, "no pseudonym"),
        ({"subject": "a@b.c"}, "no pseudonym"),
        ({"colour": "red"}, "unknown entry 'colour'"),
        ({"lighting": {"lux": -1}}, "lux=-1"),
        ({"lighting": {"lux": "much"}}, "lux='much' is not a float"),
        ({"consent": {"given": "maybe"}}, "not one of yes, no"),
        ({"consent": {"given": "yes"}}, "no day"),
        ({"consent": {}}, "'given' is missing"),
        ({"cameras": {"rgb": {"model": "x", "width": 0, "height": 1}}}, "size 0x1"),
        ({"retention": {"until": "soon"}}, "no day"),
    ],
)
def test_wrong_session_yaml_is_named(tmp_path, change, message):
    values = {"subject": "s01", "consent": {"given": "no"}, **change}
    (tmp_path / "session.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(MxError, match=message) as caught:
        read_session(tmp_path)
    assert "session.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_sessions_of_a_data_set(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write_info(tmp_path / name / "session.yaml", INFO)
    (tmp_path / "other").mkdir()
    assert [folder.name for folder in session_folders(tmp_path)] == ["a", "b"]
    with pytest.raises(MxError, match="no session"):
        session_folders(tmp_path / "other")


def test_foreign_bags(tmp_path):
    with RecordingWriter(tmp_path / "bag", QUICK) as writer:
        for topic in ("/left/events", "/right/events"):
            data = cdr.packet_to_cdr(Packet(1, 0, "evt3", 1, 1, 0, b""), "")
            writer.write(topic, cdr.PACKET_TYPE, 1, data)
    with pytest.raises(MxError, match="several topics with events"):
        open_source(tmp_path / "bag")
    with RecordingWriter(tmp_path / "other", QUICK) as writer:
        writer.write("/labels", cdr.LABEL_TYPE, 1, b"")
    with pytest.raises(MxError, match="neither event packets nor images; it holds /labels"):
        open_source(tmp_path / "other")
    with RecordingWriter(tmp_path / "empty", QUICK):
        pass
    with pytest.raises(MxError, match="neither event packets nor images"):
        open_source(tmp_path / "empty")
    (tmp_path / "bag" / "metadata.yaml").write_text("nonsense: [")
    with pytest.raises(MxError, match="cannot be read"):
        open_source(tmp_path / "bag")
