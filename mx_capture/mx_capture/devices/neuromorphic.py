"""Event cameras through the library `neuromorphic-drivers`: EVK4, EVK3 HD, DAVIS346, DVXplorer.

Prophesee cameras send EVT3, which is passed on unchanged. The events of iniVation cameras come
decoded and are encoded as EVT3, trigger edges included, so that one path serves all cameras.
"""

from __future__ import annotations

import importlib
import struct
import time
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from mx_capture.devices.listing import UDEV_REMEDY, udev_rule
from mx_capture.devices.neuromorphic_settings import (
    MODELS,
    Model,
    NeuromorphicConfig,
    check_bounds,
    library_configuration,
)
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

_WAIT_S = 0.001  # for the library: as long as a packet should last at least
_SILENT_S = 5.0  # even a still scene makes a camera send its time now and then
_READ_S = 0.2
_TEMPERATURE_S = 10.0


def load_library() -> ModuleType:
    """The package neuromorphic_drivers. Raises MxError where it is not installed."""
    try:
        return importlib.import_module("neuromorphic_drivers")
    except ImportError as error:
        raise MxError(
            "event cameras need the package neuromorphic-drivers: run `./mx setup devices`"
        ) from error


def open_neuromorphic(config: NeuromorphicConfig) -> NeuromorphicStream:
    """Open the camera that `config` names. Raises MxError with the reason and the remedy."""
    library = load_library()
    found = [item for item in _listed(library) if _model(item.name.value) is not None]
    wanted = MODELS.get(config.device)
    matching = [item for item in found if wanted is None or item.name.value == wanted.name]
    if config.serial:
        matching = [item for item in matching if item.serial in (config.serial, None)]
    if not matching:
        raise MxError(_nothing_matches(config, found))
    model = _model(matching[0].name.value)
    assert model is not None
    settings = library_configuration(model, config, library)
    try:
        device = library.open(
            configuration=settings,
            iterator_timeout=_WAIT_S,
            raw=model.raw,
            serial=config.serial or None,
            # Its stamps are those of the first of the USB packets that it merges.
            iterator_maximum_raw_packets=1,
        )
    except (RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise MxError(_reason(model, matching[0].serial, str(error))) from error
    try:
        check_bounds(model, config.biases, device.biases_bounds())
        return NeuromorphicStream(model, config, device)
    except BaseException:
        device.close()
        raise


class NeuromorphicStream:
    """An open event camera; a `Stream`."""

    def __init__(self, model: Model, config: NeuromorphicConfig, device: Any) -> None:
        # Other cameras start without waiting for the compiler.
        from mx_capture.codecs import Evt3Encoder

        properties = device.properties()
        self._model, self._config, self._device = model, config, device
        self._height, self._width = int(properties.height), int(properties.width)
        serial = str(device.serial())
        self._facts = {"serial": serial, "connection": str(device.connection().value)}
        self._measured_at = -_TEMPERATURE_S
        self._encoder = Evt3Encoder(self._height, self._width)
        self._held = bytearray()
        self._held_since_ns = self._held_until_ns = 0
        self._frames: list[Frame] = []
        self._base_ns: int | None = None
        self._seq = 0
        self._heard = time.monotonic()
        self.name = f"{model.name} {serial}"
        self.event_size: tuple[int, int] | None = (self._height, self._width)
        greys = config.grey_frames and model.module == "inivation_davis346"
        self.frame_size: tuple[int, int] | None = self.event_size if greys else None
        self.counters: Counter[str] = Counter(usb_overflows=0)

    def read(self) -> list[Packet | Frame]:
        """A packet of at least `packet_us`, and the frames of that time."""
        packets: list[Packet] = []
        end = time.monotonic() + _READ_S
        while not packets and not self._frames and time.monotonic() < end:
            status, data = self._next()
            if status.ring is not None:
                self._heard = time.monotonic()
                self._take(status.ring, data, packets)
            now_ns = round(status.system_time * 1e9)
            if self._held and now_ns - self._held_since_ns >= 1000 * self._config.packet_us:
                packets.append(self._packet())
        if time.monotonic() - self._heard > _SILENT_S:
            raise MxError(f"{self.name} has sent nothing for {_SILENT_S:.0f} s; plug it in again")
        self._measure()
        frames, self._frames = self._frames, []
        return [*packets, *frames]

    def facts(self) -> Mapping[str, str]:
        """Serial number, connection, and the sensor's temperature where it has one."""
        return dict(self._facts)

    def close(self) -> None:
        self._device.close()

    def _next(self) -> tuple[Any, Any]:
        try:
            return next(self._device)  # type: ignore[no-any-return]
        except (RuntimeError, StopIteration) as error:
            raise MxError(f"{self.name} is gone ({error})") from error

    def _take(self, ring: Any, data: Any, packets: list[Packet]) -> None:
        """Hold what has come; what was held goes to `packets` where data were lost behind it."""
        if data is None:
            return
        raw = self._model.raw
        lost = ring.overflow_indices if raw else data.polarity_events_overflow_indices
        if lost is not None and len(lost):
            self.counters["usb_overflows"] += len(lost)
            if self._held:
                packets.append(self._packet())
            self._seq += 1  # readers see the loss as a missing packet
        stamp_ns = round(ring.system_time * 1e9)
        words = bytes(data) if raw else self._encoded(data)
        if not self._held:
            self._held_since_ns = stamp_ns
        self._held_until_ns = stamp_ns
        self._held += words
        if self.frame_size is not None:
            self._take_frames(data.frames, ring, stamp_ns)

    def _measure(self) -> None:
        """Ask for the temperature, here because the library serves one thread only."""
        if self._model.module != "prophesee_evk4":
            return
        if time.monotonic() - self._measured_at < _TEMPERATURE_S:
            return
        self._measured_at = time.monotonic()
        try:
            self._facts["temperature_celsius"] = f"{self._device.temperature_celsius():.1f}"
        except RuntimeError as error:
            self._facts["temperature_celsius"] = f"unknown: {error}"

    def _packet(self) -> Packet:
        events = bytes(self._held)
        self._held.clear()
        packet = Packet(
            # When the last of it arrived, so that no event is younger than its packet.
            stamp_ns=self._held_until_ns,
            seq=self._seq,
            encoding="evt3",
            height=self._height,
            width=self._width,
            # As metavision_driver has it; with frames, the time at which the sensor's was 0.
            time_base=self._base_ns or 0,
            events=events,
        )
        self._seq += 1
        return packet

    def _encoded(self, data: Any) -> bytes:
        """Decoded events and trigger edges as EVT3."""
        listed = data.polarity_events
        events = np.empty(0 if listed is None else len(listed), EVENT_DTYPE)
        if listed is not None:
            for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
                events[ours] = listed[theirs]
        edges = data.trigger_events if self._config.trigger_in else None
        if edges is None or not len(edges):
            return self._encoder.encode(events)
        places = np.searchsorted(events["t"], edges["t"].astype(np.int64))
        parts, start = [], 0
        for edge, place in zip(edges, places.tolist(), strict=True):
            parts += [self._encoder.encode(events[start:place]), trigger_words(edge)]
            start = place
        parts.append(self._encoder.encode(events[start:]))
        return b"".join(parts)

    def _take_frames(self, frames: Any, ring: Any, stamp_ns: int) -> None:
        if self._base_ns is None:
            self._base_ns = stamp_ns - 1000 * int(ring.current_t)
        for frame in frames:
            if frame.exposure_start_t is None or frame.exposure_end_t is None:
                middle_us = (frame.start_t + frame.t) // 2
            else:
                middle_us = (frame.exposure_start_t + frame.exposure_end_t) // 2
            grey = cv2.convertScaleAbs(frame.pixels, alpha=1 / 256)
            self._frames.append(Frame(self._base_ns + 1000 * int(middle_us), grey))


def trigger_words(edge: Any) -> bytes:
    """TIME_HIGH, TIME_LOW and EXT_TRIGGER of a trigger event of the library."""
    t_us, names = int(edge["t"]), edge.dtype.names
    rising = int(edge["rising" if "rising" in names else "polarity"]) != 0
    channel = int(edge["id"]) & 0xF if "id" in names else 0
    high, low = 0x8000 | (t_us >> 12 & 0xFFF), 0x6000 | (t_us & 0xFFF)
    return struct.pack("<3H", high, low, 0xA000 | channel << 8 | int(rising))


def _listed(library: ModuleType) -> list[Any]:
    try:
        return list(library.list_devices())
    except RuntimeError as error:
        raise MxError(
            f"no USB devices can be listed here ({error}); is there a USB bus?"
        ) from error


def _model(name: str) -> Model | None:
    return next((model for model in MODELS.values() if model.name == name), None)


def _nothing_matches(config: NeuromorphicConfig, found: list[Any]) -> str:
    wanted = "event camera" if config.device == "any" else MODELS[config.device].name
    if config.serial:
        wanted += f" with serial {config.serial}"
    if not found:
        return f"no {wanted} is plugged in; connect it to a USB 3 port, then run `./mx devices`"
    listed = ", ".join(f"{item.name.value} {item.serial or item.error}" for item in found)
    return f"no {wanted} is plugged in; found {listed}"


def _reason(model: Model, serial: str | None, error: str) -> str:
    """One line for an error of the library, which has a single kind of exception."""
    name, lower = f"{model.name} {serial or ''}".strip(), error.lower()
    if "access" in lower or "permission" in lower:
        return f"no permission for {name}: {UDEV_REMEDY.format(rule=udev_rule(model.vendor))}"
    if "already used" in lower or "busy" in lower:
        return f"{name} is used by another program; end that one"
    if "not found" in lower or "no device" in lower or "no such" in lower:
        return f"{name} is no longer plugged in; connect it to a USB 3 port"
    return f"{name} does not open: {error}; check biases and plug it in again"
