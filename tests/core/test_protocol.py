"""Capture sessions by prompts."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from mx_capture.errors import MxError
from mx_capture.recording.protocol import read_protocol, run_protocol

import mx_capture


@dataclass
class StoppedClock:
    time_ns: int = 1_000

    def now_ns(self):
        return self.time_ns

    def sleep(self, seconds):
        self.time_ns += round(seconds * 1e9)


@dataclass
class Screen:
    cues: list = field(default_factory=list)

    def show(self, cue):
        self.cues.append(cue)


def write(path, **values):
    path.write_text(yaml.safe_dump(values))
    return path


def test_prompts_become_labels(tmp_path):
    path = write(
        tmp_path / "p.yaml",
        name="two",
        rest_s=1,
        condition="micro",
        prompts=[
            {"text": "smile", "au": [6, 12], "intensity": [0.2, 0.3], "hold_s": 2},
            {"text": "keep still", "hold_s": 0.5},
            {"text": "frown", "au": [4], "rest_s": 0, "condition": "macro"},
        ],
    )
    protocol = read_protocol(path)
    assert protocol.duration_s == pytest.approx(3 + 1.5 + 2)
    screen = Screen()
    smile, frown = run_protocol(protocol, "s01", StoppedClock(), screen.show)
    assert (smile.au, smile.intensity, smile.condition) == ((6, 12), (0.2, 0.3), "micro")
    assert (smile.onset_ns, smile.apex_ns, smile.offset_ns) == (1_000, 1_000_001_000, 2_000_001_000)
    assert smile.source == "protocol" and smile.subject == "s01"
    assert (frown.onset_ns, frown.offset_ns) == (4_500_001_000, 6_500_001_000)
    assert (frown.intensity, frown.condition) == ((0.5,), "macro")
    assert [cue.prompt.text for cue in screen.cues if cue.resting][:1] == ["smile"]
    assert screen.cues[0].left_s == pytest.approx(2) and screen.cues[0].of == 3
    coming = {(cue.number, cue.coming) for cue in screen.cues if cue.resting}
    assert coming == {(1, "keep still"), (2, "frown")}


def test_the_first_prompt_is_announced(tmp_path):
    path = write(tmp_path / "p.yaml", prompts=[{"text": "smile", "au": [12], "rest_s": 0}])
    screen = Screen()
    clock = StoppedClock()
    [smile] = run_protocol(read_protocol(path), "s01", clock, screen.show, lead_in_s=3.0)
    assert smile.onset_ns == 3_000_001_000
    first = screen.cues[0]
    assert (first.number, first.resting, first.coming) == (0, True, "smile")
    assert first.left_s == pytest.approx(3)


def test_repeat_and_shuffle_are_reproducible(tmp_path):
    prompts = [{"text": str(n), "au": [n]} for n in range(1, 8)]
    path = write(tmp_path / "p.yaml", name="n", repeat=3, shuffle=4, prompts=prompts)
    shown = [prompt.text for prompt in read_protocol(path).prompts]
    assert shown == [prompt.text for prompt in read_protocol(path).prompts]
    assert len(shown) == 21 and sorted(shown[:7]) == sorted(shown[7:14])
    assert shown[:7] != shown[7:14]


def test_the_shipped_protocol_reads():
    folder = Path(mx_capture.__file__).parent / "data"
    assert len(read_protocol(folder / "protocol_facs.yaml").prompts) == 38


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "at least one prompt"),
        ({"prompts": [{"au": [1]}]}, "prompt 1 has no entry 'text'"),
        ({"prompts": [{"text": "x", "au": [1], "intensity": [0.1, 0.2]}]}, "1 Action Units with 2"),
        ({"prompts": [{"text": "x", "au": [123]}]}, "AU123"),
        ({"prompts": [{"text": "x", "au": [1], "intensity": [2]}]}, "outside 0 to 1"),
        ({"prompts": [{"text": "x", "hold_s": -1}]}, "hold_s=-1"),
        ({"prompts": [{"text": "x", "colour": 1}]}, "unknown entry 'colour'"),
        ({"repeat": 0}, "repeat=0"),
        ({"speed": 1}, "unknown entry 'speed'"),
    ],
)
def test_wrong_protocols_are_named(tmp_path, change, message):
    path = write(tmp_path / "p.yaml", **{"name": "x", "prompts": [{"text": "x"}], **change})
    with pytest.raises(MxError, match=message) as caught:
        read_protocol(path)
    assert "p.yaml" in str(caught.value)
