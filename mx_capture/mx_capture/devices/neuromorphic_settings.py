"""A camera's settings as the library `neuromorphic-drivers` takes them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from mx_capture.config import Config, setting
from mx_capture.errors import MxError

_LIMIT_PERIOD_US = 200
"""The longest over which a Prophesee sensor counts its events to limit them."""


@dataclass(frozen=True)
class Model:
    """A camera that is known, and what its library lets us set."""

    name: str
    """As the library calls it."""
    module: str
    """Of the library."""
    vendor: str
    """USB vendor id."""
    raw: bool
    """The camera itself sends EVT3, which is passed on as it is."""


MODELS = {
    "evk4": Model("Prophesee EVK4", "prophesee_evk4", "04b4", True),
    "evk3": Model("Prophesee EVK3 HD", "prophesee_evk3_hd", "04b4", True),
    "davis346": Model("iniVation DAVIS 346", "inivation_davis346", "152a", False),
    "dvxplorer": Model("iniVation DVXplorer", "inivation_dvxplorer", "152a", False),
}


@dataclass(frozen=True)
class NeuromorphicConfig(Config):
    """Which camera to open, and how it is set."""

    device: str = setting(
        "any", "Kind of event camera (backend neuromorphic)", choices=("any", *MODELS)
    )
    serial: str = setting("", "Its serial number; empty: the first one found")
    biases: str = setting("", 'Biases that differ from the defaults, "diff_on=20 diff_off=-10"')
    roi: str = setting("", 'Only these pixels send events, "x y width height"; empty: all')
    max_event_rate: int = setting(
        0, "Events a second at most, the sensor drops the others; 0: no limit", minimum=0
    )
    trigger_in: bool = setting(False, "Report the edges at the trigger input")
    grey_frames: bool = setting(False, "Publish the grey frames of a DAVIS346 as rgb/image_raw")
    packet_us: int = setting(
        1_000, "Length of a packet, in microseconds of host time", minimum=100, maximum=100_000
    )


def library_configuration(model: Model, config: NeuromorphicConfig, library: ModuleType) -> Any:
    """The library's own configuration for this model.

    Raises MxError for a bias that the camera lacks, and for settings that it cannot follow.
    """
    module = getattr(library, model.module)
    values: dict[str, Any] = {"biases": _biases(model, config.biases, module)}
    fields = {field.name for field in dataclasses.fields(module.Configuration)}
    properties = module.Properties()
    if config.roi:
        x, y, width, height = _roi(config.roi, int(properties.width), int(properties.height))
        if "region_of_interest" in fields:
            values["region_of_interest"] = module.RegionOfInterest(x, y, width, height)
        elif {"x_mask", "y_mask"} <= fields:
            values["x_mask"] = _mask(int(properties.width), x, width)
            # The library counts rows of masks from below.
            below = int(properties.height) - y - height
            values["y_mask"] = _mask(int(properties.height), below, height)
        else:
            raise MxError(f"roi={config.roi!r}: the {model.name} cannot be cropped; leave it empty")
    if config.max_event_rate:
        if "rate_limiter" not in fields:
            raise MxError(
                f"max_event_rate={config.max_event_rate}: the {model.name} has no limiter; set 0"
            )
        allowed = max(1, round(config.max_event_rate * _LIMIT_PERIOD_US / 1e6))
        values["rate_limiter"] = module.RateLimiter(_LIMIT_PERIOD_US, allowed)
    if "enable_external_trigger" in fields:
        values["enable_external_trigger"] = config.trigger_in
    return module.Configuration(**values)


def check_bounds(model: Model, text: str, bounds: Any) -> None:
    """Raise MxError for a bias outside what the open camera allows."""
    for name, value in _pairs(text):
        allowed = getattr(bounds, name, None)
        if allowed is None or allowed.minimum == allowed.maximum:
            continue
        if not allowed.minimum <= value <= allowed.maximum:
            raise MxError(
                f"bias {name}={value} is outside {allowed.minimum} to {allowed.maximum} "
                f"of this {model.name}"
            )


def _biases(model: Model, text: str, module: Any) -> Any:
    known = [field.name for field in dataclasses.fields(module.Biases)]
    values: dict[str, Any] = {}
    for name, value in _pairs(text):
        if name not in known:
            raise MxError(f"the {model.name} has no bias {name!r}; it has {', '.join(known)}")
        default = getattr(module.Biases(), name)
        values[name] = bool(value) if isinstance(default, bool) else value
    return module.Biases(**values)


def _pairs(text: str) -> list[tuple[str, int]]:
    pairs = []
    for word in text.replace(",", " ").split():
        name, _, value = word.partition("=")
        try:
            pairs.append((name, int(value, 0)))
        except ValueError as error:
            raise MxError(f"biases: {word!r} is not name=integer") from error
    return pairs


def _roi(text: str, width: int, height: int) -> tuple[int, int, int, int]:
    try:
        x, y, w, h = (int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise MxError(f"roi={text!r} is not four integers: x y width height") from error
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise MxError(f"roi={text!r} does not lie on the sensor of {width}x{height}")
    return x, y, w, h


def _mask(size: int, start: int, length: int) -> tuple[int, ...]:
    """Words of 64 bits, one bit for a row or column; 1 keeps it silent."""
    silent = np.ones(size, bool)
    silent[start : start + length] = False
    bits = np.zeros(-(-size // 64) * 64, bool)
    bits[:size] = silent
    return tuple(np.packbits(bits, bitorder="little").view("<u8").tolist())
