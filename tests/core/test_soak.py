"""The bench of long runs: its figures, and what it reads of processes."""

import os
import subprocess
import sys

import pytest
from mx_capture.errors import MxError
from mx_capture.verbs import bench
from mx_perception.bench.processes import Usage, node_processes, usage
from mx_perception.bench.soak import Sample, summary


def test_processes_are_found_by_their_node_name_below_the_launcher():
    wait = "import sys; sys.stdin.read()"
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys;"
            f"p = subprocess.Popen([sys.executable, '-c', {wait!r}, '-r', '__node:=some_node']);"
            "print('started', flush=True); p.wait()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert launcher.stdout.readline()
        found = node_processes(launcher.pid)
        assert set(found) == {"some_node"}
        assert usage(found["some_node"]).rss_mb > 0
    finally:
        launcher.communicate()
    assert usage(launcher.pid) is None


def test_usage_counts_this_process():
    before = usage(os.getpid())
    sum(range(5_000_000))
    after = usage(os.getpid())
    assert after.cpu_s > before.cpu_s
    assert after.rss_mb > 0


def test_cameras_do_not_count_and_growth_compares_the_ends():
    def sample(second):
        return Sample(
            float(second),
            {
                "event_camera_node": Usage(second * 0.9, 500.0),
                "event_tensor_node": Usage(second * 0.25, 200.0 + second),
                "au_classifier_node": Usage(second * 0.5, 200.0),
            },
            5.0 + second / 100,
            12.0,
            {"lost_packets": 3 if second > 50 else 1},
        )

    figures = summary([sample(second) for second in range(101)])
    assert figures["cpu_percent"] == pytest.approx(75.0)
    assert figures["cpu_percent_by_node"]["event_camera_node"] == pytest.approx(90.0)
    assert figures["rss_mb"] == 500.0
    assert figures["growth"] == pytest.approx(495.5 / 404.5 - 1, abs=1e-4)
    assert (figures["p99_ms"], figures["p50_drift_ms"]) == (12.0, 1.0)
    assert figures["losses"] == {"lost_packets": 2}


def test_wrong_options_are_one_clear_line(tmp_path):
    with pytest.raises(MxError, match="--minutes 0"):
        bench.main(["soak", "--minutes", "0"])
    with pytest.raises(MxError, match="nowhere"):
        bench.main(["soak", "--session", str(tmp_path / "nowhere")])
    with pytest.raises(MxError, match="--times 0"):
        bench.main(["recovery", "--times", "0"])
    with pytest.raises(MxError, match="nowhere"):
        bench.main(["recovery", "--session", str(tmp_path / "nowhere")])
