"""Who is in front of the camera: everything about a face that is drawn once from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ShapeField = Callable[[np.ndarray], np.ndarray]

HAIR_STYLES = ("bald", "buzz", "short", "side", "fringe", "curly", "long", "tied", "receding")


@dataclass(frozen=True)
class Identity:
    """A person. Lengths in cm, shares 0..1, colours linear RGB."""

    seed: int
    feminine: float
    age: float
    """0 young adult, 1 old."""
    bumps: np.ndarray
    """(B, 10): centre (3), spread (3), move (3), mirror (+1 both sides, -1 opposite, 0 alone)."""
    scale: tuple[float, float, float]
    skin_colour: tuple[float, float, float]
    ruddiness: float
    mottling: float
    freckles: float
    oiliness: float
    lip_colour: tuple[float, float, float]
    hair_colour: tuple[float, float, float]
    hair_style: str
    hair_length: float
    hairline: float
    brow_thickness: float
    brow_density: float
    brow_arch: float
    brow_height: float
    brow_colour: tuple[float, float, float]
    stubble: float
    beard: str
    """none, moustache, goatee or full."""
    lashes: float
    eye_colour: tuple[float, float, float]
    eye_opening: float
    """Neutral lid aperture in cm."""
    lid_fold: float
    glasses: str
    """none, thin, thick or round."""
    wrinkling: float
    """How deep creases get, from age and skin."""
    unit_gains: np.ndarray
    """(U, 2): how far each Action Unit travels on the right and the left side, around 1."""
    cloth_colour: tuple[float, float, float]


def draw_identity(seed: int) -> Identity:
    """The person with this number; the same number is always the same person."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x1D]))
    feminine = float(np.clip(rng.normal(0.25 if rng.random() < 0.5 else 0.75, 0.12), 0, 1))
    age = float(rng.beta(1.3, 2.0))
    skin_colour, darkness = _skin_colour(rng)
    hair_colour = _hair_colour(rng, darkness, age)
    style = _hair_style(rng, feminine, age)
    grey_brow = 0.3 * age if rng.random() < 0.5 else 0.0
    brow = np.array(hair_colour) * rng.uniform(0.5, 0.9) * (1 - grey_brow) + 0.25 * grey_brow
    brow = np.minimum(brow, np.array(skin_colour) * 0.55)
    beard = "none"
    if feminine < 0.5:
        beard = str(rng.choice(["none", "moustache", "goatee", "full"], p=[0.7, 0.08, 0.08, 0.14]))
    stubble = float(rng.uniform(0, 0.8)) if feminine < 0.5 and rng.random() < 0.6 else 0.0
    skin = np.array(skin_colour)
    lipstick = feminine > 0.55 and rng.random() < 0.35
    lip = skin * np.array([0.92, 0.62, 0.64]) * rng.uniform(0.8, 1.0)
    if lipstick:
        tint = np.array([0.45, 0.06, 0.08]) * rng.uniform(0.5, 1.3, 3)
        share = rng.uniform(0.4, 0.85)
        lip = lip * (1 - share) + tint * share
    return Identity(
        seed=seed,
        feminine=feminine,
        age=age,
        bumps=_draw_bumps(rng, feminine, age),
        scale=(
            float(np.clip(rng.normal(0.975 - 0.015 * feminine, 0.035), 0.87, 1.05)),
            float(np.clip(rng.normal(1.0, 0.03), 0.92, 1.08)),
            float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1)),
        ),
        skin_colour=skin_colour,
        ruddiness=float(rng.uniform(0.2, 1.0)),
        mottling=float(rng.uniform(0.2, 1.0)),
        freckles=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.2 and darkness < 0.5 else 0.0,
        oiliness=float(rng.uniform(0.25, 1.0)),
        lip_colour=_triple(lip),
        hair_colour=hair_colour,
        hair_style=style,
        hair_length=float(rng.uniform(0.0, 1.0)),
        hairline=float(rng.normal(0.0, 0.35)),
        brow_thickness=float(np.clip(rng.normal(0.95 - 0.3 * feminine, 0.18), 0.4, 1.3)),
        brow_density=float(rng.uniform(0.5, 1.0)),
        brow_arch=float(np.clip(rng.normal(0.15 + 0.2 * feminine, 0.15), -0.1, 0.6)),
        brow_height=float(rng.normal(0.0, 0.15)),
        brow_colour=_triple(brow),
        stubble=stubble,
        beard=beard,
        lashes=float(np.clip(rng.normal(0.3 + 0.5 * feminine, 0.15), 0.1, 1.0)),
        eye_colour=_eye_colour(rng, darkness),
        eye_opening=float(np.clip(rng.normal(0.93, 0.09), 0.7, 1.12)),
        lid_fold=float(rng.uniform(0.0, 1.0)),
        glasses=str(rng.choice(["none", "thin", "thick", "round"], p=[0.8, 0.08, 0.07, 0.05])),
        wrinkling=float(0.35 + 0.75 * age + rng.uniform(-0.15, 0.25)),
        unit_gains=np.clip(rng.normal(1.0, 0.13, (64, 1)) + rng.normal(0, 0.06, (64, 2)), 0.6, 1.4),
        cloth_colour=_triple(rng.uniform(0.02, 0.6, 3) ** 1.3),
    )


def shape_field(identity: Identity) -> ShapeField:
    """A function from canonical points (..., 3) to this person's, in cm, smooth everywhere."""
    rows = identity.bumps
    scale = np.array(identity.scale)

    def apply(points: np.ndarray) -> np.ndarray:
        moved = points.astype(np.float64).copy()
        for row in rows:
            centre, spread, move, mirror = row[:3], row[3:6], row[6:9], row[9]
            for side in (1.0, -1.0) if mirror else (1.0,):
                flip = np.array([side, 1.0, 1.0])
                offset = (points * flip - centre) / spread
                weight = np.exp(-0.5 * (offset**2).sum(-1))
                signed = move if side > 0 or mirror > 0 else -move
                moved += weight[..., None] * signed * flip
        return moved * scale

    return apply


# centre, spread, move at one standard deviation; mirrored on both sides
_SHAPE_MODES = (
    ((6.3, -4.6, -1.0), (2.5, 2.5, 4.0), (0.40, 0.05, 0.0)),  # jaw width
    ((0.0, -9.0, 4.0), (3.0, 2.2, 4.0), (0.0, 0.40, 0.0)),  # chin length
    ((0.0, -8.6, 4.5), (2.2, 2.0, 3.0), (0.0, 0.0, 0.35)),  # chin forward
    ((2.2, -8.6, 3.5), (1.5, 1.8, 3.0), (0.30, 0.0, 0.0)),  # chin width
    ((5.8, 0.3, 2.2), (1.8, 1.8, 3.0), (0.28, 0.0, 0.22)),  # cheekbones
    ((4.6, -3.2, 3.0), (1.8, 2.2, 3.0), (0.28, 0.0, 0.32)),  # fullness of the cheeks
    ((0.0, 9.5, 3.5), (5.0, 2.5, 5.0), (0.0, 0.40, 0.0)),  # height of the forehead
    ((0.0, 7.5, 4.5), (4.0, 2.0, 3.0), (0.0, 0.0, 0.30)),  # slope of the forehead
    ((2.8, 4.3, 4.8), (2.0, 0.8, 2.0), (0.0, 0.0, 0.20)),  # brow ridge
    ((3.0, 4.2, 4.6), (2.2, 0.9, 2.0), (0.0, 0.14, 0.0)),  # height of the brow
    ((1.5, -1.0, 5.4), (0.8, 0.9, 1.5), (0.22, 0.0, 0.05)),  # width of the nostrils
    ((0.0, -1.0, 7.2), (0.9, 1.0, 1.6), (0.0, 0.0, 0.32)),  # length of the nose tip
    ((0.0, -1.4, 7.0), (1.3, 1.1, 2.0), (0.0, 0.18, 0.0)),  # height of the nose tip
    ((0.0, 1.8, 5.9), (0.8, 1.5, 1.6), (0.0, 0.0, 0.26)),  # bridge
    ((0.7, 0.8, 5.8), (0.6, 1.6, 1.5), (0.12, 0.0, 0.0)),  # width of the bridge
    ((3.15, 2.6, 3.5), (1.6, 1.1, 2.0), (0.13, 0.0, 0.0)),  # distance of the eyes
    ((3.15, 2.6, 3.5), (1.8, 1.1, 2.0), (0.0, 0.14, 0.0)),  # height of the eyes
    ((4.4, 2.7, 3.0), (0.7, 0.6, 1.5), (0.0, 0.10, 0.0)),  # tilt of the eyes
    ((4.4, 2.6, 3.0), (0.8, 0.7, 1.5), (0.09, 0.0, 0.0)),  # length of the lids
    ((3.15, 3.2, 3.9), (1.6, 1.0, 1.5), (0.0, 0.0, 0.14)),  # depth of the sockets
    ((0.0, -4.3, 5.3), (2.6, 1.5, 2.5), (0.0, 0.20, 0.0)),  # height of the mouth
    ((2.4, -4.3, 4.3), (0.9, 0.9, 2.0), (0.20, 0.0, 0.0)),  # width of the mouth
    ((0.0, -3.4, 5.8), (1.5, 0.35, 1.5), (0.0, 0.13, 0.09)),  # upper lip
    ((0.0, -5.2, 5.6), (1.5, 0.4, 1.5), (0.0, -0.13, 0.10)),  # lower lip
    ((0.0, -4.3, 5.6), (2.0, 1.4, 1.5), (0.0, 0.0, 0.22)),  # both lips forward
    ((6.6, 4.8, 1.0), (1.6, 2.2, 3.0), (0.28, 0.0, 0.0)),  # temples
    ((2.4, 0.6, 4.8), (1.0, 1.2, 1.5), (0.0, 0.0, 0.14)),  # tear trough
    ((2.4, -2.2, 4.9), (0.9, 1.4, 1.5), (0.0, 0.0, 0.14)),  # muzzle
    ((0.0, -6.3, 5.2), (2.0, 0.7, 1.5), (0.0, 0.0, 0.15)),  # mentolabial fold
)


def _draw_bumps(rng: np.random.Generator, feminine: float, age: float) -> np.ndarray:
    rows = []
    for number, (centre, spread, move) in enumerate(_SHAPE_MODES):
        size = float(np.clip(rng.normal(), -1.9, 1.9)) * 0.9
        if number in (0, 3):
            size -= 1.2 * feminine - 0.3
        if number == 8:
            size += 0.8 - 1.6 * feminine
        if number == 4:
            size += 0.4 * feminine
        rows.append([*centre, *spread, *(np.array(move) * size), 1.0])
        if centre[0] > 0:
            uneven = float(rng.normal()) * 0.22
            rows.append([*centre, *spread, *(np.array(move) * uneven), -1.0])
    # Age: the cheeks sink towards the jaw.
    rows.append([4.8, -5.2, 2.0, 1.6, 1.6, 3.0, 0.12 * age, -0.25 * age, 0.05 * age, 1.0])
    for _ in range(22):
        place = rng.normal(0, [5.0, 6.0, 2.0]) + np.array([0.0, 0.0, 3.0])
        size = rng.uniform(1.5, 3.5)
        rows.append([*place, size, size, size, *rng.normal(0, 0.09, 3), 0.0])
    return np.array(rows)


def _skin_colour(rng: np.random.Generator) -> tuple[tuple[float, float, float], float]:
    """Linear RGB along the range from pale to very dark skin, and how dark it is (0..1)."""
    stops = np.array(
        [
            [0.78, 0.53, 0.43],
            [0.70, 0.44, 0.33],
            [0.56, 0.33, 0.22],
            [0.40, 0.215, 0.135],
            [0.22, 0.11, 0.066],
            [0.115, 0.058, 0.037],
        ]
    )
    darkness = float(rng.beta(1.0, 1.35))
    at = darkness * (len(stops) - 1)
    colour = np.array([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)])
    colour = colour * rng.normal(1.0, 0.035, 3)
    return _triple(colour), darkness


def _hair_colour(
    rng: np.random.Generator, darkness: float, age: float
) -> tuple[float, float, float]:
    choices = np.array(
        [
            [0.012, 0.010, 0.010],
            [0.035, 0.020, 0.013],
            [0.075, 0.042, 0.024],
            [0.16, 0.095, 0.05],
            [0.33, 0.23, 0.12],
            [0.20, 0.065, 0.025],
        ]
    )
    light = max(0.0, 1 - 1.6 * darkness)
    chance = np.array([0.3 + darkness, 0.4, 0.35 * light, 0.3 * light, 0.2 * light, 0.07 * light])
    colour = choices[rng.choice(len(choices), p=chance / chance.sum())] * rng.uniform(0.75, 1.3)
    grey = np.clip((age - 0.45) * 2.2, 0, 1) * rng.random()
    return _triple(colour * (1 - grey) + np.array([0.36, 0.35, 0.34]) * grey)


def _hair_style(rng: np.random.Generator, feminine: float, age: float) -> str:
    if feminine > 0.5:
        chance = [0.01, 0.03, 0.1, 0.13, 0.14, 0.1, 0.3, 0.18, 0.01]
    else:
        chance = [0.06 + 0.12 * age, 0.15, 0.28, 0.18, 0.08, 0.09, 0.05, 0.02, 0.03 + 0.25 * age]
    weights = np.array(chance) / np.sum(chance)
    return str(rng.choice(HAIR_STYLES, p=weights))


def _eye_colour(rng: np.random.Generator, darkness: float) -> tuple[float, float, float]:
    choices = np.array(
        [
            [0.05, 0.022, 0.01],
            [0.11, 0.055, 0.022],
            [0.14, 0.12, 0.05],
            [0.10, 0.17, 0.10],
            [0.13, 0.22, 0.33],
            [0.2, 0.25, 0.28],
        ]
    )
    light = max(0.0, 1 - 2.2 * darkness)
    chance = np.array([0.4 + darkness, 0.3, 0.12 * light, 0.1 * light, 0.3 * light, 0.12 * light])
    colour = choices[rng.choice(len(choices), p=chance / chance.sum())]
    return _triple(colour * rng.uniform(0.7, 1.3, 3))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))
