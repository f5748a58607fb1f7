"""Mirror partners by the names of key-points."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from res2net.data.scene import COCO_PERSON, Skeleton
from res2net.data.scenes.checks import Tally
from res2net.data.scenes.skeletons import make_skeleton, numbered, partners, sides_of
from res2net.errors import UserError

FILE = Path("points.json")


@pytest.mark.parametrize(
    "names",
    [
        ("left_eye", "right_eye"),
        ("LEFT_EYE", "RIGHT_EYE"),
        ("Left Eye", "Right Eye"),
        ("LeftEye", "RightEye"),
        ("leftEye", "rightEye"),
        ("eye_left", "eye_right"),
        ("EyeLeft", "EyeRight"),
        ("eye-left", "eye-right"),
        ("lefteye", "righteye"),
        ("eyeleft", "eyeright"),
        ("L_Eye", "R_Eye"),
        ("l.eye", "r.eye"),
        ("LEye", "REye"),
        ("eye_l", "eye_r"),
        ("eyeL", "eyeR"),
        ("leye", "reye"),
        ("front_left_paw", "front_right_paw"),
        ("Lt eye", "Rt eye"),
        ("eye (left)", "eye (right)"),
        ("L1", "R1"),
        ("left", "right"),
    ],
)
def test_partners_in_every_spelling(names: tuple[str, str]) -> None:
    assert partners(("nose", *names)) == (((1, 2),), [])
    assert partners((names[1], "nose", names[0])) == (((2, 0),), [])


def test_alike_names_keep_to_their_own_partner() -> None:
    names = ("L_F_Paw", "L_B_Paw", "R_B_Paw", "R_F_Paw", "left_paw", "right_paw")
    assert partners(names)[0] == ((0, 3), (1, 2), (4, 5))


@pytest.mark.parametrize(
    "names", [("lip", "rib"), ("thumb1", "thumb2"), ("ear", "tail"), ("bright",)]
)
def test_names_without_sides_have_no_partners(names: tuple[str, ...]) -> None:
    assert partners(names) == ((), [])


def test_a_side_alone_turns_mirrors_off() -> None:
    tally = Tally()
    skeleton = make_skeleton(FILE, ("left_eye", "right_eye", "left_ear"), tally)
    assert skeleton.swaps == ()
    assert "key-points of one side have no partner on the other" in tally.faults
    (fault,) = [each for each in tally.faults if "no horizontal flips" in each]
    assert fault.endswith("unless --input.partners names pairs")


def test_lines_to_key_points_that_are_not_there_are_counted() -> None:
    tally = Tally()
    bones = [[1, 2], [0, 1], [2, 9], ["a", 1], [1], None, [True, 2]]
    assert make_skeleton(FILE, ("l_a", "r_a"), tally, bones=bones).bones == ((0, 1),)
    assert tally.faults["skeleton lines with unknown key-points left out"] == (6, FILE.name)


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", ""), ("a", None), ("a", "b\x07"), ("a", ["b"])]
)
def test_names_that_are_none_are_told(names: tuple[object, ...]) -> None:
    with pytest.raises(UserError, match=r"points\.json: its list of key-points has"):
        make_skeleton(FILE, names, Tally())


@pytest.mark.parametrize("sigmas", [[0.1], [0.1, 0], [0.1, "x"], 0.1, [float("nan"), 1], [1, 1e9]])
def test_spreads_that_are_none_are_told(sigmas: object) -> None:
    with pytest.raises(UserError, match="sigmas must be 2 numbers above 0"):
        make_skeleton(FILE, ("a", "b"), Tally(), sigmas=sigmas)


def test_partners_that_a_person_names_take_precedence() -> None:
    names = ("snout", "near_ear", "far_ear", "left_hip", "right_hip", "left_paw")
    tally = Tally()
    given = "near_ear:far_ear, left_paw:snout"
    skeleton = make_skeleton(FILE, names, tally, given=given)
    assert skeleton.swaps == ((1, 2), (3, 4), (5, 0))
    assert not [fault for fault in tally.faults if "mirror" in fault or "side" in fault]
    stated = make_skeleton(FILE, names, tally, swaps=((1, 3), (2, 4)), given="near_ear:far_ear")
    assert stated.swaps == ((1, 2),)


def test_partners_of_cocos_person_and_of_numbered_points_can_be_named() -> None:
    given = "left_eye:right_ear,right_eye:left_ear"
    person = make_skeleton(FILE, COCO_PERSON.names, Tally(), given=given)
    assert person.mirrored()[:6] == [0, 4, 3, 2, 1, 6]
    points = make_skeleton(FILE, numbered(3), Tally(), given="point 1:point 3")
    assert points.mirrored() == [2, 1, 0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a:b,b:c", "names 'b' twice; a key-point has one partner"),
        ("a:a", "names 'a' twice"),
        ("a,b", "has 'a'; give pairs of key-points with a colon, such as left_eye:right_eye"),
        ("a:b:c", "has 'a:b:c'"),
        ("a:", "has 'a:'"),
        ("a:b,", "has ''"),
        ("nse:b", "names 'nse', which is not a key-point here; they are nose, a, b. Did you"),
    ],
)
def test_partners_that_cannot_be_are_told(given: str, told: str) -> None:
    with pytest.raises(UserError, match=f"--input.partners {re.escape(told)}"):
        make_skeleton(FILE, ("nose", "a", "b"), Tally(), given=given)


@pytest.mark.parametrize(
    ("names", "swaps", "sides"),
    [
        (("nose", "left_eye", "right_eye"), ((1, 2),), ("", "left", "right")),
        (("right_eye", "left_eye"), ((0, 1),), ("right", "left")),  # as the names have it
        (("a", "b", "c"), ((2, 0),), ("right", "", "left")),  # as the partners have it
        (("left_eye", "right_eye"), (), ("", "")),
    ],
)
def test_the_sides_of_key_points(
    names: tuple[str, ...], swaps: tuple[tuple[int, int], ...], sides: tuple[str, ...]
) -> None:
    skeleton = Skeleton(names=names, swaps=swaps, bones=(), sigmas=(0.05,) * len(names))
    assert sides_of(skeleton) == sides


def test_a_person_has_as_many_left_as_right_points() -> None:
    sides = sides_of(COCO_PERSON)
    assert [sides.count(side) for side in ("left", "right", "")] == [8, 8, 1]
    assert all(name.startswith(side) for name, side in zip(COCO_PERSON.names, sides, strict=True))
