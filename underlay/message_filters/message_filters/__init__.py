"""Filters that pass messages on: one by one, from a cache, or in sets matched by time.

The interface is that of ROS's message_filters for Python: code for one runs on the other.
"""

from message_filters.filters import Cache, SimpleFilter, Subscriber
from message_filters.synchronizers import ApproximateTimeSynchronizer, TimeSynchronizer

__all__ = [
    "ApproximateTimeSynchronizer",
    "Cache",
    "SimpleFilter",
    "Subscriber",
    "TimeSynchronizer",
]
