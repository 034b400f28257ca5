"""Cameras: a fake library that speaks their bytes, and videos in place of webcams."""

import dataclasses
import itertools
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_neuromorphic import EVENTS_PER_PACKET, USB_PACKET_US, FakeDevice, FakeLibrary, Name, dot
from mx_capture.codecs import make_decoder
from mx_capture.devices import listing
from mx_capture.devices.emulated import EmulatedSource, EmulatedStream, EmulationConfig
from mx_capture.devices.live import LiveSource
from mx_capture.devices.neuromorphic import open_neuromorphic
from mx_capture.devices.neuromorphic_settings import NeuromorphicConfig
from mx_capture.devices.uvc import UvcConfig, open_uvc
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.stream import Frame, Packet
from mx_capture.verbs import devices as verb


@pytest.fixture
def plug(monkeypatch):
    """Plugs cameras in; returns the library that finds them."""

    def plug(*devices):
        library = FakeLibrary(*devices)
        monkeypatch.setitem(sys.modules, "neuromorphic_drivers", library)
        return library

    return plug


def evk4(serial="00051234", **how):
    return FakeDevice(Name.PROPHESEE_EVK4, serial, **how)


def davis(**how):
    return FakeDevice(Name.INIVATION_DAVIS346, "00000499", **how)


def source_of(retry_s=0.02, **config):
    return LiveSource(lambda: open_neuromorphic(NeuromorphicConfig(**config)), retry_s)


def packets_of(source, count):
    packets = [item for item in itertools.islice(source, count) if isinstance(item, Packet)]
    source.close()
    return packets


def decoded(packets):
    decoder = make_decoder(packets[0].encoding, packets[0].height, packets[0].width)
    return np.concatenate([decoder.decode(p.events, p.time_base) for p in packets]), decoder


# Event cameras.


def test_the_bytes_of_a_prophesee_camera_pass_unchanged(plug):
    plug(evk4())
    source = source_of()
    before = time.time_ns()
    packets = packets_of(source, 5)
    assert source.event_size == (720, 1280) and source.frame_size is None
    assert source.name == "Prophesee EVK4 00051234"
    assert [p.seq for p in packets] == [0, 1, 2, 3, 4]
    assert {p.encoding for p in packets} == {"evt3"} and {p.time_base for p in packets} == {0}
    assert all(before <= p.stamp_ns <= time.time_ns() for p in packets)
    events, _ = decoded(packets)
    count = len(events) // EVENTS_PER_PACKET
    sent = np.concatenate([dot(number, 720, 1280) for number in range(count)])
    np.testing.assert_array_equal(events, sent)
    # Two USB packets or more, so that a subscriber gets about 1,000 messages a second at most.
    assert all(np.diff(events["t"][[0, -1]]) >= USB_PACKET_US for p in packets[1:])


@pytest.mark.parametrize(
    ("name", "size"), [("DAVIS346", (260, 346)), ("DVXPLORER", (480, 640)), ("EVK3", (720, 1280))]
)
def test_every_camera_sends_its_events_as_evt3(plug, name, size):
    plug(FakeDevice(next(n for n in Name if name in n.name), "7"))
    source = source_of(device=name.lower())
    packets = packets_of(source, 4)
    assert source.event_size == size == (packets[0].height, packets[0].width)
    events, _ = decoded(packets)
    count = len(events) // EVENTS_PER_PACKET
    np.testing.assert_array_equal(events, np.concatenate([dot(n, *size) for n in range(count)]))


@pytest.mark.parametrize("device", [evk4, davis])
def test_trigger_edges_keep_their_place_in_time(plug, device):
    plug(device(trigger_every=4))
    packets = packets_of(source_of(trigger_in=True), 8)
    _, decoder = decoded(packets)
    edges = decoder.triggers
    assert len(edges) >= 2 and set(edges["edge"]) == {1}
    assert set(np.diff(edges["t"])) == {4 * USB_PACKET_US}


def test_davis_edges_are_left_out_unless_wanted(plug):
    plug(davis(trigger_every=2))
    _, decoder = decoded(packets_of(source_of(), 4))
    assert not len(decoder.triggers)


def test_grey_frames_share_the_clock_of_the_events(plug):
    plug(davis())
    source = source_of(grey_frames=True)
    assert source.frame_size == (260, 346)
    items = list(itertools.islice(source, 80))
    source.close()
    frames = [item for item in items if isinstance(item, Frame)]
    packets = [item for item in items if isinstance(item, Packet)]
    assert len(frames) >= 2 and set(np.unique(frames[0].image)) == {128}
    base_ns = packets[0].time_base
    assert {p.time_base for p in packets} == {base_ns}
    # The middle of the exposure, 200 us before the end of its USB packet.
    assert frames[0].stamp_ns - base_ns == 1000 * (USB_PACKET_US - 200)
    assert frames[1].stamp_ns - frames[0].stamp_ns == 50 * USB_PACKET_US * 1000


def test_settings_reach_the_camera(plug):
    library = plug(evk4())
    source_of(
        biases="diff_on=20 diff_off=-10",
        roi="320 100 640 480",
        max_event_rate=10_000_000,
        trigger_in=True,
    ).close()
    got = library.devices[0].configuration
    assert (got.biases.diff_on, got.biases.diff_off, got.biases.refr) == (20, -10, 0)
    assert got.enable_external_trigger is True
    limiter = got.rate_limiter
    assert limiter.maximum_events_per_period / limiter.reference_period_us == 10
    silent_x = [got.x_mask[x // 64] >> x % 64 & 1 for x in range(1280)]
    silent_y = [got.y_mask[y // 64] >> y % 64 & 1 for y in range(720)]
    assert [x for x in range(1280) if not silent_x[x]] == list(range(320, 960))
    # Rows count from below there.
    assert [719 - y for y in range(720) if not silent_y[y]][::-1] == list(range(100, 580))


def test_the_crop_of_a_davis_is_its_region(plug):
    library = plug(davis())
    source_of(device="davis346", roi="10 20 100 90").close()
    region = library.devices[0].configuration.region_of_interest
    assert dataclasses.astuple(region) == (10, 20, 100, 90)


@pytest.mark.parametrize(
    ("devices", "config", "line"),
    [
        ([], {}, r"no event camera is plugged in; .*`\./mx devices`"),
        ([evk4()], {"serial": "9"}, "no event camera with serial 9 .*; found .*EVK4 00051234"),
        ([evk4()], {"device": "davis346"}, "no iniVation DAVIS 346 .*; found Prophesee EVK4"),
        ([evk4(busy=True)], {}, "EVK4 00051234 is used by another program"),
        ([evk4(allowed=False)], {}, 'no permission .*idVendor}=="04b4".*udevadm'),
        ([davis(allowed=False)], {}, 'no permission .*idVendor}=="152a".*udevadm'),
        ([evk4()], {"biases": "nope=1"}, "no bias 'nope'; it has diff_on, diff_off, refr"),
        ([evk4()], {"biases": "diff_on=x"}, "'diff_on=x' is not name=integer"),
        ([evk4()], {"biases": "diff_on=5000"}, "diff_on=5000 is outside -100 to 2000"),
        ([evk4()], {"roi": "0 0 2000 10"}, "does not lie on the sensor of 1280x720"),
        ([evk4()], {"roi": "0 0"}, "not four integers"),
        ([davis()], {"max_event_rate": 10}, "has no limiter"),
    ],
)
def test_one_line_says_what_is_wrong(plug, devices, config, line):
    plug(*devices)
    with pytest.raises(MxError, match=line) as error:
        source_of(**config)
    assert "\n" not in str(error.value)


def test_a_missing_library_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    with pytest.raises(MxError, match=r"run `\./mx setup devices`"):
        source_of()


def test_the_camera_is_chosen_by_its_serial_number(plug):
    library = plug(evk4("1"), evk4("2"))
    source = source_of(serial="2")
    assert source.facts()["serial"] == "2"
    assert [device.opened for device in library.devices] == [0, 1]
    source.close()


def test_an_unplugged_camera_is_opened_again_and_counted(plug):
    library = plug(evk4())
    source = source_of()
    device = library.devices[0]
    items = iter(source)
    before = [next(items) for _ in range(3)]
    assert source.facts()["temperature_celsius"] == "41.2"
    device.plugged = False
    problems = []

    def plug_in_again():
        while not source.counters["unplugged"]:
            time.sleep(0.005)
        problems.append(source.problem)
        device.plugged = True

    thread = threading.Thread(target=plug_in_again)
    thread.start()
    after = [next(items) for _ in range(3)]
    thread.join()
    items.close()
    assert re.search("is gone .No such device.*waiting|no event camera is plugged in", problems[0])
    assert source.problem is None
    assert source.counters["unplugged"] == 1 and source.counters["reopened"] == 1
    # One number is left out: the camera's time has started anew.
    last = before[-1].seq
    assert after[0].seq in (last + 2, last + 3) and after[1].seq == after[0].seq + 1


def test_losses_on_the_bus_are_counted_and_leave_a_gap(plug):
    plug(evk4(overflow_at=8))
    source = source_of()
    packets = packets_of(source, 10)
    assert source.counters["usb_overflows"] == 1
    assert sorted(np.diff([p.seq for p in packets]))[-2:] == [1, 2]


def test_stopping_frees_the_camera(plug):
    plug(evk4())
    source = source_of()
    for number, _ in enumerate(source):
        if number == 2:
            source.stop()
    assert number == 2 and source.facts() == {}
    assert next(iter(source)).seq > number  # it opens again, and its numbers go on
    source.close()


# Webcams.


@pytest.fixture
def video(tmp_path):
    """A video of a bright square that moves 4 pixels an image, as a device."""
    path = tmp_path / "device.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (160, 120))
    for number in range(12):
        image = np.full((120, 160, 3), 60, np.uint8)
        image[40:80, 20 + 4 * number : 60 + 4 * number] = 200
        writer.write(image)
    writer.release()
    return path


def test_images_are_rgb_and_stamped_on_arrival_where_the_driver_gives_no_time(video):
    source = LiveSource(lambda: open_uvc(UvcConfig(video_device=str(video))), 0.01)
    before = time.time_ns()
    frames = list(itertools.islice(source, 12))
    source.close()
    assert source.frame_size == (120, 160) and source.event_size is None
    assert all(frame.image.shape == (120, 160, 3) for frame in frames)
    stamps = np.array([frame.stamp_ns for frame in frames])
    assert np.all(np.diff(stamps) > 0) and stamps[1] >= before and stamps[-1] <= time.time_ns()
    # The driver's own clock is zero here: every stamp is of the arrival.
    assert source.counters["arrival_stamps"] >= 12


class FakeCapture:
    """cv2.VideoCapture of a camera that stamps its images on the monotonic clock."""

    age_ms = 25.0

    def __init__(self, path):
        self.values = {}

    def isOpened(self):
        return True

    def set(self, key, value):
        self.values[key] = value
        return True

    def get(self, key):
        if key == cv2.CAP_PROP_POS_MSEC:
            return time.monotonic() * 1e3 - self.age_ms
        return self.values.get(key, 0.0)

    def read(self):
        time.sleep(0.002)
        image = np.zeros((480, 640, 3), np.uint8)
        image[..., 0] = 255  # blue, in OpenCV's order
        return True, image

    def release(self):
        pass


def test_images_bear_the_time_of_their_capture(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    device = tmp_path / "video0"
    device.touch()
    stream = open_uvc(
        UvcConfig(video_device=str(device), exposure_us=10_000, pixel_format="mjpg", framerate=60)
    )
    stream.read()
    (frame,) = stream.read()
    age_ms = (time.time_ns() - frame.stamp_ns) / 1e6
    assert FakeCapture.age_ms - 5 <= age_ms < FakeCapture.age_ms + 500
    assert tuple(frame.image[0, 0]) == (0, 0, 255)
    assert stream.counters["arrival_stamps"] == 0
    assert stream._capture.values[cv2.CAP_PROP_FPS] == 60
    assert stream._capture.values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert stream.facts()["images"] == "640x480 at 60 Hz"
    stream.close()


def test_one_line_says_why_a_webcam_does_not_open(tmp_path):
    with pytest.raises(MxError, match=r"video9: does not exist; .*`\./mx devices`"):
        open_uvc(UvcConfig(video_device=str(tmp_path / "video9")))
    words = tmp_path / "video0"
    words.write_text("no camera")
    with pytest.raises(MxError, match="OpenCV cannot open it"):
        open_uvc(UvcConfig(video_device=str(words)))
    with pytest.raises(MxError, match="OpenCV cannot open it"):
        open_uvc(UvcConfig(video_device="http://127.0.0.1:1/camera.mjpg"))
    with pytest.raises(MxError, match="no camera has this serial"):
        open_uvc(UvcConfig(video_device="SN00"))


def test_a_forbidden_webcam_names_the_remedy(tmp_path, monkeypatch):
    device = tmp_path / "video0"
    device.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(MxError, match="no permission; sudo usermod -aG video"):
        open_uvc(UvcConfig(video_device=str(device)))


def test_who_holds_a_device_is_named(tmp_path):
    device = tmp_path / "dev" / "video0"
    device.parent.mkdir()
    device.touch()
    holder = tmp_path / "proc" / "42"
    (holder / "fd").mkdir(parents=True)
    (holder / "comm").write_text("cheese\n")
    (holder / "fd" / "3").symlink_to(device)
    assert listing.video_problem(device, tmp_path) == ("used by cheese (42)", "end that program")


def test_emulated_events_follow_the_images_exactly_in_time(video):
    stream = EmulatedStream(open_uvc(UvcConfig(video_device=str(video))), EmulationConfig())
    items = []
    for _ in range(8):
        time.sleep(0.005)
        items += stream.read()
    stream.close()
    frames = [item for item in items if isinstance(item, Frame)]
    packets = [item for item in items if isinstance(item, Packet)]
    events, decoder = decoded(packets)
    assert [p.seq for p in packets] == list(range(len(packets)))
    assert np.all(np.diff(events["t"]) >= 0)
    base_ns = packets[0].time_base
    assert base_ns == frames[0].stamp_ns
    assert decoder.time_us == (frames[-1].stamp_ns - base_ns) // 1000
    # The square's front turns brighter, what it leaves turns darker.
    image_us = [(frame.stamp_ns - base_ns) // 1000 for frame in frames]
    third = events[(events["t"] > image_us[2]) & (events["t"] <= image_us[3])]
    assert third["p"][third["x"] > 60].mean() > 0.9 > 0.1 > third["p"][third["x"] < 40].mean()
    # log(200/60) * 2.2 is some 13 thresholds of 0.2; each changed pixel fires as often.
    changed = 4 * 40 * 2
    assert 6 * changed < len(third) < 16 * changed
    assert stream.counters["emulated_events"] >= len(events)
    assert "EMULATED" in stream.facts()["emulated"]


def test_events_emulated_from_a_video_are_the_same_each_time(video):
    source = EmulatedSource(open_source(video), EmulationConfig())
    items = list(source)
    packets = [item for item in items if isinstance(item, Packet)]
    frames = [item for item in items if isinstance(item, Frame)]
    assert source.event_size == source.frame_size == frames[0].image.shape[:2]
    assert packets == [item for item in source if isinstance(item, Packet)]
    assert [item.stamp_ns for item in items] == sorted(item.stamp_ns for item in items)
    events, decoder = decoded(packets)
    assert len(events) and decoder.time_us == (frames[-1].stamp_ns - frames[0].stamp_ns) // 1000
    nothing = SimpleNamespace(name="nothing", event_size=None, frame_size=None)
    with pytest.raises(MxError, match="nothing holds neither events nor frames"):
        EmulatedSource(nothing, EmulationConfig())


def test_a_still_image_makes_no_events_but_time_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    device = tmp_path / "video0"
    device.touch()
    stream = EmulatedStream(open_uvc(UvcConfig(video_device=str(device))), EmulationConfig())
    packets = [item for _ in range(3) for item in stream.read() if isinstance(item, Packet)]
    events, decoder = decoded(packets)
    assert not len(events) and decoder.time_us > 0


# Listing.


@pytest.fixture
def machine(tmp_path):
    """A machine with an EVK4, a webcam and its metadata device, and a mouse."""
    usb = tmp_path / "sys/bus/usb/devices"
    for name, files in {
        "2-1": {
            "idVendor": "04b4",
            "idProduct": "00f5",
            "busnum": "2",
            "devnum": "5",
            "speed": "480",
        },
        "1-1": {"idVendor": "046d", "idProduct": "c077", "busnum": "1", "devnum": "3"},
        "1-2": {"idVendor": "152a", "idProduct": "8400", "product": "DVS", "serial": "0005"},
    }.items():
        (usb / name).mkdir(parents=True)
        for file, text in files.items():
            (usb / name / file).write_text(text + "\n")
    (tmp_path / "dev/bus/usb/002").mkdir(parents=True)
    (tmp_path / "dev/bus/usb/002/005").touch()
    for number in (0, 1, 2):
        video = tmp_path / f"sys/class/video4linux/video{number}"
        video.mkdir(parents=True)
        (video / "name").write_text("HD Webcam\n")
        (video / "index").write_text(f"{number % 2}\n")
    (tmp_path / "dev/video0").touch()
    return tmp_path


def test_cameras_are_listed_with_their_remedies(machine):
    events = {camera.name: camera for camera in listing.event_cameras(machine)}
    assert list(events) == ["iniVation DVS", "Prophesee EVK4"]
    assert events["Prophesee EVK4"].device == "/dev/bus/usb/002/005"
    assert events["Prophesee EVK4"].problem == "not at USB 3 speed"
    assert events["iniVation DVS"].serial == "0005"
    assert events["iniVation DVS"].problem == "no permission"
    assert 'ATTRS{idVendor}=="152a", MODE="0666"' in events["iniVation DVS"].remedy
    rgb = listing.rgb_cameras(machine)
    assert [(camera.device, camera.problem) for camera in rgb] == [
        ("/dev/video0", ""),
        ("/dev/video2", "does not exist"),
    ]


def test_the_library_adds_serial_numbers(machine, plug):
    plug(evk4("00051234"))
    found = {c.name: c.serial for c in listing.with_library(listing.event_cameras(machine))}
    assert found == {"iniVation DVS": "0005", "Prophesee EVK4": "00051234"}


def test_devices_prints_and_writes_what_it_found(machine, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    monkeypatch.setattr(verb, "ROOT", machine)
    file = tmp_path / "devices.json"
    assert verb.main(["--json", str(file)]) == 0
    listed = json.loads(file.read_text())
    assert [camera["kind"] for camera in listed["cameras"]] == ["event", "event", "rgb", "rgb"]
    assert listed["library"].startswith("missing")
    printed = capsys.readouterr().out
    assert "HD Webcam" in printed and "udevadm" in printed and "./mx setup devices" in printed


def test_devices_without_any_camera_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verb, "ROOT", tmp_path)
    assert verb.main([]) == 0
    assert "no camera" in capsys.readouterr().out


def test_the_pinned_library_is_the_one_that_the_fake_stands_in_for():
    pinned = Path(__file__).parents[2].joinpath("requirements", "devices.txt").read_text()
    assert "neuromorphic-drivers==0.18.2" in pinned
