"""How sensor time becomes ROS time."""

from __future__ import annotations

from mx_capture.errors import MxError
from mx_capture.stream import Packet

_ROLLOVER_NS = 2**24 * 1000


class SharedClock:
    """Sensor and ROS share one clock: ROS ns = time_base + 1000 * sensor us.

    EVT3 sends 24 bits of time, so a late joiner does not know how often they rolled over; the
    packet's own stamp tells.
    """

    def __init__(self) -> None:
        self._base_ns: int | None = None
        self.counters: dict[str, int] = {}

    @property
    def ready(self) -> bool:
        """Whether a packet with time has been observed."""
        return self._base_ns is not None

    def observe(self, packet: Packet, now_us: int | None) -> None:
        """Take a packet's `time_base`; `now_us` is the sensor time that it reached."""
        if now_us is None:
            return
        at_ns = packet.time_base + 1000 * now_us
        rollovers = round((packet.stamp_ns - at_ns) / _ROLLOVER_NS) if packet.stamp_ns else 0
        self._base_ns = packet.time_base + rollovers * _ROLLOVER_NS

    def stamp_ns(self, t_us: int) -> int:
        """ROS time in ns of a sensor time. Only when `ready`."""
        assert self._base_ns is not None
        return self._base_ns + 1000 * t_us

    def sensor_us(self, stamp_ns: int) -> int:
        """Sensor time in us of a ROS time, rounded down. Only when `ready`."""
        assert self._base_ns is not None
        return (stamp_ns - self._base_ns) // 1000


def make_clock(mode: str) -> SharedClock:
    """The clock of a mode. Raises MxError for an unknown one."""
    if mode != "shared":
        raise MxError(f"clock={mode!r} is not one of shared")
    return SharedClock()
