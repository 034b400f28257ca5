"""`./mx` says in one line what is missing, and takes nothing for whole that is not."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout, as far as a set-up looks at it."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copy(ROOT / "mx", folder / "mx")
    for package in ("mx_msgs", "underlay/hri_msgs", "underlay/event_camera_msgs"):
        shutil.copytree(ROOT / package, folder / package)
    return folder


@pytest.fixture
def mx(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script of the checkout as a module, in a shell without ROS."""
    for name in ("AMENT_PREFIX_PATH", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    loader = SourceFileLoader("mx_script", str(checkout / "mx"))
    spec = importlib.util.spec_from_loader("mx_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ./mx with nothing but this Python in its environment."""
    return subprocess.run(
        [sys.executable, str(checkout / "mx"), *arguments],
        env={"PATH": str(checkout / "no_commands"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What ./mx complains about, after seeing that this is all it says."""
    assert done.returncode == 2, done
    assert done.stderr.startswith("mx: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr[4:-1]


def fake_command(checkout: Path, name: str, script: str) -> None:
    folder = checkout / "no_commands"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def fake_tools(checkout: Path, cmake: str = "3.25.1") -> None:
    for name in ("gcc", "g++", "make"):
        fake_command(checkout, name, "exit 0")
    fake_command(checkout, "cmake", f"echo cmake version {cmake}")


def fake_ros(checkout: Path, *packages: str) -> str:
    """An installation prefix that holds packages in name only."""
    index = checkout / "ros" / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True, exist_ok=True)
    for package in packages:
        (index / package).touch()
    # A prefix inside the checkout would count as the checkout's own.
    prefix = checkout.parent / "opt_ros"
    (checkout / "ros").rename(prefix)
    (prefix / "lib" / "python3.12" / "site-packages" / "rclpy").mkdir(parents=True)
    return str(prefix)


def fake_venv(mx: ModuleType, script: str) -> None:
    """A `.venv` whose Python does as the script says, recorded as whole but empty."""
    mx.PYTHON.parent.mkdir(parents=True)
    mx.PYTHON.write_text(f"#!/bin/sh\n{script}\n")
    mx.PYTHON.chmod(0o755)
    mx.write_record(mx.VENV_RECORD, {"source": mx.venv_source(None), "installed": {}})
    mx.BUILD.mkdir(exist_ok=True)


def install(mx: ModuleType, *names: str) -> None:
    with mx.exclusive() as lock:
        mx.install_requirements(None, names, "", lock)


def test_help_lists_verbs() -> None:
    done = run(ROOT)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == run(ROOT, "--help").stdout
    assert "\n  test " in done.stdout and "\n  setup " in done.stdout


def test_every_verb_of_the_packages_is_listed(mx: ModuleType) -> None:
    for package in ("mx_capture", "mx_perception"):
        for file in (ROOT / package / package / "verbs").glob("[!_]*.py"):
            assert file.stem.rstrip("_") in mx.VERBS


def test_unknown_verb(checkout: Path) -> None:
    assert "unknown verb 'dmo'" in one_line(run(checkout, "dmo"))


def test_unknown_requirements(checkout: Path) -> None:
    assert "'torch'" in one_line(run(checkout, "setup", "torch"))


def test_missing_commands_are_named_with_the_remedy(checkout: Path) -> None:
    line = one_line(run(checkout, "setup"))
    assert "lacks cmake, make, gcc, g++" in line
    assert "apt install cmake make gcc g++" in line


def test_missing_compiler_alone(checkout: Path) -> None:
    fake_tools(checkout)
    (checkout / "no_commands" / "g++").unlink()
    assert "lacks g++:" in one_line(run(checkout, "setup"))


def test_old_cmake(checkout: Path) -> None:
    fake_tools(checkout, cmake="3.16.3")
    assert "cmake 3.16 is too old" in one_line(run(checkout, "setup"))


def test_missing_venv_module(checkout: Path, tmp_path: Path) -> None:
    fake_tools(checkout)
    block = "import sys\nsys.modules['ensurepip'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(block)
    line = one_line(run(checkout, "setup", PYTHONPATH=str(tmp_path)))
    assert f"python3.{sys.version_info.minor}-venv" in line


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 9, 1), (3, 14, 0)])
def test_unsupported_python(checkout: Path, version: tuple[int, ...]) -> None:
    code = f"import sys; sys.version_info = {version}; exec(open({str(checkout / 'mx')!r}).read())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("mx: Python 3.10 to 3.13 is needed, and this is 3.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("distro", ["foxy", "humble", "iron", ""])
def test_old_ros(checkout: Path, distro: str) -> None:
    prefix = fake_ros(checkout, "rclpy")
    line = one_line(run(checkout, "setup", AMENT_PREFIX_PATH=prefix, ROS_DISTRO=distro))
    assert "Jazzy or later" in line and distro in line


def test_python_of_the_sourced_ros_is_missing(mx: ModuleType, checkout: Path) -> None:
    ros = mx.Ros("jazzy", "3.99", ())
    with pytest.raises(mx.SetupError, match=r"python3\.99"):
        mx.chosen_interpreter(ros)


def test_sourced_ros_is_found(
    mx: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = fake_ros(checkout, "rclpy", "hri_msgs")
    # A prefix of the checkout, as an outer ./mx leaves it, does not make a ROS.
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{mx.VENV}:{prefix}")
    for distro in ("jazzy", "kilted", "lyrical", "rolling"):
        monkeypatch.setenv("ROS_DISTRO", distro)
        assert mx.sourced_ros() == mx.Ros(distro, "3.12", (prefix,))
    assert list(mx.packages(mx.sourced_ros())) == ["mx_msgs", "event_camera_msgs"]
    assert "hri_msgs" in mx.packages(None)


def test_full_disk(mx: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tools(checkout)
    monkeypatch.setenv("PATH", str(checkout / "no_commands"))
    monkeypatch.setattr(mx.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10**8))
    with pytest.raises(mx.SetupError, match="where 100 MB are free"):
        mx.check_machine(None, sys.executable, ["runtime"])


def test_machine_without_wheels(mx: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx.platform, "machine", lambda: "aarch64")
    with pytest.raises(mx.SetupError, match="source ROS 2 Jazzy or later"):
        mx.check_machine(None, sys.executable, [])


def test_second_set_up_waits_for_the_first(checkout: Path) -> None:
    (checkout / "build").mkdir()
    with (checkout / "build" / "mx.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, str(checkout / "mx"), "setup"]
        process = subprocess.Popen(command, env={"PATH": ""}, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "waiting for another ./mx" in process.stderr.readline()
    assert "this machine lacks" in process.stderr.read()
    assert process.wait(timeout=60) == 2


def test_foreign_venv_is_left_alone(checkout: Path) -> None:
    fake_tools(checkout)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "mine").touch()
    done = run(checkout, "setup")
    assert done.returncode == 2
    assert ".venv was not made by ./mx: move it elsewhere" in done.stderr
    assert (checkout / ".venv" / "mine").exists()


def test_venv_that_was_cut_short_is_made_again(mx: ModuleType, checkout: Path) -> None:
    fake_command(checkout, "python", 'mkdir -p "$3/bin" && touch "$3/bin/python"')
    mx.BUILD.mkdir()
    mx.VENV.mkdir()
    mx.write_record(mx.VENV_RECORD, {})
    (mx.VENV / "half").touch()
    with mx.exclusive() as lock:
        mx.make_venv(None, str(checkout / "no_commands" / "python"), lock)
    assert mx.venv_record(None)["installed"] == {}
    assert not (mx.VENV / "half").exists()


def test_only_what_is_missing_is_installed(mx: ModuleType) -> None:
    fake_venv(mx, 'echo "$@" >> "$VIRTUAL_ENV/calls"')
    assert mx.missing_requirements(None, ["build", "runtime"]) == ["build", "runtime"]
    install(mx, "build", "runtime")
    assert mx.missing_requirements(None, ["build", "runtime"]) == []
    assert mx.missing_requirements(None, ["build", "runtime", "test"]) == ["test"]
    install(mx, "test")
    # One pip for all of them, so that none takes another one's versions away.
    last = (mx.VENV / "calls").read_text().splitlines()[-1]
    assert last.count("-r ") == 3


def test_changed_requirements_are_noticed(mx: ModuleType) -> None:
    fake_venv(mx, "exit 0")
    install(mx, "runtime")
    file = mx.requirement_file("runtime")
    file.write_text(file.read_text() + "six==1.17.0\n")
    assert mx.missing_requirements(None, ["runtime"]) == ["runtime"]


def test_replaced_interpreter_is_noticed(mx: ModuleType) -> None:
    fake_venv(mx, "exit 0")
    install(mx, "runtime")
    mx.PYTHON.write_text("#!/bin/sh\nexit 1 # another one\n")
    assert not mx.venv_record(None)
    assert mx.missing_requirements(None, ["runtime"]) == ["runtime"]


def test_failed_pip_leaves_nothing_that_counts_as_installed(mx: ModuleType) -> None:
    fake_venv(mx, 'case "$*" in *test.txt*) exit 1;; esac')
    install(mx, "runtime")
    with pytest.raises(mx.SetupError, match="pip could not install"):
        install(mx, "test")
    assert mx.missing_requirements(None, ["runtime", "test"]) == ["runtime", "test"]


def test_full_disk_during_pip(mx: ModuleType) -> None:
    fake_venv(mx, "echo 'OSError: [Errno 28] No space left on device'; exit 1")
    with pytest.raises(mx.SetupError, match="no space is left on the disk"):
        install(mx, "runtime")


def test_package_that_pip_left_half_is_installed_again(mx: ModuleType) -> None:
    fake_venv(mx, "exit 0")
    site = mx.VENV / "lib" / "python3.12" / "site-packages"
    for name in ("whole", "half"):
        (site / f"{name}-1.dist-info").mkdir(parents=True)
        (site / f"{name}-1.dist-info" / "METADATA").touch()
    (site / "whole-1.dist-info" / "INSTALLER").touch()
    install(mx, "runtime")
    assert [folder.name for folder in site.iterdir()] == ["whole-1.dist-info"]


def test_stale_packages_are_those_whose_sources_changed(mx: ModuleType, checkout: Path) -> None:
    assert mx.stale_packages(None) == ["event_camera_msgs", "hri_msgs", "mx_msgs"]
    mx.INSTALL.mkdir()
    mx.write_record(mx.INSTALL_RECORD, {"packages": mx.package_sources(None), "paths": {}})
    assert mx.stale_packages(None) == []
    message = checkout / "mx_msgs" / "msg" / "Face.msg"
    message.write_text(message.read_text() + "float32 more\n")
    assert mx.stale_packages(None) == ["mx_msgs"]
    shutil.rmtree(checkout / "underlay" / "hri_msgs")
    assert mx.stale_packages(None) == ["hri_msgs", "mx_msgs"]
    # Other requirements of the build change everything, and so does another place.
    (checkout / "requirements" / "ros.txt").write_text("ros-rclpy==1.0.0\n")
    assert mx.stale_packages(None) == ["event_camera_msgs", "hri_msgs", "mx_msgs"]


def test_failed_build_leaves_only_whole_packages(mx: ModuleType, checkout: Path) -> None:
    fake_venv(mx, "exit 1")
    sources = mx.package_sources(None)
    mx.INSTALL.mkdir()
    half = mx.INSTALL / "mx_msgs"
    half.mkdir()
    mx.write_record(mx.INSTALL_RECORD, {"packages": {**sources, "mx_msgs": ""}, "paths": {}})
    with mx.exclusive() as lock, pytest.raises(mx.SetupError, match="colcon could not build"):
        mx.build_packages(None, lock)
    assert not half.exists()
    assert mx.stale_packages(None) == ["mx_msgs"]


def test_spoilt_record_counts_as_none(mx: ModuleType) -> None:
    mx.INSTALL.mkdir()
    mx.INSTALL_RECORD.write_text('{"packages": {"mx_m')
    assert mx.read_record(mx.INSTALL_RECORD) == {}
    mx.INSTALL_RECORD.write_text("[]")
    assert mx.read_record(mx.INSTALL_RECORD) == {}


def test_run_environment(mx: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.INSTALL.mkdir()
    paths = {"PYTHONPATH": ["/a", "/b"], "LD_LIBRARY_PATH": []}
    mx.write_record(mx.INSTALL_RECORD, {"packages": {}, "paths": paths})
    monkeypatch.setenv("PYTHONPATH", f"{mx.INSTALL}/old:/mine")
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    environment = mx.run_environment(None)
    assert environment["PYTHONPATH"] == "/a:/b:/mine"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert mx.run_environment(None)["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


def test_bad_input_of_a_verb_is_one_line(tmp_path: Path) -> None:
    module = "from mx_capture.errors import MxError\ndef main(argv):\n    raise MxError(argv[0])\n"
    (tmp_path / "failing_verb.py").write_text(module)
    done = subprocess.run(
        [sys.executable, "-m", "mx_capture.verbs", "failing_verb", "no such session"],
        env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert one_line(done) == "no such session"


def test_ctrl_c_ends_a_verb_that_a_script_started_in_the_background(tmp_path: Path) -> None:
    module = "import time\ndef main(argv):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    (tmp_path / "waiting_verb.py").write_text(module)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mx_capture.verbs", "waiting_verb"],
            env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"},
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
