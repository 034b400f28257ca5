"""Scores of a whole session, and the table of them."""

import csv
import itertools
import shutil
from dataclasses import replace

import pytest
from mx_capture.errors import MxError
from mx_capture.recording.annotation_server import Annotator
from mx_capture.recording.session_info import SESSION_FILE, read_session, write_info
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.sessions import record
from mx_capture.simulator.source import SimulatedSource
from mx_perception.dataset import read_dataset
from mx_perception.frame_pairs import read_pairs
from mx_perception.networks.cvae import CvaeConfig
from mx_perception.verbs.score import main


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores") / "s"
    record(SimulatedSource(SimulationConfig(duration_s=1.0, lighting="office")), folder)
    return folder


def test_every_hop_with_a_face_has_a_row(session, tmp_path):
    out = tmp_path / "scores.csv"
    assert main([str(session), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = [int(row["stamp_ns"]) for row in rows]
    assert len(rows) > 50
    assert all(b - a == 10_000_000 for a, b in itertools.pairwise(stamps))
    assert all(0 <= float(row["AU12"]) <= 1 for row in rows)
    shown = Annotator(session, out).overview()["scores"]
    assert len(shown["times_us"]) == len(rows) and "AU12" in shown["names"]
    with pytest.raises(MxError, match="exists already"):
        main([str(session), "--out", str(out)])


def test_the_calibration_of_a_session_is_used(session, tmp_path):
    """Crops of two cameras lie elsewhere: what is named is read, by everything that reads it."""
    rig = tmp_path / "data" / "rig"
    shutil.copytree(session, rig)
    info = replace(read_session(rig), calibration="rig.yaml")
    write_info(rig / SESSION_FILE, info, replace=True)
    with pytest.raises(MxError, match=r"rig\.yaml"):
        main([str(rig), "--out", str(tmp_path / "x.csv")])
    with pytest.raises(MxError, match=r"rig\.yaml"):
        read_dataset(rig.parent, tmp_path / "cache", lambda items, description: items)
    with pytest.raises(MxError, match=r"rig\.yaml"):
        read_pairs(rig.parent, tmp_path / "cache", CvaeConfig(), lambda items, description: items)


def test_what_cannot_be_scored_is_said(tmp_path):
    record(
        SimulatedSource(SimulationConfig(duration_s=0.1, protocol="neutral")),
        tmp_path / "short",
    )
    with pytest.raises(MxError, match="no face was found"):
        main([str(tmp_path / "short"), "--out", str(tmp_path / "x.csv")])
    assert not list(tmp_path.glob("x.csv*"))
