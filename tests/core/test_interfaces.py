"""The stand-ins in `underlay/` have the types of the packages that they stand in for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

UPSTREAM = {
    "event_camera_msgs/msg/EventPacket": (
        "d6fa176260b1f37e5a40845305315e150a0f18191241eb64f407442aa29844aa"
    ),
    "hri_msgs/msg/EngagementLevel": (
        "275391f46d2e6cc0d21085f8e02dce6a8150baa57539ec99bd9f4e0321443788"
    ),
    "hri_msgs/msg/Expression": "411b88e0604397d44775d8ec6a4bc69398fb0dfbfe864c33a40fa99ee85f1b00",
    "hri_msgs/msg/FacialActionUnits": (
        "43f431104624b6ff7f84350f1faa3747efc8a9330dee942b717a08830a267ed3"
    ),
    "hri_msgs/msg/FacialLandmarks": (
        "f1d6b0ba159f4d6be1632e5dfc9cb79ce5e35da73888da2a4789bd9b35112a63"
    ),
    "hri_msgs/msg/IdsList": "7e0812d1ac945c98fd3e393568d581ad0ab567f37b24eff633eab778c1bfe62d",
    "hri_msgs/msg/IdsMatch": "1c649d4a87ca2d4fe5f606395e83a863640e411c9192dfda6d399a68019966f0",
    "hri_msgs/msg/NormalizedPointOfInterest2D": (
        "cc1d2f720c82afeb850ff1dbf66f41ecb7caf19f842987f1247e66160cf03953"
    ),
    "hri_msgs/msg/NormalizedRegionOfInterest2D": (
        "2e50c93f1ca166ee77af9a5424dc951ae4e452b740162a7f83c082d917dcaff5"
    ),
}
"""RIHS01 hashes (REP-2016) of the upstream definitions; two nodes talk only if theirs agree."""


@pytest.mark.parametrize("type_name", UPSTREAM)
def test_type_hash_is_that_of_the_upstream_package(type_name: str) -> None:
    share = Path(get_package_share_directory(type_name.partition("/")[0]))
    description = json.loads(share.parent.joinpath(f"{type_name}.json").read_text())
    hashes = {each["type_name"]: each["hash_string"] for each in description["type_hashes"]}
    assert hashes[type_name] == f"RIHS01_{UPSTREAM[type_name]}"


def test_action_units_have_the_upstream_constants() -> None:
    from hri_msgs.msg import FacialActionUnits

    codes = {0, 1, 2, *range(4, 47), *range(50, 59), *range(61, 67), *range(69, 75)}
    codes |= {80, 81, 82, 84, 85, 91, 92, 97, 98}
    numbers = _constants(FacialActionUnits)
    assert set(numbers.values()) == codes
    assert numbers["LIP_CORNER_PULLER"] == 12
    assert len(FacialActionUnits().intensity) == len(FacialActionUnits().confidence) == 99


def test_landmarks_name_each_of_their_seventy_points() -> None:
    from hri_msgs.msg import FacialLandmarks

    assert sorted(_constants(FacialLandmarks).values()) == list(range(70))


def test_other_constants_are_those_of_upstream() -> None:
    from hri_msgs.msg import EngagementLevel, Expression, IdsMatch

    kinds = [IdsMatch.UNSET, IdsMatch.PERSON, IdsMatch.FACE, IdsMatch.BODY, IdsMatch.VOICE]
    assert kinds == [0, 1, 2, 3, 4]
    assert (EngagementLevel.UNKNOWN, EngagementLevel.DISENGAGING) == (0, 4)
    assert all(name.lower() == word for name, word in _constants(Expression).items())
    assert len(_constants(Expression)) == 25


def test_phases_of_a_micro_expression_are_numbered_in_order() -> None:
    from mx_msgs.msg import MicroExpression

    phases = (MicroExpression.ONSET, MicroExpression.APEX, MicroExpression.OFFSET)
    assert phases == (0, 1, 2)


def _constants(message: type) -> dict[str, int]:
    names = [name for name in dir(type(message)) if name.isupper() and not name.startswith("_")]
    return {name: getattr(message, name) for name in names}
