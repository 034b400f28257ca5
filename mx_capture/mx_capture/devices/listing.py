"""What is plugged in, whether it may be opened, and what to do if not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mx_capture.errors import MxError

EVENT_CAMERAS = {
    ("04b4", "00f4"): "Prophesee EVK3 HD",
    ("04b4", "00f5"): "Prophesee EVK4",
    ("152a", "841a"): "iniVation DAVIS 346",
    ("152a", "8419"): "iniVation DVXplorer",
    ("31f7", "0003"): "CenturyArks SilkyEvCam",
}
"""USB ids of known event cameras; others of these vendors are listed by their product name."""
_VENDORS = {"152a": "iniVation", "31f7": "CenturyArks"}
UDEV_FILE = "/etc/udev/rules.d/65-event-cameras.rules"
UDEV_REMEDY = (
    f"echo '{{rule}}' | sudo tee -a {UDEV_FILE} && sudo udevadm control --reload "
    "&& sudo udevadm trigger, then plug it in again"
)


@dataclass(frozen=True)
class FoundCamera:
    """A camera on this machine. `problem` and `remedy` are empty when it may be opened."""

    kind: str
    """event or rgb"""
    name: str
    device: str
    """What to open: its place on the USB bus, or the file of a video device."""
    serial: str
    problem: str = ""
    remedy: str = ""


def udev_rule(vendor: str) -> str:
    """The rule that lets every user of this machine open the cameras of a USB vendor."""
    return f'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{vendor}", MODE="0666"'


def event_cameras(root: Path = Path("/")) -> list[FoundCamera]:
    """Event cameras on the USB bus, by their ids."""
    found = []
    for folder in sorted((root / "sys/bus/usb/devices").glob("*")):
        vendor, product = _text(folder / "idVendor"), _text(folder / "idProduct")
        name = EVENT_CAMERAS.get((vendor, product))
        if name is None and vendor in _VENDORS:
            name = f"{_VENDORS[vendor]} {_text(folder / 'product')}".strip()
        if name is None:
            continue
        bus, number = _text(folder / "busnum"), _text(folder / "devnum")
        place = Path(f"dev/bus/usb/{bus.zfill(3)}/{number.zfill(3)}")
        problem = remedy = ""
        if not os.access(root / place, os.R_OK | os.W_OK):
            problem = "no permission"
            remedy = UDEV_REMEDY.format(rule=udev_rule(vendor))
        elif float(_text(folder / "speed") or 5000) < 5000:
            problem, remedy = "not at USB 3 speed", "use a blue USB 3 port and the camera's cable"
        serial = _text(folder / "serial")
        found.append(FoundCamera("event", name, f"/{place}", serial, problem, remedy))
    return found


def rgb_cameras(root: Path = Path("/")) -> list[FoundCamera]:
    """Video devices that capture."""
    found = []
    folders = (root / "sys/class/video4linux").glob("video*")
    for folder in sorted(folders, key=lambda path: (len(path.name), path.name)):
        if _text(folder / "index") not in ("", "0"):
            continue  # the second file of a UVC camera holds metadata only
        file = root / "dev" / folder.name
        serial = _text(folder / "device" / ".." / "serial")
        problem, remedy = video_problem(file, root)
        found.append(
            FoundCamera(
                "rgb", _text(folder / "name"), f"/dev/{folder.name}", serial, problem, remedy
            )
        )
    return found


def video_problem(file: Path, root: Path = Path("/")) -> tuple[str, str]:
    """Why a video device cannot be opened, and the remedy; both empty if it can."""
    if not file.exists():
        return "does not exist", "plug it in, or choose one that `./mx devices` lists"
    if not os.access(file, os.R_OK | os.W_OK):
        return "no permission", "sudo usermod -aG video $USER, then log in again"
    if holder := next(holders(file, root), None):
        return f"used by {holder}", "end that program"
    return "", ""


def holders(file: Path, root: Path = Path("/")) -> Iterator[str]:
    """Other programs of this user that hold a file open, as `name (process id)`."""
    target = file.resolve()
    for link in (root / "proc").glob("[0-9]*/fd/*"):
        try:
            held = Path(os.readlink(link))
        except OSError:
            continue  # it has ended, or is another user's
        process = link.parents[1]
        if held == target and process.name != str(os.getpid()):
            yield f"{_text(process / 'comm')} ({process.name})"


def with_library(cameras: list[FoundCamera]) -> list[FoundCamera]:
    """The same cameras with the serial numbers that only the library reads, if it is there."""
    from mx_capture.devices.neuromorphic import load_library

    try:
        listed = load_library().list_devices()
    except (MxError, RuntimeError):
        return cameras
    serials: dict[str, list[str]] = {}
    for item in listed:
        if item.serial:
            serials.setdefault(item.name.value, []).append(item.serial)
    return [
        replace(camera, serial=known.pop(0))
        if not camera.serial and (known := serials.get(camera.name))
        else camera
        for camera in cameras
    ]


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
