"""Throws random words at the EVT3 decoders: `python evt3_fuzz.py WORDS`.

Half of them are any bits at all, half look like a stream. With NUMBA_BOUNDSCHECK=1 in the
environment every array access is checked.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from evt3_reference import random_words
from mx_capture.codecs.evt3 import Evt3Decoder
from mx_capture.event_tensor import TensorConfig, TensorStream
from mx_capture.roi import Roi
from mx_capture.stream import Packet

_KINDS = ("time", "y", "x", "vector", "trigger", "ignored")
_FATES = ("in_roi", "outside_roi", "no_face", "late", "out_of_range", "dropped_before_time")


def fuzz(total: int, seed: int) -> str:
    """Feed `total` words; raises AssertionError when the counts do not add up."""
    rng = np.random.default_rng(seed)
    height, width = rng.choice([1, 40, 480, 720, 2048], 2).tolist()
    stream = TensorStream(TensorConfig(height=64, width=64, bins=3), "evt3", height, width)
    decoder = Evt3Decoder(height, width)
    fed = packets = tensors = decoded = 0
    while fed < total:
        n = min(int(rng.integers(0, 200_000)), total - fed)
        like_a_stream = random_words(rng, n // 2, height, width)
        words = np.concatenate([like_a_stream, rng.integers(0, 1 << 16, n - n // 2, np.uint16)])
        payload = words.tobytes()
        faces = {
            str(i): Roi(*rng.uniform(-width, width, 2), *rng.uniform(0, 2 * width, 2))
            for i in range(rng.integers(0, 4))
        }
        stream.set_faces(stream.now_us or 0, faces)
        tensors += len(stream.push(Packet(0, packets, "evt3", height, width, 0, payload)))
        decoded += len(decoder.decode(payload))
        stream.event_image()
        assert len(stream.triggers) == len(decoder.triggers)
        fed, packets = fed + n, packets + 1
    for counters in (stream.counters, decoder.counters):
        assert sum(counters[f"words_{kind}"] for kind in _KINDS) == fed
    one, two = stream.counters, decoder.counters
    events = two["events"] + two["out_of_range"] + two["dropped_before_time"]
    assert sum(one[fate] for fate in _FATES) == events and two["events"] == decoded
    assert one["events"] == two["events"] and one["out_of_range"] == two["out_of_range"]
    return f"{width}x{height}: {fed} words, {events} events, {tensors} tensors"


def main(words: int) -> None:
    """Fuzz in rounds with sensors of several sizes."""
    checked = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    start, done, seed = time.perf_counter(), 0, 0
    while done < words:
        part = min(words - done, 5_000_000)
        print(fuzz(part, seed), flush=True)
        done, seed = done + part, seed + 1
    how = "bounds checked" if checked else "bounds not checked"
    print(f"{done} words, {how}, all accounted for, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]))
