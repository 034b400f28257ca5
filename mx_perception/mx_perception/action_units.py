"""The Action Units that the suite reads, in the order of every score vector."""

from __future__ import annotations

ACTION_UNITS: dict[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    26: "jaw drop",
}
"""FACS number to FACS name."""

AU_NUMBERS: tuple[int, ...] = tuple(ACTION_UNITS)
NEUTRAL = 0
"""Stands for "no Action Unit" where a clip is given one class."""
CLIP_CLASSES: tuple[int, ...] = (*AU_NUMBERS, NEUTRAL)


def au_name(number: int) -> str:
    """`AU01`, `AU12`; `neutral` for 0."""
    return "neutral" if number == NEUTRAL else f"AU{number:02d}"
