"""What the simulator gives: its speed, events of each Action Unit, how many faces are found.

`./mx bench simulator --speed`, `--events` and `--faces 500` print JSON; `--picture FILE` and
`--event-picture FILE` draw what docs/simulator.md shows. Without any of these: `--speed`.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.faces.detector import FaceDetector, FaceDetectorConfig
from mx_capture.simulator.action_units import ACTION_UNITS
from mx_capture.simulator.config import SENSOR_SIZES, SimulationConfig
from mx_capture.simulator.event_sensor import EventSensor, EventSensorConfig, draw_sensor
from mx_capture.simulator.head import UNIT_ORDER, Pose
from mx_capture.simulator.rgb_sensor import RgbSensor, RgbSensorConfig
from mx_capture.simulator.scene import Scene
from mx_capture.simulator.script import Expression
from mx_capture.simulator.source import LUMINANCE, SimulatedSource
from mx_capture.stream import Packet

_FIRST_PERSON = 50_000
_CLIP_S = 0.4
_STEP_S = 0.008
_CLEAN = EventSensorConfig(shot_hz=0.0, leak_hz=0.0, hot_share=0.0)
_PLAIN = SimulationConfig(protocol="neutral", distractors=0.0, face_share=0.71)


def measure_speed(sensor: str, seconds: float) -> dict[str, float]:
    """CPU seconds of one session of so many seconds, after compilation."""
    list(SimulatedSource(SimulationConfig(sensor=sensor, duration_s=0.1)))
    source = SimulatedSource(
        SimulationConfig(sensor=sensor, duration_s=seconds, protocol="study", lighting="random")
    )
    wall, cpu = time.monotonic(), time.process_time()
    size = sum(len(item.events) for item in source if isinstance(item, Packet))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return {
        "session_s": seconds,
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "session_s_per_cpu_minute": round(seconds / cpu * 60, 1),
        "event_mb_per_s": round(size / 1e6 / seconds, 3),
    }


def measure_events(people: int, intensity: float) -> dict[str, Any]:
    """Events in 0.4 s of a face 128 px high at threshold 0.2: each unit, sway, and noise alone.

    Units at this intensity (AU45 at 1) rise in 100 ms, hold for 50 and fall in 150. Medians and
    quartiles over so many people.
    """
    counts: dict[str, list[int]] = {}
    for number in range(people):
        seed = _FIRST_PERSON + number
        scene = Scene(replace(_PLAIN, seed=seed))
        for unit in ACTION_UNITS:
            level = 1.0 if unit == 45 else intensity
            expression = Expression((unit,), (level,), 0.05, 0.15, 0.2, 0.35)
            poses = [_pose_of(expression, t) for t in _times()]
            counts.setdefault(f"AU{unit:02d}", []).append(_count(scene, _CLEAN, poses))
        swaying = Scene(replace(_PLAIN, seed=seed, distractors=1.0))
        poses = [swaying.script.pose(t) for t in _times()]
        for pose in poses:
            pose.units[:] = 0
            pose.gaze[:] = 0
        counts.setdefault("sway", []).append(_count(scene, _CLEAN, poses))
        noise = replace(draw_sensor("240x180", seed), threshold_on=0.2, threshold_off=0.2)
        still = [Pose()] * len(poses)
        counts.setdefault("noise", []).append(_count(scene, noise, still))
    table = {
        name: [round(float(np.percentile(values, q))) for q in (25, 50, 75)]
        for name, values in counts.items()
    }
    return {"people": people, "intensity": intensity, "quartiles": table}


def measure_faces(people: int) -> dict[str, Any]:
    """How many neutral faces BlazeFace finds in frames of the RGB sensor at 240x180."""
    detector = FaceDetector(FaceDetectorConfig())
    scores, missed = [], []
    for seed in range(_FIRST_PERSON, _FIRST_PERSON + people):
        found = detector.detect(_photograph(Scene(replace(_PLAIN, seed=seed, face_share=0.0))))
        scores.append(max((float(face.score) for face in found), default=0.0))
        if not found:
            missed.append(seed)
    return {
        "people": people,
        "found": people - len(missed),
        "missed_seeds": missed,
        "median_score": round(float(np.median(scores)), 3),
    }


def draw_picture(path: Path, people: int = 9) -> None:
    """Save a sheet of people, neutral and with some Action Units."""
    acts: list[dict[int, float]] = [
        {},
        {1: 0.9, 2: 0.9},
        {4: 1.0, 7: 0.5},
        {6: 0.8, 12: 0.9, 25: 0.4},
        {9: 1.0, 10: 0.4},
        {15: 0.9, 17: 0.6},
        {1: 0.8, 2: 0.8, 5: 0.9, 26: 0.7, 25: 0.4},
        {45: 1.0},
    ]
    titles = []
    for act in acts:
        shown = [f"AU{unit:02d}" for unit in act if unit != 25]  # 25: lips part, drawn only.
        titles.append(_title("+".join(shown) or "neutral", 192))
    rows = [np.concatenate(titles, 1)]
    for seed in range(_FIRST_PERSON, _FIRST_PERSON + people):
        scene = Scene(replace(_PLAIN, seed=seed, sensor="640x480", face_share=0.6))
        row = []
        for act in acts:
            pose = scene.script.pose(0.0)
            for unit, level in act.items():
                pose.units[UNIT_ORDER.index(unit)] = level
            frame = _develop(scene, scene.draw(pose))
            middle = int(scene.camera.centre_x_px)
            left = int(np.clip(middle - 225, 0, frame.shape[1] - 450))
            crop = frame[15:465, left : left + 450]
            row.append(cv2.resize(crop, (192, 192), interpolation=cv2.INTER_AREA))
        rows.append(np.concatenate(row, 1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def _title(text: str, width: int) -> np.ndarray:
    """(22, width, 3) uint8: words on white."""
    strip = np.full((22, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


def draw_events(path: Path, seed: int = _FIRST_PERSON + 5) -> None:
    """Save what the onset of each Action Unit looks like: ON events red, OFF events blue."""
    scene = Scene(replace(_PLAIN, seed=seed))
    height, width = scene.config.size
    tiles = []
    for unit in ACTION_UNITS:
        expression = Expression((unit,), (1.0 if unit == 45 else 0.4,), 0.05, 0.15, 0.2, 0.35)
        camera = EventSensor(_CLEAN, height, width, seed)
        tile = np.full((height, width, 3), 237, np.uint8)
        for number, t in enumerate(_times()[: round(0.16 / _STEP_S)]):
            image = scene.draw(_pose_of(expression, t)) @ LUMINANCE
            events = camera.see(image, number * _STEP_S * 1e6)
            colours = np.where(events["p"][:, None] == 1, (200, 60, 30), (30, 60, 200))
            tile[events["y"], events["x"]] = colours
        left = int(np.clip(scene.camera.centre_x_px - height / 2, 0, width - height))
        square = np.ascontiguousarray(tile[:, left : left + height])
        cv2.putText(square, f"AU{unit:02d}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
        tiles.append(square)
    rows = [np.concatenate(tiles[i : i + 5], 1) for i in range(0, len(tiles), 5)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def main(argv: list[str] | None = None) -> int:
    """Measure and print JSON."""
    parser = bench_parser(
        "simulator",
        "Measure the speed of the simulator, and look at what it makes.",
        "--events --picture people.png",
    )
    parser.add_argument("--speed", action="store_true", help="speed of every sensor preset")
    parser.add_argument("--events", action="store_true", help="events of each Action Unit")
    parser.add_argument("--faces", type=int, metavar="N", help="detection of N people")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="sheet of people")
    parser.add_argument("--event-picture", type=Path, metavar="FILE", help="sheet of events")
    options = parser.parse_args(argv)
    results: dict[str, Any] = {}
    asked = options.events or options.faces or options.picture or options.event_picture
    if options.speed or not asked:
        results["speed"] = {sensor: measure_speed(sensor, 10.0) for sensor in SENSOR_SIZES}
    if options.events:
        results["events"] = measure_events(20, 0.3)
    if options.faces:
        results["faces"] = measure_faces(options.faces)
    if options.picture:
        draw_picture(options.picture)
    if options.event_picture:
        draw_events(options.event_picture)
    if results:
        print(json.dumps(results, indent=1))
        write_json(results, options.json)
    return 0


def _times() -> np.ndarray:
    return np.arange(0, _CLIP_S + _STEP_S / 2, _STEP_S)


def _pose_of(expression: Expression, t: float) -> Pose:
    pose = Pose()
    for unit, level in zip(expression.units, expression.intensity, strict=True):
        pose.units[UNIT_ORDER.index(unit)] = level * expression.level(t)
    return pose


def _count(scene: Scene, config: EventSensorConfig, poses: list[Pose]) -> int:
    """Events while the head takes these poses, one each step."""
    height, width = scene.config.size
    camera = EventSensor(config, height, width, scene.config.seed)
    return sum(
        len(camera.see(scene.draw(pose) @ LUMINANCE, number * _STEP_S * 1e6))
        for number, pose in enumerate(poses)
    )


def _photograph(scene: Scene) -> np.ndarray:
    return _develop(scene, scene.render(0.0))


def _develop(scene: Scene, image: np.ndarray) -> np.ndarray:
    camera = RgbSensor(RgbSensorConfig(), scene.config.seed, scene.script.light.lux)
    camera.settle(image)
    camera.gather(image, 1.0)
    return camera.develop(0)


if __name__ == "__main__":
    raise SystemExit(main())
