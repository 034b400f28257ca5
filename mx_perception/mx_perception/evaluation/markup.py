"""The pieces of HTML that the report is made of; texts are escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], wide: bool = False) -> str:
    """Numbers stand to the right; a `wide` one holds sentences, which stand to the left."""
    first = "".join(f"<th>{html.escape(cell)}</th>" for cell in head) if any(head) else ""
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    kind = " class=wide" if wide else ""
    return f"<div class=scroll><table{kind}><tr>{first}</tr>{lines}</table></div>\n"


def picture(png: bytes, caption: str) -> str:
    """A PNG inside the page, with its caption."""
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>\n"


def bullets(lines: Sequence[str]) -> str:
    """Sentences of a summary."""
    return "<ul class=short>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def note(text: str) -> str:
    """What a reader has to know of a table."""
    return f"<p class=note>{html.escape(text)}</p>\n"


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """A dash for None."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def percent(value: float | None) -> str:
    """Of a share 0..1; a dash for None."""
    return "-" if value is None else f"{100 * value:.1f}%"


def median(found: Mapping[str, float] | None) -> str:
    """With the 95th percentile in brackets; a dash for None."""
    return "-" if found is None else f"{found['median']:.0f} ({found['p95']:.0f})"


def percentiles(values: Sequence[float]) -> list[str]:
    """The 50th and the 99th."""
    return [f"{p:.2f}" for p in np.percentile(values, [50, 99])]
