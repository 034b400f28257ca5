"""Pairs of frames of sketched people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.recording.session_info import session_folders
from mx_perception.frame_pairs import FramePairs
from mx_perception.networks.cvae import CvaeConfig

from mx_perception import sketched_pairs

SMALL = CvaeConfig(height=64, width=64, bins=2)


def untracked(numbers, description):
    return numbers


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> FramePairs:
    cache = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketched_pairs, "PAIRS", 4)
        patch.setattr(sketched_pairs, "SESSIONS", 1)
        found = sketched_pairs.sketched_pairs(1, cache, SMALL, untracked, 0.5)
    assert found is not None
    # What is in the cache is not drawn again.
    again = sketched_pairs.sketched_pairs(1, cache, SMALL, untracked, 0.5)
    assert again is not None and np.array_equal(again.targets, found.targets)
    return found


def test_pairs_have_the_shape_of_the_network(pairs: FramePairs) -> None:
    assert pairs.keys.shape == pairs.targets.shape == (4, 1, 64, 64)
    assert pairs.events.shape == (4, 2, 2, 64, 64)
    assert 0 < pairs.shaken.sum() < 4 and pairs.events.any()
    assert set(pairs.subjects) == {"sketched00000"}


def test_shaken_key_frames_are_farther_from_the_truth(pairs: FramePairs) -> None:
    error = np.abs(pairs.keys.astype(int) - pairs.targets).mean((1, 2, 3))
    assert error[pairs.shaken].min() > error[~pairs.shaken].max()


def test_nobody_gives_no_pairs(tmp_path: Path) -> None:
    assert sketched_pairs.sketched_pairs(0, tmp_path, SMALL, untracked) is None


def test_sessions_of_data_sets_in_a_folder_are_found(tmp_path: Path) -> None:
    for name in ("coarse/one", "fine/two", "three"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "session.yaml").touch()
    assert [folder.name for folder in session_folders(tmp_path)] == ["one", "two", "three"]
    with pytest.raises(MxError, match="holds no session"):
        session_folders(tmp_path / "coarse" / "one")
