"""From Action Unit scores to the expression names of REP-155. Change the rules here.

Combinations follow EMFACS (Ekman & Friesen 1983) as far as the Action Units that are read allow;
valence and arousal are the usual places of these emotions on Russell's circumplex (1980).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """An expression: every unit of `needs` is active; `helps` raise the confidence."""

    expression: str
    needs: tuple[int, ...]
    helps: tuple[int, ...]
    valence: float
    arousal: float


@dataclass(frozen=True)
class Expression:
    """`expression` as in hri_msgs/Expression; valence and arousal -1..1; confidence 0..1."""

    expression: str
    valence: float
    arousal: float
    confidence: float


RULES: tuple[Rule, ...] = (
    Rule("happy", (12,), (6,), 0.8, 0.4),
    Rule("sad", (1, 15), (4, 17), -0.7, -0.4),
    Rule("surprised", (1, 2, 5), (26,), 0.2, 0.8),
    Rule("scared", (1, 2, 4), (5, 7, 20, 26), -0.6, 0.7),
    Rule("angry", (4, 7), (5, 17), -0.7, 0.7),
    Rule("disgusted", (9,), (10, 15, 17), -0.7, 0.3),
    Rule("disgusted", (10, 17), (15,), -0.6, 0.3),
)
HELP_WEIGHT = 0.25
"""How far a fully active helping unit moves the confidence towards 1."""


def expression_of(scores: Mapping[int, float], threshold: float = 0.5) -> Expression:
    """The best supported expression of `scores` (FACS number -> 0..1), else `neutral`.

    A rule holds when its weakest needed unit reaches `threshold`; among those that hold, the one
    that explains more units wins, then the more confident one. A missing unit counts as 0.
    """
    best: tuple[int, float, Rule] | None = None
    for rule in RULES:
        weakest = min(scores.get(au, 0.0) for au in rule.needs)
        if weakest < threshold:
            continue
        active = [scores.get(au, 0.0) for au in rule.helps if scores.get(au, 0.0) >= threshold]
        confidence = weakest
        for score in active:
            confidence += (1.0 - confidence) * HELP_WEIGHT * score
        candidate = (len(rule.needs) + len(active), confidence, rule)
        if best is None or candidate[:2] > best[:2]:
            best = candidate
    if best is None:
        return Expression("neutral", 0.0, 0.0, 1.0 - max([0.0, *scores.values()]))
    _, confidence, rule = best
    return Expression(rule.expression, rule.valence, rule.arousal, confidence)
