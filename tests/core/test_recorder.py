"""The recorder's queue, what a kill leaves behind, repairing it, and checking recordings."""

import multiprocessing
import random
import shutil
import time

import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.recording import cdr, qos
from mx_capture.recording.recorder import MARKS_TOPIC, Recorder, RecorderConfig
from mx_capture.recording.recover import recover
from mx_capture.recording.verify import verify
from mx_capture.recording.writer import RecordingWriter, WriterConfig
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

KILLS = 4
QUICK = WriterConfig(reserve_mb=0)


def packet_cdr(seq, stamp_ns=None, size=200):
    stamp_ns = seq * 1_000_000 if stamp_ns is None else stamp_ns
    return cdr.packet_to_cdr(Packet(stamp_ns, seq, "evt3", 8, 8, 0, bytes(size)), "f")


def write_packets(bag, n=50, flush_every=10):
    writer = RecordingWriter(bag, QUICK)
    for seq in range(n):
        writer.write("/e", cdr.PACKET_TYPE, seq * 1_000_000, packet_cdr(seq))
        if seq % flush_every == flush_every - 1:
            writer.flush()
    return writer


def seqs(bag):
    return [packet.seq for packet in open_source(bag)]


def test_recorder_writes_everything_in_order(tmp_path):
    recorder = Recorder(tmp_path / "bag", RecorderConfig(reserve_mb=0))
    recorder.add_topic("/e", cdr.PACKET_TYPE, (qos.EVENTS,))
    for seq in range(300):
        assert recorder.add("/e", cdr.PACKET_TYPE, seq, packet_cdr(seq))
    assert recorder.mark("look here", 301)
    counters = recorder.stop()
    assert counters.received == counters.written == {"/e": 300, MARKS_TOPIC: 1}
    assert counters.queue_bytes == 0 and not counters.dropped
    assert seqs(tmp_path / "bag") == list(range(300))


def test_a_full_queue_drops_and_counts(tmp_path):
    recorder = Recorder(tmp_path / "bag", RecorderConfig(reserve_mb=0, queue_mb=1))
    recorder._writing.acquire()  # A disk that does not move.
    taken = [
        recorder.add("/e", cdr.PACKET_TYPE, seq, packet_cdr(seq, size=99_000)) for seq in range(30)
    ]
    recorder._writing.release()
    counters = recorder.stop()
    assert taken == [True] * 10 + [False] * 20
    assert counters.written["/e"] == 10 and counters.dropped["/e"] == 20
    assert counters.received["/e"] == 30
    assert 990_000 < counters.longest_queue_bytes <= 1_000_000


def test_unknown_types_are_refused_at_once(tmp_path):
    recorder = Recorder(tmp_path / "bag", RecorderConfig(reserve_mb=0))
    with pytest.raises(MxError, match="nowhere_msgs"):
        recorder.add_topic("/x", "nowhere_msgs/msg/Nothing")
    recorder.stop()


def test_a_full_disk_ends_the_recording_and_is_told(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path / "bag", RecorderConfig(reserve_mb=100))
    usage = shutil.disk_usage(tmp_path)
    recorder.add("/e", cdr.PACKET_TYPE, 0, packet_cdr(0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    deadline = time.monotonic() + 20
    while recorder.error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "1 MB are left" in recorder.error
    assert not recorder.add("/e", cdr.PACKET_TYPE, 1, packet_cdr(1))
    with pytest.raises(MxError, match="closed after 1 messages"):
        recorder.stop()
    assert seqs(tmp_path / "bag") == [0]


def record_until_killed(path, started):
    recorder = Recorder(path, RecorderConfig(reserve_mb=0))
    seq = 0
    started.set()
    while True:
        now = time.time_ns()
        recorder.add("/e", cdr.PACKET_TYPE, now, packet_cdr(seq, now))
        seq += 1
        time.sleep(0.002)


def test_a_kill_costs_less_than_a_second(tmp_path):
    context = multiprocessing.get_context("spawn")
    moments = random.Random(5)
    for number in range(KILLS):
        bag = tmp_path / f"bag{number}"
        started = context.Event()
        child = context.Process(target=record_until_killed, args=(bag, started))
        child.start()
        assert started.wait(60)
        time.sleep(moments.uniform(0.1, 2.5))
        killed_ns = time.time_ns()
        child.kill()
        child.join()
        written_until_ns = 0
        if (bag / f"bag{number}_0.mcap").stat().st_size > 200:
            recover(bag)
            packets = list(open_source(bag))
            assert [packet.seq for packet in packets] == list(range(len(packets)))
            written_until_ns = packets[-1].stamp_ns
            first_ns = packets[0].stamp_ns
        else:
            first_ns = killed_ns  # Killed before the first flush was due.
        assert max(written_until_ns, first_ns) > killed_ns - 1_000_000_000


def test_recovered_bag_equals_a_closed_one(tmp_path):
    write_packets(tmp_path / "closed").close()
    writer = write_packets(tmp_path / "open")
    del writer
    report = recover(tmp_path / "open")
    assert report.messages == {"/e": 50} and report.unreadable_bytes == 0
    assert seqs(tmp_path / "open") == seqs(tmp_path / "closed")
    assert (tmp_path / "open" / "open_0.mcap").exists()
    assert (tmp_path / "open.damaged" / "open_0.mcap").exists()
    assert recover(tmp_path / "open").intact


@pytest.mark.parametrize("cut", [1, 30, 150, 400, 1500])
def test_a_file_cut_anywhere_keeps_its_whole_messages(tmp_path, cut):
    write_packets(tmp_path / "bag", n=40, flush_every=40)
    file = tmp_path / "bag" / "bag_0.mcap"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - cut])
    recover(tmp_path / "bag")
    found = seqs(tmp_path / "bag")
    assert found == list(range(len(found)))
    # The file ends with the message index of the chunk, 16 bytes a message.
    lost = max(0, cut - 40 * 16) // 200 + 1
    assert 40 - lost - 1 <= len(found) <= 40


def test_a_damaged_chunk_is_left_out_and_counted(tmp_path):
    write_packets(tmp_path / "bag").close()
    file = tmp_path / "bag" / "bag_0.mcap"
    data = bytearray(file.read_bytes())
    position = data.index(
        cdr.packet_to_cdr(Packet(25_000_000, 25, "evt3", 8, 8, 0, bytes(200)), "f")
    )
    data[position + 100] ^= 0xFF
    file.write_bytes(data[:-1])
    report = recover(tmp_path / "bag")
    assert report.messages == {"/e": 40} and report.unreadable_bytes > 2_000
    assert seqs(tmp_path / "bag") == [*range(20), *range(30, 50)]


def test_recover_keeps_qos_and_splits(tmp_path):
    writer = RecordingWriter(tmp_path / "bag", QUICK)
    writer.add_topic("/e", cdr.PACKET_TYPE, (qos.EVENTS,))
    for seq in range(12):
        writer.write("/e", cdr.PACKET_TYPE, seq, packet_cdr(seq))
        writer.flush()
        if seq == 5:
            writer.split()
    recover(tmp_path / "bag")
    assert sorted(path.name for path in (tmp_path / "bag").glob("*.mcap")) == [
        "bag_0.mcap",
        "bag_1.mcap",
    ]
    assert seqs(tmp_path / "bag") == list(range(12))
    assert "best_effort" in (tmp_path / "bag" / "metadata.yaml").read_text()


def test_what_cannot_be_recovered_is_said(tmp_path):
    with pytest.raises(MxError, match="does not exist"):
        recover(tmp_path / "none")
    with pytest.raises(MxError, match=r"holds no \.mcap file"):
        recover(tmp_path)
    RecordingWriter(tmp_path / "bag", QUICK)
    with pytest.raises(MxError, match="holds no readable message"):
        recover(tmp_path / "bag")
    assert (tmp_path / "bag" / "bag_0.mcap").exists()
    (tmp_path / "bag" / "bag_0.mcap").write_bytes(b"something else")
    with pytest.raises(MxError, match="is no mcap file"):
        recover(tmp_path / "bag")


def test_an_open_recording_names_the_repair(tmp_path):
    write_packets(tmp_path / "bag")
    with pytest.raises(MxError, match=r"was not closed; repair it by `\./mx recover"):
        open_source(tmp_path / "bag")


def sensor_packets(seconds, drift_ppm=0.0):
    encoder = Evt3Encoder(8, 8)
    for seq in range(int(seconds * 100)):
        event = np.zeros(1, EVENT_DTYPE)
        event["t"] = round(seq * 10_000 * (1 + drift_ppm * 1e-6))
        yield Packet(seq * 10_000_000, seq, "evt3", 8, 8, 0, encoder.encode(event))


def test_verify_measures_rates_losses_and_drift(tmp_path):
    with RecordingWriter(tmp_path / "bag", QUICK) as writer:
        for packet in sensor_packets(20, drift_ppm=500):
            if packet.seq not in (100, 101, 700):
                data = cdr.packet_to_cdr(packet, "f")
                writer.write("/e", cdr.PACKET_TYPE, packet.stamp_ns, data)
        for i in range(60):
            stamp_ns = i * 40_000_000 + (200_000_000 if i >= 50 else 0)
            data = cdr.frame_to_cdr(Frame(stamp_ns, np.zeros((2, 2), np.uint8)), "f")
            writer.write("/i", cdr.IMAGE_TYPE, stamp_ns + 5_000_000, data)
    quality = verify(tmp_path / "bag")
    events, images = quality.topics
    assert (events.messages, events.lost, events.backward) == (1997, 3, 0)
    assert events.longest_gap_ms == pytest.approx(30)
    assert events.drift_ppm == pytest.approx(500, abs=2)
    assert images.rate_hz == pytest.approx(59 / 2.56) and images.lost is None
    assert images.drift_ppm == pytest.approx(0, abs=1e-3)
    text = "\n".join(quality.problems)
    assert (
        "3 messages were lost" in text
        and "drifts by 500 ppm" in text
        and "no frame for 240 ms" in text
    )
    assert quality.as_dict()["topics"][0]["topic"] == "/e"


def test_verify_finds_nothing_wrong_with_a_good_recording(tmp_path):
    with RecordingWriter(tmp_path / "bag", QUICK) as writer:
        for packet in sensor_packets(20):
            writer.write("/e", cdr.PACKET_TYPE, packet.stamp_ns, cdr.packet_to_cdr(packet, "f"))
            if packet.seq % 4 == 0:
                data = cdr.frame_to_cdr(Frame(packet.stamp_ns, np.zeros((2, 2), np.uint8)), "f")
                writer.write("/i", cdr.IMAGE_TYPE, packet.stamp_ns, data)
    assert verify(tmp_path / "bag").problems == []


def test_verify_counts_messages_that_are_none(tmp_path):
    with RecordingWriter(tmp_path / "bag", QUICK) as writer:
        for i in range(60):
            data = cdr.frame_to_cdr(Frame(i * 40_000_000, np.zeros((2, 2), np.uint8)), "f")
            writer.write("/i", cdr.IMAGE_TYPE, i * 40_000_000, data if i != 30 else b"\xff\xfe")
        for packet in sensor_packets(1):
            writer.write("/e", cdr.PACKET_TYPE, packet.stamp_ns, b"")
    quality = verify(tmp_path / "bag")
    events, images = quality.topics
    assert (images.messages, images.unreadable, events.unreadable) == (60, 1, 100)
    assert images.drift_ppm == pytest.approx(0, abs=1e-3) and events.rate_hz is None
    assert "/i: 1 messages are no valid sensor_msgs/msg/Image" in "\n".join(quality.problems)
