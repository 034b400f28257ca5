import argparse
from dataclasses import dataclass

import pytest
from mx_capture.config import Config, setting
from mx_capture.errors import MxError


@dataclass(frozen=True)
class Sensor(Config):
    hop_us: int = setting(10_000, "Hop in microseconds", minimum=1_000, maximum=100_000)
    threshold: float = setting(0.2, "Contrast threshold", minimum=0.0)
    mode: str = setting("shared", "Clock", choices=("shared", "arrival"))
    loop: bool = setting(True, "Start over")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"hop_us": 999}, "hop_us=999"),
        ({"hop_us": 100_001}, "hop_us=100001"),
        ({"hop_us": 1.5}, "hop_us=1.5"),
        ({"hop_us": True}, "hop_us=True"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"threshold": -0.1}, "threshold=-0.1"),
        ({"mode": "guess"}, "shared, arrival"),
        ({"loop": 1}, "loop=1"),
    ],
)
def test_wrong_values_are_named(values, named):
    with pytest.raises(MxError, match=named):
        Sensor(**values)


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(MxError, match=r"'hop'.*hop_us, threshold, mode, loop"):
        Sensor.from_mapping({"hop": 1})


def test_an_integer_is_a_float_but_not_the_reverse():
    assert Sensor(threshold=1).threshold == 1.0
    assert type(Sensor(threshold=1).threshold) is float


def test_command_line_options_derive_from_the_fields():
    parser = argparse.ArgumentParser()
    Sensor.add_arguments(parser)
    assert Sensor.from_arguments(parser.parse_args([])) == Sensor()
    parsed = parser.parse_args(["--hop-us", "2000", "--no-loop", "--mode", "arrival"])
    assert Sensor.from_arguments(parsed) == Sensor(hop_us=2000, loop=False, mode="arrival")
    assert "Hop in microseconds (default: 10000)" in parser.format_help()
