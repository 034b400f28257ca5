"""`./mx view`: a live page of the running graph, for a browser here or on a tablet."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import socket
import webbrowser

import cv2
from rich.console import Console

from mx_perception.nodes.monitor_node import Monitor
from mx_perception.nodes.view_node import ViewNode
from mx_perception.page.server import LOCAL_HOSTS, PageServer

_EXAMPLE = """examples:
  ./mx view                        on this machine
  ./mx view --host 0.0.0.0         for a tablet beside the robot, with a token"""


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="./mx view",
        description="Show a running graph on a page: video, events, scores, latency and health.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="0: a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--token", default="", help="needed by browsers elsewhere (default: a new one)"
    )
    parser.add_argument("--namespace", default="", help="ROS namespace of the graph")
    parser.add_argument(
        "--browser", action=argparse.BooleanOptionalAction, default=True, help="open a browser"
    )
    options = parser.parse_args(argv)
    local = options.host in LOCAL_HOSTS
    token = options.token or ("" if local else secrets.token_urlsafe(12))
    cv2.setNumThreads(1)
    with (
        Monitor(lambda: ViewNode(options.namespace)) as node,
        PageServer(node.page, options.host, options.port, token) as server,
    ):
        everywhere = options.host in ("0.0.0.0", "::")
        name = socket.gethostname() if everywhere else options.host
        address = f"http://{name}:{server.server_address[1]}/"
        address += f"?token={token}" if token else ""
        Console().print(f"look at {address} (Ctrl-C ends)", soft_wrap=True)
        if options.browser and local:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0
