"""`report.html`: one file that explains itself, with all pictures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from mx_perception.action_units import ACTION_UNITS, au_name
from mx_perception.evaluation import plots
from mx_perception.evaluation.markup import (
    bullets,
    median,
    note,
    number,
    percent,
    percentiles,
    picture,
    table,
)
from mx_perception.evaluation.session import SessionResult
from mx_perception.evaluation.words import summary

_TRACES = 3
_EXAMPLES = 3
_PARTS = {"all": "everything", "action_units": "Action Units", "reconstruction": "frames"}


def page(report: Mapping[str, Any], results: Sequence[SessionResult]) -> str:
    """The whole document. `results` are those of `report`, with their pictures and timing."""
    sections = [
        ("In short", bullets(summary(report))),
        ("Left out, and why", _left_out(report["left_out"])),
        ("Action Units", _action_units(report, results)),
        ("Micro-expressions in the stream", _spotting(report["spotting"])),
        ("Frames from events", _frames(report, results)),
        ("Quality of the recordings", _capture(report["capture"])),
        ("Time needed", _timing(results)),
        ("Sessions", _sessions(report["per_session"])),
        ("Weights", _weights(report["models"])),
    ]
    body = "\n".join(
        f"<section><h2>{title}</h2>\n{content}</section>" for title, content in sections if content
    )
    shell = files("mx_perception").joinpath("data/report.html").read_text(encoding="utf-8")
    return shell.replace("<!-- content -->", body)


def _action_units(report: Mapping[str, Any], results: Sequence[SessionResult]) -> str:
    found = report["action_units"]
    if found is None:
        return ""
    best = found["by_evidence"] or found["by_scores"]
    rows = [
        [
            label,
            part["clips"],
            percent(part["accuracy"]),
            percent(part["chance"]),
            percent(part["majority"]),
            number(part["uf1"], 3),
            number(part["uar"], 3),
        ]
        for label, part in (
            ("by the classifier's evidence", found["by_evidence"]),
            ("by the highest score", found["by_scores"]),
        )
        if part is not None
    ]
    head = ["class of a clip", "clips", "right", "guessing", "most frequent class", "UF1", "UAR"]
    text = table(head, rows)
    if found["by_evidence"] is not None:
        text += note(
            "The network names a clip by evidence of its own, which topics do not carry; the "
            "highest score is what a robot has to go by."
        )
    if best["absent"]:
        text += note(f"UF1 and UAR need every class; no clip shows {', '.join(best['absent'])}.")
    text += picture(
        plots.confusion(best["confusion"], found["classes"]),
        "Which Action Unit was shown (row) and which was named (column). Right answers lie on the "
        "diagonal; numbers are clips, and the darker a field, the larger its share of the row. "
        + ", ".join(f"{au_name(au)} {name}" for au, name in ACTION_UNITS.items())
        + ".",
    )
    groups = {name: found[f"by_{name}"] for name in ("lighting", "intensity", "sensor")}
    text += picture(
        plots.accuracy_bars(groups),
        "Clips named right per condition. Intensity is that of the expression, 0 to 1. Whiskers "
        "are the 95% interval that so few clips leave open; a grey line is what always naming the "
        "most frequent class would reach.",
    )
    hops = found["hops"]
    if hops["mean_f1"] is not None:
        text += picture(
            plots.hop_bars(hops["units"]),
            "Scores of single hops at a threshold of 0.5, per Action Unit, beside a guess that "
            "always says yes.",
        )
    shown = sorted(
        (r for r in results if len(r.pictures.get("labels", ())) and len(r.pictures["scores"])),
        key=lambda r: (-len(r.pictures["labels"]), r.figures["session"]),
    )[:_TRACES]
    if shown:
        parts = [
            (
                r.figures["session"],
                r.pictures["scores"],
                r.pictures["labels"],
                r.pictures["spotted"],
                r.figures["hop_us"],
            )
            for r in shown
        ]
        text += picture(
            plots.traces(parts),
            "The stream of scores over the labels. A good score turns dark inside its orange frame "
            "and stays white outside. A green line is a micro-expression that was told, from onset "
            "to offset; grey is time without a face.",
        )
    return text


def _spotting(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    rows = [_spotting_row("all", found)]
    rows += [_spotting_row(light, part) for light, part in found["by_lighting"].items()]
    return table(
        ["light", "labelled", "found", "hits", "F1", "STRS", "false a minute",
         "onset error (ms)", "apex error (ms)", "told after onset (ms)"],
        rows,
    ) + note(
        "A hit overlaps its label by half (IoU of at least 0.5); STRS also asks for the right "
        "Action Unit. A false alarm overlaps no labelled expression. Delays are medians, with the "
        "95th percentile in brackets."
    )  # fmt: skip


def _spotting_row(name: str, part: Mapping[str, Any]) -> list[Any]:
    return [
        name,
        part["labels"],
        part["found"],
        part["hits"],
        number(part["f1_spotting"], 3),
        number(part["strs"], 3),
        number(part["false_alarms_per_minute"], 2),
        median(part["onset_error_ms"]),
        median(part["apex_error_ms"]),
        median(part["latency_ms"]),
    ]


def _frames(report: Mapping[str, Any], results: Sequence[SessionResult]) -> str:
    found = report["reconstruction"]
    if found is None:
        return ""
    rows = []
    for name, part in {"all": found["all"], **found["by_age"]}.items():
        rows.append(
            [
                name,
                part["frames"],
                *(number(part[m]["psnr_motion"], 2) for m in ("network", "copy", "integration")),
                number(part["gain_over_copy_db"], 2, sign=True),
                number(part["gain_over_integration_db"], 2, sign=True),
                *(number(part[m]["psnr"], 2) for m in ("network", "copy")),
                *(number(part[m]["ssim"], 4) for m in ("network", "copy")),
            ]
        )
    head = ["age of the old frame", "frames", "reconstruction", "kept", "events added",
            "gain over kept", "over added", "whole: reconstruction", "kept",
            "SSIM: reconstruction", "kept"]  # fmt: skip
    text = table(head, rows) + note(
        "PSNR in dB; the first three columns and the gains only where something moved. 'Kept' "
        "shows the old frame unchanged; 'events added' raises or lowers each of its pixels by the "
        "events there, without any network."
    )
    bars = "Higher is closer to what the camera saw. The scale does not begin at 0."
    text += picture(plots.gain_bars(found["by_age"], "age of the old frame"), bars)
    if len(found["by_lighting"]) > 1:
        noise = " In the dark the camera's own noise, which nobody can foretell, hides the gain."
        text += picture(plots.gain_bars(found["by_lighting"], "light"), bars + noise)
    if len(found["by_sensor"]) > 1:
        text += picture(plots.gain_bars(found["by_sensor"], "event camera"), bars)
    examples = _examples(results)
    if examples:
        text += "<h3>Best and worst cases</h3>" + picture(
            plots.filmstrip(examples),
            "Rows are ordered by the gain over the old frame where something moved, best first, "
            "worst last. Events: white brighter, black darker. Errors: black is none; the maps of "
            "a row share one scale. The last column is what the network itself holds for likely.",
        )
    return text


def _examples(
    results: Sequence[SessionResult],
) -> list[tuple[str, float, Mapping[str, np.ndarray]]]:
    """The best and the worst gains of all sessions, best first."""
    found: list[tuple[str, float, Mapping[str, np.ndarray]]] = []
    for result in results:
        index = 0
        while f"example_{index}_gain" in result.pictures:
            start = f"example_{index}_"
            pictures = {
                name.removeprefix(start): value
                for name, value in result.pictures.items()
                if name.startswith(start)
            }
            gain = float(pictures.pop("gain"))
            found.append((str(result.figures["session"]), gain, pictures))
            index += 1
    found.sort(key=lambda item: (-item[1], item[0]))
    return found if len(found) <= 2 * _EXAMPLES else found[:_EXAMPLES] + found[-_EXAMPLES:]


def _capture(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    rates = found["events_per_s"]
    rows = [
        ["event packets lost", f"{found['lost_packets']:,} of {found['packets']:,}"],
        ["RGB frames lost", f"{found['lost_frames']:,} of {found['frames']:,}"],
        ["RGB frames with a face", percent(found["frames_with_a_face"])],
        ["events a second, median session", f"{rates['median']:,.0f}" if rates else "-"],
        ["events a second, highest", f"{rates['highest']:,.0f}" if rates else "-"],
        ["largest drift between the clocks (ppm)", number(found["largest_drift_ppm"], 1)],
        ["silences too long to bridge", found["gaps"]],
        ["steps back in time", found["time_jumps"]],
    ]
    return table(["", ""], rows)


def _timing(results: Sequence[SessionResult]) -> str:
    timed = [r.timing for r in results if r.timing]
    if not timed:
        return ""
    steps = [ms for part in timed for ms in part["step_ms"]]
    frames = [ms for part in timed for ms in part["frame_ms"]]
    rows = [
        [name, *percentiles(values)]
        for name, values in (
            ("a hop of Action Units, as recordings run it (ms)", steps),
            ("a reconstructed frame (ms)", frames),
        )
        if values
    ]
    cpu = sum(part["cpu_s"] for part in timed)
    speed = sum(part["seconds"] for part in timed) / cpu if cpu else 0.0
    times = table(["one thread", "median", "99th percentile"], rows) if rows else ""
    return times + note(
        f"Everything together ran at {speed:.1f} times real time on a core. Times depend on the "
        "machine and on what else it does, so they are not in report.json."
    )


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for figures in sessions:
        clips = figures.get("clips", ())
        right = sum(_named(clip) == clip["au"] for clip in clips)
        frames = [r for r in figures.get("reconstruction", ()) if r["network"][2] is not None]
        gain = np.mean([r["network"][2] - r["copy"][2] for r in frames]) if frames else None
        rows.append(
            [
                figures["session"],
                figures["status"],
                figures.get("subject") or "-",
                figures.get("lighting", "-"),
                number(figures.get("seconds"), 1),
                f"{right} of {len(clips)}" if clips else "-",
                number(gain, 2, sign=True),
            ]
        )
    head = ["session", "", "subject", "light", "s", "clips right", "gain over kept (dB)"]
    return f"<details><summary>{len(rows)} sessions</summary>{table(head, rows)}</details>"


def _weights(models: Mapping[str, Mapping[str, str]]) -> str:
    rows = [
        [_PARTS.get(kind, kind), model["name"], model["sha256"][:12]]
        for kind, model in models.items()
    ]
    return table(["of", "folder", "begin of its SHA-256"], rows, wide=True)


def _named(clip: Mapping[str, Any]) -> int | None:
    """The class of a clip; topics tell scores only."""
    found: int | None = clip["scores"] if clip["evidence"] is None else clip["evidence"]
    return found


def _left_out(parts: Sequence[Mapping[str, str]]) -> str:
    rows = [[p["session"], _PARTS.get(p["part"], p["part"]), p["reason"]] for p in parts]
    return table(["session", "what", "why"], rows, wide=True) if rows else ""
