"""Run as root of a network namespace: starts a graph beside a network card, counts what goes out.

Prints the frames that the card was given to send while the graph worked, then how many it was given
for a packet that this program sends on purpose.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002


def card():
    """A card with an address, a route to everywhere, and this file to read what it sends."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", b"card", _TAP_WITHOUT_HEADER))
    # The kernel itself would announce an IPv6 address.
    Path("/proc/sys/net/ipv6/conf/card/disable_ipv6").write_text("1")
    for words in (
        "link set lo up",
        "addr add 10.9.9.1/24 dev card",
        "link set card up",
        "route add default dev card",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    return tap


def frames(tap):
    """What the card was given to send since the last time."""
    sent = []
    while True:
        try:
            sent.append(os.read(tap, 65536))
        except BlockingIOError:
            return sent


def main():
    tap = card()
    from person import write_person
    from running_graph import RunningGraph

    session = write_person(Path(sys.argv[1]) / "person")
    forget = ("ROS_AUTOMATIC_DISCOVERY_RANGE",)
    graph = RunningGraph("files", cameras=False, forget=forget, events=str(session))
    try:
        graph.until(lambda: len(graph.scores) > 100, "scores", 240)
    finally:
        graph.close()
    by_graph = frames(tap)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.sendto(b"control", ("10.9.9.2", 9))
        time.sleep(0.5)
    heads = sorted({frame[:34].hex() for frame in by_graph})
    print(json.dumps({"by_graph": len(by_graph), "heads": heads, "control": len(frames(tap))}))


if __name__ == "__main__":
    main()
