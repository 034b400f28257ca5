"""The report's pictures, drawn by matplotlib, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mx_perception.action_units import ACTION_UNITS, AU_NUMBERS, au_name
from mx_perception.conditions import EDGES, Conditions
from mx_perception.evaluation.frames import UNCERTAINTY_SCALE

BLUE, ORANGE, GREY, RED, GREEN = "#2f6db3", "#d9822b", "#9aa5b1", "#b3362f", "#2e9e4f"
COLOURS = {"network": BLUE, "copy": GREY, "integration": ORANGE}
NAMES = {
    "network": "reconstruction",
    "copy": "old frame, kept",
    "integration": "old frame + events added up",
}
LONGEST_TRACE_S = 12.0
STRIP = ("key", "events", "network", "target", "error_copy", "error_network")
STRIP_TITLES = {
    "key": "old frame",
    "events": "events since then",
    "network": "reconstruction",
    "target": "what the camera saw",
    "error_copy": "error of the old frame",
    "error_network": "error of the reconstruction",
    "uncertainty": "error it expects",
}
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Rows are what was shown, columns what was named; shares of a row, counts written in.

    A column beyond the classes counts clips without a face.
    """
    matrix = np.array(counts)
    if not matrix[:, len(classes) :].any():
        matrix = matrix[:, : len(classes)]
    names = [*classes, "no face"][: matrix.shape[1]]
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure((7.6, 5.6))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            dark = shares[row, column] > 0.55
            axes.text(
                column,
                row,
                str(number),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(classes)), [_in_words(name) for name in classes])
    axes.set_xlabel("named")
    axes.set_ylabel("shown")
    return _png(figure)


def accuracy_bars(groups: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bytes:
    """Share of clips named right, per condition, with its 95% interval, chance and majority."""
    shown = {name: found for name, found in groups.items() if found}
    figure = Figure((3.1 * max(len(shown), 1) + 0.4, 3.0))
    for index, (name, found) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), index + 1)
        values = [100 * (part["accuracy"] or 0.0) for part in found.values()]
        bounds = [_wilson(part["accuracy"] or 0.0, part["clips"]) for part in found.values()]
        below = [value - 100 * low for value, (low, _) in zip(values, bounds, strict=True)]
        above = [100 * high - value for value, (_, high) in zip(values, bounds, strict=True)]
        axes.bar(range(len(found)), values, color=BLUE, width=0.65)
        axes.errorbar(
            range(len(found)), values, [below, above], fmt="none", ecolor="black", linewidth=0.8
        )
        for place, (value, high, part) in enumerate(
            zip(values, above, found.values(), strict=True)
        ):
            if part["majority"] < 1:  # of several classes
                axes.hlines(100 * part["majority"], place - 0.33, place + 0.33, GREY, linewidth=2)
            axes.text(
                place,
                value + high + 1.5,
                f"{value:.0f}%\nof {part['clips']}",
                ha="center",
                fontsize=7,
            )
        axes.axhline(100 / 15, color=RED, linewidth=1, linestyle="--")
        axes.text(len(found) - 0.45, 100 / 15, "guessing", color=RED, fontsize=7, va="center")
        axes.set_xticks(range(len(found)), list(found), rotation=35, ha="right")
        axes.set_ylim(0, 125)
        axes.set_yticks(range(0, 101, 20))
        axes.set_title(f"by {name}")
        axes.set_ylabel("clips named right (%)" if index == 0 else "")
    return _png(figure)


def condition_curves(conditions: Conditions) -> bytes:
    """Share of clips named right in each bin of each condition, with its 95% interval."""
    columns = max((len(conditions) + 2) // 3, 1)
    figure = Figure((13, 9))
    for index, (name, bins) in enumerate(conditions.items()):
        axes = figure.add_subplot(3, columns, index + 1)
        values = np.array([100 * b["accuracy"] for b in bins])
        bounds = 100 * np.array([_wilson(b["accuracy"], b["clips"]) for b in bins]).T
        style = "o-" if name in EDGES else "o"
        axes.errorbar(range(len(bins)), values, abs(bounds - values), fmt=style, capsize=3)
        axes.axhline(100 / 15, color=RED, linewidth=1, linestyle="--")
        axes.set_xticks(range(len(bins)), [b["range"] for b in bins], rotation=30, ha="right")
        axes.set_ylim(0, 100)
        axes.set_title(name)
        axes.set_ylabel("" if index % columns else "clips named right (%)")
    figure.tight_layout()
    return _png(figure)


def losses(folds: Sequence[Sequence[Mapping[str, float]]]) -> bytes:
    """The losses of every epoch (`loss`, `validation_loss`), a line for each fold."""
    figure = Figure((6.4, 3.2))
    axes = figure.add_subplot()
    for history in folds:
        epochs = range(1, len(history) + 1)
        for name, colour in (("loss", GREY), ("validation_loss", BLUE)):
            label = {"loss": "training", "validation_loss": "validation"}[name]
            values = [figures[name] for figures in history]
            axes.plot(epochs, values, color=colour, label=label if history is folds[0] else None)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return _png(figure)


def hop_bars(units: Mapping[str, Mapping[str, Any]]) -> bytes:
    """F1 per Action Unit, beside that of a guess that never changes."""
    names = [name for name, unit in units.items() if unit["f1"] is not None]
    figure = Figure((7.0, 2.8))
    axes = figure.add_subplot()
    places = np.arange(len(names))
    axes.bar(places - 0.2, [units[n]["f1"] for n in names], 0.4, color=BLUE, label="scores")
    axes.bar(
        places + 0.2,
        [units[n]["always"] for n in names],
        0.4,
        color=GREY,
        label="always saying yes",
    )
    axes.set_xticks(places, names, rotation=45)
    axes.set_ylim(0, 1)
    axes.set_ylabel("F1 per hop")
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def traces(sessions: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray, int]]) -> bytes:
    """(name, scores `(hops, n_au)`, labels and what was spotted, hop us) each.

    The latter are `(n, 3)`: AU, onset s, offset s. Scores are NaN where no face was.
    """
    figure = Figure((10.6, 2.9 * len(sessions)))
    scale = mpl.colormaps["Blues"].with_extremes(bad="#d5dae0")
    for index, (name, scores, labels, spotted, hop_us) in enumerate(sessions):
        axes = figure.add_subplot(len(sessions), 1, index + 1)
        begin, end = _window(labels, len(scores) * hop_us / 1e6)
        shown = np.ma.masked_invalid(scores.astype(np.float32)).T
        extent = (0.0, len(scores) * hop_us / 1e6, len(AU_NUMBERS) - 0.5, -0.5)
        axes.imshow(
            shown, aspect="auto", cmap=scale, vmin=0, vmax=1, extent=extent, interpolation="none"
        )
        for au, onset, offset in labels:
            if int(au) in AU_NUMBERS:
                row = AU_NUMBERS.index(int(au))
                axes.add_patch(
                    Rectangle(
                        (onset, row - 0.45),
                        offset - onset,
                        0.9,
                        fill=False,
                        edgecolor=ORANGE,
                        linewidth=1.6,
                    )
                )
        for au, onset, offset in spotted:
            if int(au) in AU_NUMBERS:
                row = AU_NUMBERS.index(int(au))
                axes.plot([onset, offset], [row + 0.3] * 2, color=GREEN, linewidth=2.5)
        axes.set_xlim(begin, end)
        axes.set_yticks(
            range(len(AU_NUMBERS)), [_in_words(au_name(au)) for au in AU_NUMBERS], fontsize=7
        )
        axes.set_xlabel("time (s)")
        title = "darker is a higher score; orange frames are labels, green lines were told"
        axes.set_title(f"{name}: {title}", fontsize=9)
    figure.tight_layout()
    return _png(figure)


def gain_bars(by: Mapping[str, Mapping[str, Any]], what: str) -> bytes:
    """PSNR where something moved, per condition and method."""
    figure = Figure((max(4.5, 1.4 * len(by) + 2.2), 3.0))
    axes = figure.add_subplot()
    places = np.arange(len(by))
    lowest = 60.0
    for offset, method in enumerate(("copy", "integration", "network")):
        values = [part[method]["psnr_motion"] or 0.0 for part in by.values()]
        lowest = min([lowest, *(value for value in values if value)])
        axes.bar(
            places + 0.27 * (offset - 1), values, 0.27, color=COLOURS[method], label=NAMES[method]
        )
        for place, value in zip(places, values, strict=True):
            if value:
                axes.text(
                    place + 0.27 * (offset - 1),
                    value + 0.1,
                    f"{value:.1f}",
                    ha="center",
                    fontsize=7,
                )
    axes.set_ylim(max(lowest - 4, 0), None)
    axes.set_xticks(places, list(by))
    axes.set_xlabel(what)
    axes.set_ylabel("PSNR where it moved (dB)")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _png(figure)


def filmstrip(examples: Sequence[tuple[str, float, Mapping[str, np.ndarray]]]) -> bytes:
    """(session, gain in dB, pictures) each: a row from the old frame to the errors."""
    unsure = all("uncertainty" in pictures for _, _, pictures in examples)
    strip = (*STRIP, "uncertainty") if unsure else STRIP
    columns = len(strip)
    figure = Figure((1.62 * columns, 1.78 * len(examples) + 0.25))
    for row, (name, gain, pictures) in enumerate(examples):
        target = pictures["target"].astype(int)
        shown = {
            **pictures,
            "error_copy": np.abs(pictures["key"].astype(int) - target),
            "error_network": np.abs(pictures["network"].astype(int) - target),
        }
        if unsure:
            shown["uncertainty"] = pictures["uncertainty"] / UNCERTAINTY_SCALE
        # Both error maps share a scale, or they could not be compared.
        worst = max(float(np.percentile(shown["error_copy"], 99.5)), 12.0)
        for column, key in enumerate(strip):
            axes: Axes = figure.add_subplot(len(examples), columns, row * columns + column + 1)
            error = key.startswith(("error", "uncertainty"))
            axes.imshow(
                shown[key],
                cmap="inferno" if error else "gray",
                vmin=0,
                vmax=worst if error else 255,
            )
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_visible(False)
            if row == 0:
                axes.set_title(STRIP_TITLES[key], fontsize=8)
            if column == 0:
                text = f"{name}\n{int(pictures['age_ms'])} ms old, {gain:+.1f} dB"
                axes.set_ylabel(text, fontsize=7)
    figure.subplots_adjust(0.06, 0.01, 0.995, 1 - 0.25 / (1.78 * len(examples) + 0.25), 0.03, 0.04)
    return _png(figure, tight=False)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share of `count` (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _in_words(name: str) -> str:
    """`AU12 lip corner puller` for AU12; other classes as they are."""
    number = name.removeprefix("AU")
    return f"{name}  {ACTION_UNITS[int(number)]}" if number.isdigit() else name


def _window(labels: np.ndarray, seconds: float) -> tuple[float, float]:
    """The stretch with the most labels."""
    if seconds <= LONGEST_TRACE_S or not len(labels):
        return 0.0, min(seconds, LONGEST_TRACE_S)
    starts = np.clip(labels[:, 1] - 0.3, 0, seconds - LONGEST_TRACE_S)
    inside = [((labels[:, 1] >= s) & (labels[:, 2] <= s + LONGEST_TRACE_S)).sum() for s in starts]
    begin = float(starts[int(np.argmax(inside))])
    return begin, begin + LONGEST_TRACE_S


def _png(figure: Figure, tight: bool = True) -> bytes:
    stream = io.BytesIO()
    # Without the version of matplotlib in it, the same report is the same file.
    figure.savefig(
        stream,
        format="png",
        dpi=110,
        bbox_inches="tight" if tight else None,
        metadata={"Software": None},
    )
    return stream.getvalue()
