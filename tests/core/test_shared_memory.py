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
    remove_abandoned_ports,
    remove_abandoned_segments,
    remove_half_made_ports,
)

from mx_capture import shared_memory

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


def test_an_abandoned_port_is_removed_after_ten_seconds(folder, monkeypatch):
    before = names(folder)
    remove_abandoned_ports(folder)
    monkeypatch.setattr(shared_memory, "_GIVEN_UP_S", 5.0)
    remove_abandoned_ports(folder)
    assert names(folder) == before
    monkeypatch.setattr(shared_memory, "_GIVEN_UP_S", -1.0)
    remove_abandoned_ports(folder)
    assert before - names(folder) == {PORTS[1], f"{PORTS[1]}_el"}
    assert is_locked(folder / f"{PORTS[0]}_el")


@pytest.mark.parametrize("lock_is_there", [True, False])
def test_the_number_of_an_abandoned_port_is_taken_meanwhile(folder, lock_is_there):
    def is_free(port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                udp.bind(("127.0.0.1", int(port.removeprefix("fastdds_port")) - 1))
            except OSError:
                return False
            return True

    if not lock_is_there:
        (folder / f"{PORTS[1]}_el").unlink()
    before = names(folder)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owner:
        owner.bind(("127.0.0.1", int(PORTS[0].removeprefix("fastdds_port")) - 1))
        with abandoned_ports_avoided(folder):
            assert not is_free(PORTS[1])
    assert is_free(PORTS[1])
    assert names(folder) == before


def test_names_that_are_no_ports_do_no_harm(folder):
    for number in ("0", "70000", "\N{SUPERSCRIPT TWO}"):
        (folder / f"fastdds_port{number}").touch()
    with abandoned_ports_avoided(folder):
        assert remove_half_made_ports(folder) == []


def test_what_was_made_by_half_is_removed(tmp_path):
    made = (2).to_bytes(4, "little") + bytes(100)
    contents = {7411: b"", 7413: made, 7415: b"", 7417: bytes(104)}
    for number, content in contents.items():
        path = tmp_path / f"fastdds_port{number}"
        path.write_bytes(content)
        if number != 7415:
            os.utime(path, (0, 0))
    (tmp_path / "fastdds_port7411_el").touch()
    removed = {"fastdds_port7411", "fastdds_port7417"}
    before = names(tmp_path)
    assert set(remove_half_made_ports(tmp_path)) == removed
    assert before - names(tmp_path) == removed
