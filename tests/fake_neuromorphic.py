"""Stands in for the package neuromorphic_drivers: its interface, and the bytes of its cameras.

Only what the suite uses; names, fields, errors and dtypes as in version 0.18.2.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from mx_capture.codecs import Evt3Encoder
from mx_capture.stream import EVENT_DTYPE

POLARITY_DTYPE = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]
USB_PACKET_US = 500
EVENTS_PER_PACKET = 20


class Name(enum.Enum):
    INIVATION_DAVIS346 = "iniVation DAVIS 346"
    INIVATION_DVXPLORER = "iniVation DVXplorer"
    PROPHESEE_EVK3_HD = "Prophesee EVK3 HD"
    PROPHESEE_EVK4 = "Prophesee EVK4"


class Connection(enum.Enum):
    USB_SUPER = "USB 3.0 SuperSpeed (5.0 Gb/s)"


@dataclasses.dataclass
class Bounds:
    minimum: int = 0
    maximum: int = 0


@dataclasses.dataclass
class RateLimiter:
    reference_period_us: int
    maximum_events_per_period: int


@dataclasses.dataclass(frozen=True)
class Region:
    left: int = 0
    top: int = 0
    width: int = 346
    height: int = 260


def _module(width: int, height: int, biases: dict[str, Any], settings: dict[str, Any]) -> Any:
    def make(name: str, fields: dict[str, Any]) -> Any:
        listed = [
            (key, type(value), dataclasses.field(default=value)) for key, value in fields.items()
        ]
        return dataclasses.make_dataclass(name, listed)

    made = make("Biases", biases)
    with_biases = [("biases", made, dataclasses.field(default_factory=made))]
    others = [(key, Any, dataclasses.field(default=value)) for key, value in settings.items()]
    return SimpleNamespace(
        Biases=made,
        Configuration=dataclasses.make_dataclass("Configuration", [*with_biases, *others]),
        Properties=make("Properties", {"width": width, "height": height}),
        RateLimiter=RateLimiter,
        RegionOfInterest=Region,
        biases_bounds=make("BiasesBounds", dict.fromkeys(biases)),
    )


_MASKS = {"x_mask": (0,) * 20, "y_mask": (0,) * 12, "rate_limiter": None}


@dataclasses.dataclass
class FakeDevice:
    """A camera on the bus."""

    name: Name
    serial: str
    plugged: bool = True
    busy: bool = False
    allowed: bool = True
    opened: int = 0
    configuration: Any = None
    trigger_every: int = 0
    """A rising edge comes with each so-manieth USB packet."""
    overflow_at: int = -1
    """The USB packet before which some were lost."""


class FakeLibrary(SimpleNamespace):
    """Put it into `sys.modules`; `devices` is what is plugged in."""

    def __init__(self, *devices: FakeDevice) -> None:
        super().__init__(
            devices=list(devices),
            prophesee_evk4=_module(
                1280,
                720,
                {"diff_on": 0, "diff_off": 0, "refr": 0},
                {**_MASKS, "enable_external_trigger": True},
            ),
            prophesee_evk3_hd=_module(1280, 720, {"diff_on": 0x73, "diff_off": 0x34}, _MASKS),
            inivation_davis346=_module(
                346, 260, {"diffbn": 1063}, {"region_of_interest": Region()}
            ),
            inivation_dvxplorer=_module(640, 480, {"on": 8, "off": 8, "nrst": False}, {}),
        )

    def list_devices(self) -> list[Any]:
        return [
            SimpleNamespace(
                name=device.name,
                connection=Connection.USB_SUPER,
                serial=device.serial if device.allowed else None,
                error=None if device.allowed else "Access denied (insufficient permissions)",
            )
            for device in self.devices
            if device.plugged
        ]

    def open(
        self,
        configuration: Any = None,
        iterator_timeout: float | None = None,
        raw: bool = False,
        serial: str | None = None,
        iterator_maximum_raw_packets: int = 64,
    ) -> FakeOpen:
        module = next(m for m in vars(self).values() if isinstance(configuration, _type(m)))
        for device in self.devices:
            if not device.plugged or self.module(device) is not module:
                continue
            if not device.allowed:
                raise RuntimeError("Access denied (insufficient permissions)")
            if serial not in (None, device.serial):
                continue
            if device.busy:
                raise RuntimeError("the device is already used by another program")
            device.opened += 1
            device.configuration = configuration
            return FakeOpen(self, device, module, raw, iterator_timeout or 0.0)
        raise RuntimeError("device with serial not found" if serial else "no device found")

    def module(self, device: FakeDevice) -> Any:
        return getattr(self, device.name.name.lower())


def _type(module: Any) -> Any:
    return getattr(module, "Configuration", ())


class FakeOpen:
    """An open camera: a dot that runs along a diagonal, 500 us a USB packet, in real time."""

    def __init__(
        self, library: FakeLibrary, device: FakeDevice, module: Any, raw: bool, timeout: float
    ) -> None:
        self._library, self._device, self._module = library, device, module
        self._raw, self._timeout = raw, timeout
        size = module.Properties()
        self._encoder = Evt3Encoder(size.height, size.width)
        self._height, self._width = size.height, size.width
        self._began, self._count, self._open = time.monotonic(), 0, True

    def name(self) -> Name:
        return self._device.name

    def serial(self) -> str:
        return self._device.serial

    def connection(self) -> Connection:
        return Connection.USB_SUPER

    def properties(self) -> Any:
        return self._module.Properties()

    def biases_bounds(self) -> Any:
        names = [field.name for field in dataclasses.fields(self._module.Biases)]
        return SimpleNamespace(**{name: Bounds(-100, 2000) for name in names})

    def temperature_celsius(self) -> float:
        return 41.25

    def close(self) -> None:
        self._open = False

    def __next__(self) -> tuple[Any, Any]:
        if not self._open:
            raise RuntimeError("__next__ called after __exit__")
        if not self._device.plugged:
            raise RuntimeError("No such device (it may have been disconnected)")
        due = self._began + self._count * USB_PACKET_US * 1e-6
        wait = due - time.monotonic()
        if wait > self._timeout:
            time.sleep(self._timeout)
            return SimpleNamespace(system_time=time.time(), ring=None), None
        time.sleep(max(wait, 0))
        number, self._count = self._count, self._count + 1
        events = dot(number, self._height, self._width)
        edge = self._device.trigger_every and number % self._device.trigger_every == 0
        lost = [0] if number == self._device.overflow_at else None
        now_us = (number + 1) * USB_PACKET_US
        ring = SimpleNamespace(
            system_time=time.time(), overflow_indices=lost, current_t=now_us, dropped_packets=0
        )
        status = SimpleNamespace(system_time=time.time(), ring=ring)
        if self._raw:
            data: Any = self._encoder.encode(events)
            if edge:
                data += np.array([0xA001], "<u2").tobytes()
            return status, data
        listed = np.empty(len(events), POLARITY_DTYPE)
        for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
            listed[ours] = events[theirs]
        edges = np.array([(int(events["t"][3]), 1)], [("t", "<u8"), ("polarity", "u1")])
        frame = SimpleNamespace(
            start_t=now_us - 400,
            exposure_start_t=now_us - 300,
            exposure_end_t=now_us - 100,
            t=now_us,
            pixels=np.full((self._height, self._width), 128 << 8, np.uint16),
        )
        return status, SimpleNamespace(
            polarity_events=listed,
            trigger_events=edges if edge else None,
            polarity_events_overflow_indices=None if lost is None else np.array(lost),
            frames=[frame] if number % 50 == 0 else [],
        )


def dot(number: int, height: int, width: int) -> np.ndarray:
    """The events of a USB packet: one every 25 us, ON, along a diagonal."""
    events = np.zeros(EVENTS_PER_PACKET, EVENT_DTYPE)
    index = number * EVENTS_PER_PACKET + np.arange(EVENTS_PER_PACKET)
    events["t"] = index * (USB_PACKET_US // EVENTS_PER_PACKET)
    events["x"], events["y"], events["p"] = index % width, index % height, 1
    return events
