"""What the doctor makes of machines, environments and graphs."""

import fcntl
import json
import sys
from dataclasses import replace

import pytest
from fake_neuromorphic import FakeDevice, FakeLibrary, Name
from mx_perception.doctor import machine
from mx_perception.doctor.check import Check
from mx_perception.doctor.graph import Seen, graph_checks
from mx_perception.doctor.machine import clock_check, machine_checks
from mx_perception.doctor.ros import ros_checks
from mx_perception.verbs import doctor

PROFILE = "launch/fastdds.xml"


@pytest.fixture
def root(tmp_path):
    """A small machine in good order."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1 kB\nMemAvailable:  8000000 kB\n")
    (tmp_path / "dev/shm").mkdir(parents=True)
    return tmp_path


def by_subject(checks):
    return {check.subject: check for check in checks}


def test_a_machine_in_good_order_needs_no_remedy(root, monkeypatch):
    monkeypatch.setattr(machine, "_CORES", 1)
    monkeypatch.setattr(machine, "command_output", lambda *command: "")
    checks = by_subject(machine_checks(root, root))
    assert checks["memory"].finding == "8.0 GB available"
    assert checks["event camera"].finding == "none plugged in"
    assert checks["face models"].finding.endswith("have their SHA-256")
    assert [check for check in checks.values() if not check.ok] == []


def test_what_lacks_is_named_with_its_remedy(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    (root / "proc/meminfo").write_text("MemAvailable: 400000 kB\n")
    scaling = root / "sys/devices/system/cpu/cpu0/cpufreq"
    scaling.mkdir(parents=True)
    (scaling / "scaling_governor").write_text("powersave\n")
    (scaling / "scaling_driver").write_text("acpi-cpufreq\n")
    usb = root / "sys/bus/usb/devices/2-1"
    usb.mkdir(parents=True)
    for name, text in {"idVendor": "04b4", "idProduct": "00f5"}.items():
        (usb / name).write_text(text)
    monkeypatch.setattr(machine, "_CORES", 1)
    monkeypatch.setattr(machine, "_SHM_MB", 1e9)
    monkeypatch.setattr(machine, "_DISK_GB", 1e9)
    (root / "proc/sys/net/core").mkdir(parents=True)
    (root / "proc/sys/net/core/rmem_max").write_text("212992\n")
    checks = by_subject(machine_checks(root, root))
    assert checks["sockets"].finding.startswith("208 kB")
    assert "net.core.rmem_max" in checks["sockets"].remedy
    assert "1.2 GB" in checks["memory"].remedy
    assert "cpupower" in checks["processor"].remedy
    assert "remount" in checks["shared memory"].remedy
    assert "another disk" in checks["disk"].remedy
    assert "udevadm" in checks["event camera"].remedy
    assert checks["camera library"].remedy == "./mx setup devices"


def test_what_killed_nodes_left_in_shared_memory_is_told(root, monkeypatch):
    memory = root / "dev/shm"
    memory.mkdir(parents=True, exist_ok=True)
    for name in ("fastdds_aa", "fastdds_bb"):
        (memory / name).write_bytes(bytes(4_000_000))
        (memory / f"{name}_el").touch()
    monkeypatch.setattr(machine, "_SHM_MB", 3)
    with (memory / "fastdds_bb_el").open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        check = by_subject(machine_checks(root, root))["shared memory"]
    assert "1 of 4 MB were left behind" in check.finding
    assert "fastdds shm clean" in check.remedy


def test_serial_numbers_come_from_the_library(root, monkeypatch):
    usb = root / "sys/bus/usb/devices/2-1"
    usb.mkdir(parents=True)
    for name, text in {"idVendor": "04b4", "idProduct": "00f5"}.items():
        (usb / name).write_text(text)
    library = FakeLibrary(FakeDevice(Name.PROPHESEE_EVK4, "00051234"))
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", library)
    checks = by_subject(machine_checks(root, root))
    assert "Prophesee EVK4 00051234" in checks["event camera"].finding


def test_a_changed_model_file_is_found(root, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "a.tflite").write_bytes(b"model")
    (folder / "SHA256SUMS").write_text("0" * 64 + "  a.tflite\n")
    check = machine._face_models(folder)
    assert "a.tflite" in check.finding and "git checkout" in check.remedy
    assert not machine._face_models(tmp_path / "nowhere").ok


@pytest.mark.parametrize(
    ("tool", "output", "finding", "ok"),
    [
        (
            "chronyc",
            "System time     : 0.000012345 seconds slow of NTP time",
            "0.012 ms slow",
            True,
        ),
        ("chronyc", "System time     : 1.5 seconds fast of NTP time", "1500.000 ms fast", False),
        (
            "ntpq",
            "     remote  refid\n*192.0.2.1  .PPS.  1 u  33 64 377  0.49  -25.35  0.01\n",
            "25.350 ms off",
            False,
        ),
        ("timedatectl", "yes\n", "kept by NTP", True),
        ("timedatectl", "no\n", "not kept by NTP", False),
        ("none", "", "no NTP tool", True),
    ],
)
def test_the_clock_is_read_from_whichever_tool_is_there(tool, output, finding, ok):
    check = clock_check(lambda *command: output if command[0] == tool else "")
    assert finding in check.finding and check.ok is ok


@pytest.mark.parametrize(
    ("environment", "subject", "words"),
    [
        ({}, "transport profile", "large images get lost"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/no.xml"}, "transport profile", "cannot be read"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "WORLD"}, "discovery", "unknown"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, "discovery", "no node finds another"),
        ({"ROS_DOMAIN_ID": "200"}, "discovery", "domain 200"),
    ],
)
def test_an_environment_without_what_the_suite_needs(environment, subject, words):
    check = by_subject(ros_checks(environment))[subject]
    assert words in check.finding and not check.ok


def test_the_environment_of_the_suite(request):
    environment = {
        "FASTDDS_DEFAULT_PROFILES_FILE": str(request.config.rootpath / PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DISTRO": "kilted",
    }
    checks = by_subject(ros_checks(environment))
    assert checks["ROS"].finding == "ROS 2 kilted"
    assert "32 MiB" in checks["transport profile"].finding
    assert checks["transport profile"].ok and checks["discovery"].ok
    assert "subnet" in by_subject(ros_checks({}))["discovery"].finding


def test_a_profile_with_small_segments_is_a_problem(tmp_path):
    profile = tmp_path / "small.xml"
    profile.write_text("<dds><segment_size>262144</segment_size></dds>")
    check = by_subject(ros_checks({"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)}))
    assert "262144 bytes" in check["transport profile"].finding


def test_no_graph_is_no_problem():
    (check,) = graph_checks(Seen())
    assert check.ok and "no node is running" in check.finding


def test_a_graph_is_judged_node_by_node():
    seen = Seen(
        nodes=[
            "/au_classifier_node",
            "/event_camera_node",
            "/event_tensor_node",
            "/face_detector_node",
            "/r1/recorder_node",
            "/rviz",
        ],
        states={
            "/au_classifier_node": "active",
            "/event_camera_node": "inactive",
            "/event_tensor_node": "active",
            "/face_detector_node": "",
        },
        reports={
            "/au_classifier_node": (0, "ok"),
            "/event_camera_node": (0, "ok"),
            "/event_tensor_node": (1, "lost_packets +3: lower the event rate"),
            "/face_detector_node": (0, "ok"),
        },
        publishers={"/event_camera/events": 0, "/rgb/image_raw": 1},
        mismatches=["/event_camera/events: my_node wants reliable delivery of event_camera"],
    )
    checks = by_subject(graph_checks(seen))
    assert checks["graph"].finding == "6 nodes"
    assert checks["/au_classifier_node"] == Check("/au_classifier_node", "active, ok")
    assert checks["/rviz"].ok
    assert "ros2 lifecycle set /event_camera_node activate" in checks["/event_camera_node"].remedy
    assert checks["/event_tensor_node"].finding == "WARN"
    assert "lower the event rate" in checks["/event_tensor_node"].remedy
    assert checks["/face_detector_node"].finding == "does not answer"
    assert checks["/r1/recorder_node"].finding == "sends no diagnostics"
    assert not checks["/event_camera/events"].ok
    assert not checks["QoS"].ok


def test_two_nodes_of_one_name_are_a_problem():
    seen = Seen(nodes=["/viewer", "/viewer"])
    assert "/viewer runs twice" in by_subject(graph_checks(seen))["graph"].finding


def test_faces_may_be_found_without_an_rgb_camera():
    images, events = "/r1/rgb/image_raw", "/r1/event_image"
    seen = Seen(nodes=["/r1/face_detector_node"], publishers={images: 0, events: 1})
    assert by_subject(graph_checks(seen))[images].ok
    checks = by_subject(graph_checks(replace(seen, publishers={images: 0, events: 0})))
    assert not checks[images].ok and not checks[events].ok


def test_the_exit_code_tells_whether_there_is_a_problem(tmp_path, monkeypatch, capsys):
    file = tmp_path / "doctor.json"
    arguments = ["--no-graph", "--json", str(file)]
    monkeypatch.setattr(doctor, "ros_checks", lambda environment: [Check("ROS", "good")])
    monkeypatch.setattr(doctor, "machine_checks", lambda: [Check("disk", "[full]", "free some")])
    assert doctor.main(arguments) == 1
    report = json.loads(file.read_text())
    assert report["ok"] is False
    assert report["checks"][1] == {
        "subject": "disk", "finding": "[full]", "remedy": "free some", "ok": False
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "[full]" in printed and "free some" in printed and "1 problem" in printed
    monkeypatch.setattr(doctor, "machine_checks", lambda: [Check("disk", "empty")])
    assert doctor.main(arguments) == 0
    assert json.loads(file.read_text())["ok"] is True
