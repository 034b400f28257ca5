"""Takes the messages of a fast topic in a thread of its own, beside the executor.

The executor of rclpy looks at every entity of a node before and after each message, which takes
longer than turning a packet of events into tensors. This waits for one subscription only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

_CHECK_NS = 100_000_000
"""How often a thread without messages looks whether it shall end."""


class _Apart(CallbackGroup):
    """Entities that the executor leaves alone."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class Listener:
    """A subscription whose callback runs in a thread, one message after another, until `close`.

    When a message has waited for more than `longest_wait_s`, it and all that wait behind it are
    dropped, and counted in `shed`: one hole, after which everything is in time again. A queue that
    runs over would lose one message here and one there for as long as the rate is too high, and
    all others would come late. What the callback raises is raised in the executor, as by any other.
    """

    def __init__(
        self,
        node: Node,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        *,
        raw: bool = False,
        longest_wait_s: float | None = None,
    ) -> None:
        self.shed = 0
        self._node, self._callback = node, callback
        self._longest_wait_ns = None if longest_wait_s is None else round(longest_wait_s * 1e9)
        self._stopped = threading.Event()
        self._subscription = node.create_subscription(
            message_type,
            topic,
            callback,
            qos,
            callback_group=_Apart(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=raw,
        )
        self._thread = threading.Thread(target=self._run, name=f"listener of {topic}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, then the subscription."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._node.destroy_subscription(self._subscription)

    def _run(self) -> None:
        try:
            self._listen()
        except Exception as error:
            if self._node.executor is None or not self._node.context.ok():
                return
            self._node.executor.create_task(raise_it, error)

    def _listen(self) -> None:
        subscription, context = self._subscription, self._node.context.handle
        assert context is not None
        with subscription.handle, context:
            wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, context)
            while not self._stopped.is_set():
                wait_set.clear_entities()
                wait_set.add_subscription(subscription.handle)
                wait_set.wait(_CHECK_NS)
                while not self._stopped.is_set():
                    taken = subscription.handle.take_message(
                        subscription.msg_type, subscription.raw
                    )
                    if taken is None:
                        break
                    message, info = taken
                    if self._longest_wait_ns is not None and (
                        time.time_ns() - info["received_timestamp"] > self._longest_wait_ns
                    ):
                        self.shed += 1 + self._drop_waiting()
                    else:
                        self._callback(message)

    def _drop_waiting(self) -> int:
        dropped = 0
        while self._subscription.handle.take_message(self._subscription.msg_type, True) is not None:
            dropped += 1
        return dropped


def raise_it(error: Exception) -> None:
    """For an executor: what went wrong in a thread ends the process, as anywhere else."""
    raise error
