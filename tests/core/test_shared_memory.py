"""What killed processes leave in shared memory, made of files like those of Fast DDS."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time

import pytest
from mx_capture.shared_memory import (
    abandoned_bytes,
    abandoned_ports_avoided,
    remove_abandoned_segments,
    remove_half_made_ports,
)

SEGMENTS = ("fastdds_00446e9026aa789c", "fastdds_04d1dfacb4ffba8e")
PORTS = ("fastdds_port31413", "fastdds_port31415")


@pytest.fixture
def folder(tmp_path):
    """A process owns the first segment and the first port; the owner of the others has gone."""
    with contextlib.ExitStack() as owned:
        for name in (*SEGMENTS, *PORTS):
            (tmp_path / name).write_bytes(bytes(100_000))
            lock = tmp_path / f"{name}_el"
            lock.touch()
            os.utime(lock, (0, 0))
            if name in (SEGMENTS[0], PORTS[0]):
                fcntl.flock(owned.enter_context(lock.open()), fcntl.LOCK_EX)
        (tmp_path / "fastdds_port7400_sl").touch()  # of many readers
        yield tmp_path


def names(folder):
    return {path.name for path in folder.iterdir()}


def is_locked(path):
    code = f"import fcntl; fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0


def test_only_segments_without_an_owner_are_removed(folder):
    before = names(folder)
    assert abandoned_bytes(folder) == (2, pytest.approx(200_000, rel=0.05))
    assert remove_abandoned_segments(folder) == 1
    assert before - names(folder) == {SEGMENTS[1], f"{SEGMENTS[1]}_el"}
    assert remove_abandoned_segments(folder) == 0


def test_a_segment_that_is_being_made_stays(folder):
    now = time.time()
    os.utime(folder / f"{SEGMENTS[1]}_el", (now, now))
    assert remove_abandoned_segments(folder) == 0


@pytest.mark.parametrize("lock_is_there", [True, False])
def test_an_abandoned_port_is_passed_by_once_and_then_removed(folder, lock_is_there):
    lock = folder / f"{PORTS[1]}_el"
    mutex = folder / f"sem.{PORTS[1]}_mutex"
    mutex.touch()
    if not lock_is_there:
        lock.unlink()
    for expected in (set(), {PORTS[1], lock.name, mutex.name}):
        with abandoned_ports_avoided(folder):
            before = names(folder)
            assert lock.name in before
            assert is_locked(lock)
        assert before - names(folder) == expected
    assert is_locked(folder / f"{PORTS[0]}_el")


def test_the_number_of_an_abandoned_port_is_taken_meanwhile(folder):
    def bind(port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", int(port.removeprefix("fastdds_port")) - 1))

    with abandoned_ports_avoided(folder):
        bind(PORTS[0])
        with pytest.raises(OSError, match="in use"):
            bind(PORTS[1])
    bind(PORTS[1])


def test_ports_of_many_readers_are_left_alone(folder):
    (folder / "fastdds_port7400").touch()
    before = names(folder)
    with abandoned_ports_avoided(folder):
        assert names(folder) == before


def test_what_was_made_by_half_is_removed(tmp_path):
    names = ("fastdds_port7411", "fastdds_port7413", "fastdds_port7415", "fastdds_port7411_el")
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / names[1]).write_bytes(b"made")
    (tmp_path / names[2]).touch()
    assert remove_half_made_ports(tmp_path) == [names[0]]
    assert {file.name for file in tmp_path.iterdir()} == set(names[1:])
