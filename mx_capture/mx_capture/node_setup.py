"""What every node shares: parameters from a `Config`, lifecycle, diagnostics.

A node is a shell: `load` reads parameters and models, `start` creates its topics, `stop` and
`unload` undo them. With the parameter `autostart` it configures and activates itself, so that a
plain launch file is enough; without, a lifecycle manager drives it.
"""

from __future__ import annotations

import dataclasses
import functools
import time
import traceback
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from mx_capture.config import Config
from mx_capture.errors import MxError
from mx_capture.health import Health
from mx_capture.nodes.listener import Listener

C = TypeVar("C", bound=Config)

EVENTS_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
"""As the event camera drivers publish; a reliable subscriber would never match them."""
SENSOR_QOS = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For subscribing to images: matches reliable and best-effort cameras alike."""
RESULT_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
HUMANS_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""As the publishers of other ROS4HRI (REP-155) packages."""
LATCHED_QOS = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)

_INT64 = 2**63 - 1
_REPORT_S = 1.0

_REFUSED = {
    "refused_messages": "a subscriber does not take its messages in time; free a core, or end it"
}


class _Output(Publisher):  # type: ignore[type-arg]
    """A publisher whose node goes on when a message cannot be sent.

    Fast DDS gives up on a reliable message after 0.1 s when this machine is starved.
    """

    def __init__(self, node: ManagedNode, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._node = node

    def publish(self, msg: Any) -> None:
        """Send a message, or count it as refused; RCLError only where the process ends."""
        try:
            super().publish(msg)
        except RCLError as error:
            if not self._node.context.ok():
                raise
            self._node.health.count("refused_messages")
            self._node.warn(f"{self.topic_name}: {str(error).splitlines()[0]}")


class ManagedNode(LifecycleNode):
    """A lifecycle node whose parameters are the fields of its configurations."""

    losses: typing.ClassVar[dict[str, str]] = {}
    """Counts that must not rise, with what to do when they do."""
    silences: typing.ClassVar[dict[str, str]] = {}
    """Counts that must rise while the node is active, with what to do when they do not."""
    limits: typing.ClassVar[dict[str, tuple[float, str]]] = {}
    """Median latencies (ms) that are too much, with what to do then."""
    niceness: typing.ClassVar[int] = 0
    """How far the process stands back where cores are short; pictures wait for scores, not
    scores for pictures."""

    def __init__(self, name: str, *configs: type[Config]) -> None:
        super().__init__(name)
        self.failure: str | None = None
        self._loaded = self._running = False
        self.health = Health(
            losses={**_REFUSED, **self.losses}, silences=self.silences, limits=self.limits
        )
        self._configs = configs
        self._entities: list[tuple[Callable[[Any], Any], Any]] = []
        self._autostart: bool = self.declare_parameter(
            "autostart",
            True,
            ParameterDescriptor(
                description="Configure and activate at start, without a lifecycle manager",
                read_only=True,
            ),
        ).value
        for config in configs:
            _declare(self, config)
        _refuse_unknown_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._report_again_s = 0.0
        self.create_timer(_REPORT_S, self._publish_diagnostics)

    # What a node implements.
    def load(self) -> None:
        """Read and check the configuration; load models. Raises MxError."""

    def start(self) -> None:
        """Create publishers, subscriptions, timers and devices. Raises MxError."""

    def stop(self) -> None:
        """Close devices; topics created with the methods below go by themselves."""

    def unload(self) -> None:
        """Free what `load` took."""

    def update(self) -> None:
        """Take up a changed parameter while running."""

    def observe(self) -> None:
        """Copy the core's counters into `health`, once a second."""

    # What a node uses.
    def create_publisher(self, *words: Any, **options: Any) -> Any:
        """A publisher that counts what it cannot send, for as long as the node exists."""
        output: Any = functools.partial(_Output, self)
        return super().create_publisher(*words, **options, publisher_class=output)

    def config(self, cls: type[C]) -> C:
        """The current parameters as a validated configuration."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: self.get_parameter(name).value for name in names})

    def publish_to(
        self,
        message_type: Any,
        topic: str,
        qos: QoSProfile = RESULT_QOS,
        *,
        passing: bool = False,
    ) -> Any:
        """A publisher that lives while the node is active.

        `passing`: the topic has a name of its own that goes again, such as that of a face. Its
        QoS is then no parameter: parameters would pile up with the faces that come and go.
        """
        overriding = None if passing else QoSOverridingOptions.with_default_policies()
        publisher = self.create_publisher(
            message_type, topic, qos, qos_overriding_options=overriding
        )
        self._entities.append((self.destroy_publisher, publisher))
        return publisher

    def subscribe_to(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile = RESULT_QOS,
        **options: Any,
    ) -> Any:
        """A subscription that lives while the node is active."""
        subscription = self.create_subscription(
            message_type,
            topic,
            callback,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            **options,
        )
        self._entities.append((self.destroy_subscription, subscription))
        return subscription

    def listen_to(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        **options: Any,
    ) -> Listener:
        """A subscription of a fast topic, in a thread of its own, while the node is active."""
        listener = Listener(self, message_type, topic, callback, qos, **options)
        self.release_at_stop(Listener.close, listener)
        return listener

    def every(self, seconds: float, callback: Callable[[], None]) -> Any:
        """A timer that lives while the node is active."""
        timer = self.create_timer(seconds, callback)
        self._entities.append((self.destroy_timer, timer))
        return timer

    def release_at_stop(self, destroy: Callable[[Any], Any], *entities: Any) -> None:
        """Have entities that others created destroyed when the node is deactivated."""
        self._entities += [(destroy, entity) for entity in entities]

    def withdraw(self, entity: Any) -> None:
        """End a publisher or a subscription before the node is deactivated."""
        for destroy, kept in list(self._entities):
            if kept is entity:
                self._entities.remove((destroy, kept))
                destroy(entity)

    def now_ns(self) -> int:
        """ROS time in nanoseconds."""
        return int(self.get_clock().now().nanoseconds)

    def report_while_busy(self) -> None:
        """Send the diagnostics from within long work, which keeps the timer waiting."""
        if time.monotonic() >= self._report_again_s:
            self._publish_diagnostics()

    def warn(self, text: str) -> None:
        """Log a warning, at most one every five seconds."""
        self.get_logger().warning(text, throttle_duration_sec=5.0)

    # Lifecycle.
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._attempt(self.load)
        self._loaded = done is TransitionCallbackReturn.SUCCESS
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._attempt(self.start) is not TransitionCallbackReturn.SUCCESS:
            self._destroy_entities()
            return TransitionCallbackReturn.FAILURE
        self._running = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        if self._loaded:
            self._loaded = False
            self.unload()
        return TransitionCallbackReturn.SUCCESS

    on_shutdown = on_error = on_cleanup

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so; False if that failed."""
        if not self._autostart:
            return True
        done = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == done and self.trigger_activate() == done

    def close(self) -> None:
        """Stop whatever is running; a second call does nothing."""
        if self._running:
            self._running = False
            self.stop()
        self._destroy_entities()

    def _attempt(self, step: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            step()
        except MxError as error:
            self.failure = str(error)
            self.get_logger().error(self.failure)
            self.health.problem("start", self.failure, level=2)
            return TransitionCallbackReturn.FAILURE
        except Exception:
            # rclpy would turn it into a bare failure: say what happened.
            self.get_logger().error(traceback.format_exc())
            raise
        self.health.solved("start")
        return TransitionCallbackReturn.SUCCESS

    def _destroy_entities(self) -> None:
        while self._entities:
            destroy, entity = self._entities.pop()
            destroy(entity)

    def _check_parameters(self, changed: Sequence[Parameter]) -> SetParametersResult:
        values = {parameter.name: parameter.value for parameter in changed}
        ours = {field.name for cls in self._configs for field in dataclasses.fields(cls)}
        if ours.isdisjoint(values):
            return SetParametersResult(successful=True)
        try:
            for cls in self._configs:
                names = [field.name for field in dataclasses.fields(cls)]
                current = {name: self.get_parameter(name).value for name in names}
                cls(**{name: values.get(name, value) for name, value in current.items()})
        except MxError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self.executor is not None and self._state_machine.current_state[1] != "unconfigured":
            # The new values are in place only after this callback.
            self.executor.create_task(self.update)
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        self._report_again_s = time.monotonic() + _REPORT_S
        self.observe()
        self.health.facts["state"] = self._state_machine.current_state[1]
        report = self.health.report()
        status = DiagnosticStatus(
            level=bytes([report.level]),
            name=self.get_fully_qualified_name(),
            message=report.message,
            hardware_id=self.get_name(),
            values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def _declare(node: LifecycleNode, cls: type[Config]) -> None:
    types = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        limits = field.metadata["minimum"], field.metadata["maximum"]
        choices = field.metadata["choices"]
        descriptor = ParameterDescriptor(
            description=field.metadata["description"],
            read_only=field.metadata["read_only"],
            additional_constraints=f"One of {', '.join(choices)}" if choices else "",
        )
        if limits != (None, None) and types[field.name] is int:
            low, high = (-_INT64 if limits[0] is None else limits[0]), limits[1]
            high = _INT64 if high is None else high
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        if limits != (None, None) and types[field.name] is float:
            low, high = (-1e308 if limits[0] is None else limits[0]), limits[1]
            high = 1e308 if high is None else high
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        node.declare_parameter(field.name, field.default, descriptor)


def _refuse_unknown_parameters(node: LifecycleNode) -> None:
    # ROS ignores an override that no one declares, so a misspelt one would pass in silence.
    known = sorted(node._parameters)
    for name in node._parameter_overrides:
        if name not in known and not name.startswith("qos_overrides."):
            raise MxError(f"{node.get_name()}: unknown parameter {name}; known: {', '.join(known)}")
