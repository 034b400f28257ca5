"""What the suite needs from this machine: resources, clock, cameras and models."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import mx_capture.data
from mx_capture.devices.listing import event_cameras, rgb_cameras, with_library
from mx_capture.devices.neuromorphic import load_library
from mx_capture.errors import MxError
from mx_capture.shared_memory import abandoned_bytes

from mx_perception.checkpoint import (
    AU_KIND,
    DEFAULT_AU,
    DEFAULT_RECONSTRUCTION,
    RECONSTRUCTION_KIND,
    load_checkpoint,
)
from mx_perception.doctor.check import Check

_CORES, _MEMORY_GB, _DISK_GB, _SHM_MB = 2, 1.5, 5.0, 300
_CONTAINER = "of a container: --shm-size=1g"
_RECEIVE_BYTES = 1 << 20
"""What all topics of the graph take when a new node is told of them at once; of 4 MiB at most."""
_CLOCK_S = 0.01
_COMMAND_S = 5.0
_OWN_SCALING = {"intel_pstate", "amd-pstate", "amd-pstate-epp"}
"""Drivers whose governor "powersave" still speeds up under load."""


def machine_checks(root: Path = Path("/"), folder: Path = Path(".")) -> Iterator[Check]:
    """Look at the machine whose files are under `root`; recordings would go to `folder`."""
    yield _processor(root)
    yield from _memory(root)
    yield _disk(folder)
    yield _shared_memory(root / "dev/shm")
    yield from _sockets(root)
    yield clock_check(command_output)
    yield from _cameras(root)
    yield from _networks()
    yield _face_models(Path(mx_capture.data.__file__).parent)


def _processor(root: Path) -> Check:
    cores = len(os.sched_getaffinity(0))
    finding = f"{cores} cores, {platform.machine()}, Python {platform.python_version()}"
    if cores < _CORES:
        return Check("processor", finding, f"give the live graph {_CORES} cores")
    scaling = root / "sys/devices/system/cpu/cpu0/cpufreq"
    governor, driver = _text(scaling / "scaling_governor"), _text(scaling / "scaling_driver")
    if governor == "powersave" and driver not in _OWN_SCALING:
        remedy = "sudo cpupower frequency-set -g performance"
        return Check("processor", f"{finding}, governor powersave", remedy)
    return Check("processor", f"{finding}, governor {governor}" if governor else finding)


def _memory(root: Path) -> Iterator[Check]:
    found = re.search(r"MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"))
    if found:
        free_gb = int(found[1]) / 1e6
        remedy = "end other programs; the live graph takes 1.2 GB" if free_gb < _MEMORY_GB else ""
        yield Check("memory", f"{free_gb:.1f} GB available", remedy)


def _disk(folder: Path) -> Check:
    free_gb = shutil.disk_usage(folder).free / 1e9
    remedy = "free some, or record to another disk" if free_gb < _DISK_GB else ""
    return Check("disk", f"{free_gb:.0f} GB free for recordings in {folder.resolve()}", remedy)


def _shared_memory(folder: Path) -> Check:
    if not os.access(folder, os.R_OK | os.W_OK):
        remedy = f"sudo mount -t tmpfs -o size=1G tmpfs {folder} ({_CONTAINER})"
        return Check("shared memory", f"{folder} is not writable", remedy)
    free_mb = shutil.disk_usage(folder).free / 1e6
    segments = sum(1 for _ in folder.glob("fastdds_*")) + sum(1 for _ in folder.glob("fastrtps_*"))
    finding = f"{free_mb:.0f} MB free in {folder}, {segments} files of Fast DDS"
    count, size = abandoned_bytes(folder)
    if size > _SHM_MB * 1e6:
        finding += f"; {count} of {size / 1e6:.0f} MB were left behind by killed nodes"
        remedy = "start any node, which removes it, or `fastdds shm clean`"
        return Check("shared memory", finding, remedy)
    if free_mb < _SHM_MB:
        remedy = f"every node takes 32 MB: sudo mount -o remount,size=1G {folder} ({_CONTAINER})"
        return Check("shared memory", finding, remedy)
    return Check("shared memory", finding)


def _sockets(root: Path) -> Iterator[Check]:
    most = _text(root / "proc/sys/net/core/rmem_max").strip()
    if most.isdigit():
        finding = f"{int(most) / 1024:.0f} kB wait in a socket at most"
        if int(most) >= _RECEIVE_BYTES:
            yield Check("sockets", finding)
            return
        remedy = "sudo sysctl -w net.core.rmem_max=4194304"
        yield Check("sockets", f"{finding}; nodes find each other seconds later", remedy)


def clock_check(output_of: Callable[..., str]) -> Check:
    """How far the clock is off, as far as a tool tells; `output_of(*command)` runs one."""
    tracking = output_of("chronyc", "tracking")
    found = re.search(r"System time\s*:\s*([\d.]+) seconds (slow|fast)", tracking)
    if found:
        offset_s = float(found[1])
        remedy = "sudo chronyc makestep" if offset_s > _CLOCK_S else ""
        return Check("clock", f"{offset_s * 1e3:.3f} ms {found[2]} of NTP time (chrony)", remedy)
    peers = output_of("ntpq", "-pn")
    if found := re.search(r"^\*(?:\S+\s+){8}(-?[\d.]+)", peers, re.MULTILINE):
        offset_s = abs(float(found[1])) / 1e3
        remedy = "sudo systemctl restart ntp" if offset_s > _CLOCK_S else ""
        return Check("clock", f"{offset_s * 1e3:.3f} ms off NTP time (ntpd)", remedy)
    answer = output_of("timedatectl", "show", "-p", "NTPSynchronized", "--value").strip()
    if answer == "yes":
        return Check("clock", "kept by NTP")
    if answer == "no":
        return Check("clock", "not kept by NTP", "sudo timedatectl set-ntp true")
    return Check("clock", "no NTP tool tells its offset; it matters with several machines only")


def command_output(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _cameras(root: Path) -> Iterator[Check]:
    events = with_library(event_cameras(root))
    for camera in [*events, *rgb_cameras(root)]:
        name = f"{camera.name} {camera.serial}".strip()
        state = camera.problem or "ok"
        yield Check(f"{camera.kind} camera", f"{name} at {camera.device}: {state}", camera.remedy)
    if not events:
        yield Check("event camera", "none plugged in")
    try:
        load_library()
        yield Check("camera library", "neuromorphic-drivers is installed")
    except MxError as error:
        # Only those who have such a camera need it; metavision_driver is another way.
        yield Check("camera library", str(error), "./mx setup devices" if events else "")


def _networks() -> Iterator[Check]:
    for kind, folder in ((AU_KIND, DEFAULT_AU), (RECONSTRUCTION_KIND, DEFAULT_RECONSTRUCTION)):
        try:
            load_checkpoint(folder, kind)
        except MxError as error:
            yield Check(f"{kind} network", str(error), f"git checkout -- {folder}")
        else:
            yield Check(f"{kind} network", f"{folder.name} is whole")


def _face_models(folder: Path) -> Check:
    sums = dict(line.split()[::-1] for line in _text(folder / "SHA256SUMS").splitlines())
    broken = [name for name, digest in sums.items() if _sha256(folder / name) != digest]
    if broken or not sums:
        finding = f"{', '.join(broken) or 'SHA256SUMS'} in {folder} is not as it was shipped"
        return Check("face models", finding, f"git checkout -- {folder}")
    return Check("face models", f"{len(sums)} files have their SHA-256")


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
