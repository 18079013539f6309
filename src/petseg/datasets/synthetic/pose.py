"""The appearance of the synthetic breeds, and the body parts of a pet in one of four poses."""

from dataclasses import dataclass

import numpy as np

from petseg.datasets.synthetic.shapes import Array, Part

NUM_BREEDS = 37
NUM_CAT_BREEDS = 12
"""Breeds 0 to 11 are cats, the others dogs, as many of each as in Oxford-IIIT Pet."""

_BREED_STREAM, IMAGE_STREAM = 0, 1
"""First word of a seed, so that breeds and images draw from separate random streams."""

_Point = tuple[float, float]

COATS = np.array(
    [
        [222, 184, 135],
        [120, 78, 48],
        [60, 52, 50],
        [235, 230, 220],
        [150, 150, 155],
        [196, 130, 70],
        [180, 150, 120],
    ],
    np.float32,
)


@dataclass(frozen=True)
class Breed:
    """The appearance that all pets of a breed share."""

    bulk: float
    leg: float
    snout: float
    ear: float
    floppy: bool
    tail: float
    coat: Array  # (3,) RGB 0..255
    marking: Array  # (3,)
    pattern: str


def make_breed(number: int) -> Breed:
    """Draw the appearance of breed `number` (0 to NUM_BREEDS - 1)."""
    rng = np.random.default_rng([_BREED_STREAM, number])
    cat = number < NUM_CAT_BREEDS
    coat, marking = COATS[rng.permutation(len(COATS))[:2]]
    return Breed(
        bulk=rng.uniform(0.22, 0.29) if cat else rng.uniform(0.22, 0.36),
        leg=rng.uniform(0.45, 0.55) if cat else rng.uniform(0.35, 0.7),
        snout=rng.uniform(0.02, 0.07) if cat else rng.uniform(0.1, 0.3),
        ear=rng.uniform(0.16, 0.26) if cat else rng.uniform(0.15, 0.32),
        floppy=not cat and bool(rng.random() < 0.6),
        tail=rng.uniform(0.6, 0.9) if cat else rng.uniform(0.15, 0.7),
        coat=coat,
        marking=marking,
        pattern=str(rng.choice(["plain", "stripes", "patches", "belly"])),
    )


@dataclass(frozen=True)
class _Pose:
    """The pet's parts except skull, muzzle and face, and where those three go."""

    torso: list[Part]  # from back to front
    ears: list[Part]
    head: _Point
    head_radius: float
    snout: _Point
    eye_offsets: list[float]  # from the head's center, in x


def draw_parts(rng: np.random.Generator, breed: Breed) -> tuple[list[Part], list[Part]]:
    """Return the parts of the pet from back to front, and those of its face."""
    kind = str(rng.choice(["standing", "sitting", "lying", "portrait"], p=[0.3, 0.25, 0.2, 0.25]))
    bulk = breed.bulk * rng.uniform(0.92, 1.08)
    swing = [float(value) for value in rng.uniform(-0.12, 0.12, 4)]
    if kind == "portrait":
        pose = _portrait(breed, bulk)
    else:
        pose = _full_body(rng, breed, bulk, kind, swing)
    head, r, snout = pose.head, pose.head_radius, pose.snout
    skull = Part(head, (head[0] + 0.01, head[1]), r, r)
    muzzle = Part(head, snout, r * 0.6, r * (0.35 if breed.snout > 0.08 else 0.45), 1.05)
    if breed.floppy:
        parts = [*pose.torso, skull, muzzle, *pose.ears]
    else:
        parts = [*pose.torso, *pose.ears, skull, muzzle]
    eye = r * 0.14
    eyes = [
        Part((head[0] + dx, head[1] - r * 0.15), (head[0] + dx, head[1] - r * 0.12), eye, eye)
        for dx in pose.eye_offsets
    ]
    nose = Part(snout, (snout[0] + 0.01, snout[1]), r * 0.17, r * 0.17)
    return parts, [*eyes, nose]


def _portrait(breed: Breed, bulk: float) -> _Pose:
    head, r = (0.0, -0.15), 0.42
    ears = [
        Part((s * r * 0.65, head[1] - r * 0.6), _ear_tip(s * r, head[1], r, breed), 0.17, 0.04)
        for s in (-1, 1)
    ]
    return _Pose(
        torso=[Part((0.0, 0.45), (0.0, 1.6), bulk + 0.05, bulk + 0.45)],
        ears=ears,
        head=head,
        head_radius=r,
        snout=(0.0, 0.02 + breed.snout * 0.3),
        eye_offsets=[-0.17, 0.17],
    )


def _full_body(
    rng: np.random.Generator, breed: Breed, bulk: float, kind: str, swing: list[float]
) -> _Pose:
    """Return a pet that is standing, sitting or lying; `swing` moves legs and head."""
    if kind == "standing":
        rump, chest, ground = (-0.5, 0.0), (0.35, -0.04), bulk + breed.leg
        legs = [(-0.48, 0.75), (0.3, 0.75), (-0.36, 1.0), (0.42, 1.0)]  # (x, tone)
    elif kind == "sitting":
        rump, chest, ground = (-0.25, 0.32), (0.12, -0.2), 0.32 + bulk
        legs = [(0.12, 0.75), (0.24, 1.0)]
    else:
        rump, chest, ground = (-0.55, 0.15), (0.35, 0.08), 0.15 + bulk
        legs = []
    torso = _draw_tail(rng, breed, (rump[0] - bulk * 0.7, rump[1]))
    for (x, tone), step in zip(legs, swing, strict=False):
        torso.append(Part((x, chest[1] + 0.1), (x + step, ground), 0.11, 0.07, tone))
    torso.append(Part(rump, chest, bulk * (1.25 if kind == "sitting" else 1.0), bulk * 0.95))
    if kind == "lying":
        torso.append(Part((0.3, ground - 0.06), (0.75, ground - 0.04), 0.08, 0.07))
    r = 0.23
    head = (chest[0] + 0.26 + swing[3], chest[1] - 0.34 - swing[2])
    torso.append(Part((chest[0] + 0.05, chest[1] - 0.05), head, bulk * 0.75, r * 0.75))
    ears = []
    for dx in (-0.13, 0.08):
        tip = _ear_tip(head[0] + dx, head[1], r, breed)
        ears.append(Part((head[0] + dx, head[1] - 0.14), tip, 0.09, 0.03))
    snout = (head[0] + 0.16 + breed.snout * 0.8, head[1] + 0.1)
    return _Pose(torso, ears, head, r, snout, eye_offsets=[0.08])


def _ear_tip(x: float, y: float, r: float, breed: Breed) -> _Point:
    reach = breed.ear * r / 0.23
    return (x * 1.02 + 0.02, y + reach * 0.9) if breed.floppy else (x * 1.05, y - r * 0.6 - reach)


def _draw_tail(rng: np.random.Generator, breed: Breed, root: _Point) -> list[Part]:
    """Return the tail: a chain of three capsules that bends up or down."""
    parts: list[Part] = []
    at, step = root, breed.tail / 3
    heading, bend = rng.uniform(2.2, 3.8), rng.uniform(-0.7, 0.7)
    for _ in range(3):
        to = (at[0] + step * float(np.cos(heading)), at[1] + step * float(np.sin(heading)) * 0.9)
        parts.append(Part(at, to, 0.065, 0.055, 0.9))
        at, heading = to, heading + bend
    return parts
