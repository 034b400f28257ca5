"""What a component reports about itself: counts, rates, latencies and problems with remedies."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

OK, WARN, ERROR = 0, 1, 2
_WINDOW = 2000


@dataclass
class Report:
    """One look at a component; the levels are those of diagnostic_msgs/DiagnosticStatus."""

    level: int
    message: str
    values: dict[str, str]


@dataclass
class Health:
    """Counts and latencies of one component, summed up once a second.

    A count whose name is in `losses` warns as soon as it rises; its value is the remedy. Counts
    in `silences`, separated by spaces, warn when none of them rises while the node is active.
    A latency in `limits` warns when its median is above so many milliseconds.
    Any thread may count while another one reports.
    """

    losses: Mapping[str, str] = field(default_factory=dict)
    silences: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.counters: Counter[str] = Counter()
        self.facts: dict[str, str] = {}
        self._latencies: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._problems: dict[str, tuple[int, str]] = {}
        self._reported: Counter[str] = Counter()
        self._reported_at = self.now()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self.counters[name] += amount

    def set_counts(self, counts: Mapping[str, int]) -> None:
        """Take over the totals that a component of the core keeps itself."""
        totals = dict(counts)  # at once: whoever owns them may be adding another
        with self._lock:
            self.counters.update({name: n - self.counters[name] for name, n in totals.items()})

    def latency(self, name: str, milliseconds: float) -> None:
        """Add one latency; the last 2,000 make up the percentiles."""
        with self._lock:
            self._latencies[name].append(milliseconds)

    def problem(self, name: str, message: str, level: int = WARN) -> None:
        """State a lasting problem with its remedy, until `solved`."""
        self._problems[name] = (level, message)

    def solved(self, name: str) -> None:
        """Take back a problem."""
        self._problems.pop(name, None)

    def report(self) -> Report:
        """Sum up since the last report. Rates are per second."""
        now = self.now()
        elapsed = max(now - self._reported_at, 1e-6)
        with self._lock:
            counters = self.counters.copy()
            latencies = {name: list(samples) for name, samples in self._latencies.items()}
        values = self.facts.copy()
        problems = list(self._problems.copy().values())
        for name, total in sorted(counters.items()):
            risen = total - self._reported[name]
            values[name] = str(total)
            values[f"{name}_hz"] = f"{risen / elapsed:.1f}"
            if risen > 0 and name in self.losses:
                problems.append((WARN, f"{name} +{risen}: {self.losses[name]}"))
        for names, remedy in self.silences.items():
            silent = all(counters[name] == self._reported[name] for name in names.split())
            if silent and self.facts.get("state") == "active":
                problems.append((WARN, remedy))
        for name, samples in latencies.items():
            p50, p99 = np.percentile(samples, (50, 99))
            values[f"{name}_ms_p50"], values[f"{name}_ms_p99"] = f"{p50:.2f}", f"{p99:.2f}"
            limit, remedy = self.limits.get(name, (np.inf, ""))
            if p50 > limit:
                problems.append((WARN, f"{name} takes {p50:.0f} ms, above {limit:g}: {remedy}"))
        self._reported, self._reported_at = counters, now
        level = max((level for level, _ in problems), default=OK)
        return Report(level, "; ".join(text for _, text in problems) or "ok", values)
