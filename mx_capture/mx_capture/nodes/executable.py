"""The process of a node: DDS first, then the node, and an end that leaves nothing behind.

DDS finds the other nodes while Python imports what the node needs, so this imports little itself.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mx_capture import shared_memory
from mx_capture.errors import MxError

if TYPE_CHECKING:
    from mx_capture.node_setup import ManagedNode

_early: list[Node] = []
"""What joined DDS before the node is there."""


def main() -> None:
    """The executable `lib/<package>/<node>`: runs `main` of the module `<package>.nodes.<node>`."""
    executable = Path(sys.argv[0])
    _join_dds(None)
    # Numba imports it where it is installed, which takes 50 ms, and needs it to test itself only.
    sys.modules.setdefault("coverage", None)  # type: ignore[arg-type]
    importlib.import_module(f"{executable.parent.name}.nodes.{executable.name}").main()


def run(node_class: Callable[[], ManagedNode], arguments: Sequence[str] | None = None) -> None:
    """Spin a node until a signal; exit 1 if it cannot start."""
    if not _early:
        _join_dds(arguments)
    import cv2

    # Nodes share the cores of a robot: OpenCV's own threads would only wait for each other.
    cv2.setNumThreads(1)
    node = None
    try:
        node = node_class()
        # This thread, which computes, and those it starts; those of DDS go on as before.
        os.nice(node.niceness)
        _early.pop().destroy_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not node.autostart() and rclpy.ok():
            sys.exit(1)
        # What was loaded stays: looking through it again and again stops the node for 80 ms.
        gc.collect()
        gc.freeze()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RCLError, RuntimeError):
        # A message was being published or taken when the signal came.
        if rclpy.ok():
            raise
    except (MxError, ParameterException) as error:
        print(f"mx: {error}", file=sys.stderr)
        sys.exit(1)
    finally:
        # Ctrl-C reaches a node twice, from the terminal and from the launcher: the second one
        # may not cut short what is being closed. Launchers have SIGTERM and SIGKILL for later.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # What is frozen is never freed, and then DDS leaves 34 MB of shared memory behind.
        gc.unfreeze()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def _join_dds(arguments: Sequence[str] | None) -> None:
    shared_memory.remove_half_made_ports()
    shared_memory.remove_abandoned_segments()
    shared_memory.remove_abandoned_ports()
    with shared_memory.abandoned_ports_avoided():
        try:
            rclpy.init(args=None if arguments is None else list(arguments))
        except RCLError as error:
            # Such as a parameter file that is not one.
            sys.exit(f"mx: {str(error).splitlines()[0]}")
        # The first node of a process brings DDS up. This one does nothing, its name is hidden.
        _early.append(
            Node(
                "_starting",
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
                # Policies of SROS2 speak of the nodes alone.
                parameter_overrides=[Parameter("start_type_description_service", value=False)],
            )
        )
