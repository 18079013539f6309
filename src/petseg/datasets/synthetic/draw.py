"""Pets drawn by code, with exact trimaps: a pure function of (seed, index).

A pet is a list of parts (body, head, ears, legs, tail), each a tapered capsule given by its signed distance. The union
of the distances is the pet's outline, so the trimap is exact: what is deeper than the border's half width is pet, what
is farther outside is background, and the band between is border, as in Oxford-IIIT Pet.

Coordinates: x to the right, y down, the picture is the unit square. Distances are in the same unit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.datasets.synthetic.shapes import (
    Array,
    Part,
    capsule,
    noise,
    paint,
    side_light,
    texture,
    unit,
)

BREEDS = 37
CAT_BREEDS = 12
"""Breeds 0 to 11 are cats, the others dogs: the proportions of Oxford-IIIT Pet."""

TRIMAP_PET, TRIMAP_BACKGROUND, TRIMAP_BORDER = 1, 2, 3
BORDER_HALF_WIDTH = 0.02

_BREED_STREAM, _PICTURE_STREAM = 0, 1

_COATS = np.array(
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
_SCENES = np.array(  # upper color, lower color
    [
        [[150, 185, 215], [96, 128, 62]],
        [[70, 100, 60], [110, 140, 80]],
        [[205, 195, 180], [130, 95, 65]],
        [[175, 190, 195], [160, 150, 145]],
        [[120, 90, 95], [190, 180, 170]],
        [[225, 225, 230], [90, 95, 110]],
    ],
    np.float32,
)


@dataclass(frozen=True)
class Breed:
    """What all pets of one breed share; follows from the breed's number alone."""

    bulk: float
    leg: float
    snout: float
    ear: float
    floppy: bool
    tail: float
    coat: Array  # (3,) RGB 0..255
    marking: Array  # (3,)
    pattern: str


def breed_of(number: int) -> Breed:
    """The look of a breed, `number` from 0 to BREEDS - 1."""
    rng = np.random.default_rng([_BREED_STREAM, number])
    cat = number < CAT_BREEDS
    coat, marking = _COATS[rng.permutation(len(_COATS))[:2]]
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


def draw_pet(seed: int, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """One picture: image (size, size, 3) uint8, trimap (size, size) uint8 in the Oxford coding, breed number."""
    rng = np.random.default_rng([_PICTURE_STREAM, seed, index])
    number = index % BREEDS
    breed = breed_of(number)
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    x, y = (np.asarray(grid, np.float32) for grid in np.meshgrid(axis, axis))
    pixel = 1.0 / size

    image = _background(rng, x, y, breed)

    # Into the pet's own coordinates: moved, turned, scaled, perhaps mirrored, and warped a little: edges become fur.
    scale = rng.uniform(0.36, 0.6)
    angle = rng.normal(0.0, 0.12)
    side = rng.choice([-1.0, 1.0])
    fur = rng.uniform(0.004, 0.014)
    dx = x - rng.uniform(0.38, 0.62) + fur * noise(rng, size, 24)
    dy = y - rng.uniform(0.42, 0.6) + fur * noise(rng, size, 24)
    u = side * (np.cos(angle) * dx + np.sin(angle) * dy) / scale
    v = (-np.sin(angle) * dx + np.cos(angle) * dy) / scale

    parts, face = _pose(rng, breed)
    coat = _coat(rng, breed, u, v)
    light = unit(np.array([rng.uniform(-1, 1), rng.uniform(-1.2, -0.4)], np.float32))
    outline = np.full_like(x, np.inf)
    for part in parts:
        distance, across = capsule(u, v, part)
        relief = (
            1.0
            - 0.35 * np.clip(1.0 + distance / max(part.r0, part.r1), 0, 1) ** 2
            + 0.25 * side_light(across, light)
        )
        paint(image, coat * (part.tone * relief)[..., None], distance * scale, pixel)
        outline = np.minimum(outline, distance * scale)
    for part, color in face:
        distance, _ = capsule(u, v, part)
        inside_pet = np.maximum(distance * scale, outline)
        paint(image, np.array(color, np.float32), inside_pet, pixel)

    if rng.random() < 0.4:
        cover = _cover(rng, x, y)
        paint(image, texture(rng, size, _SCENES[rng.integers(len(_SCENES)), 1], 0.25), cover, pixel)
        outline = np.maximum(outline, -cover)

    image *= (
        rng.uniform(0.75, 1.2)
        * (1 + rng.uniform(-0.25, 0.25) * (x - 0.5) + rng.uniform(-0.2, 0.2) * (y - 0.5))[..., None]
    )
    image += rng.normal(0, rng.uniform(2, 7), image.shape).astype(np.float32)
    trimap = np.full(outline.shape, TRIMAP_BORDER, np.uint8)
    trimap[outline < -BORDER_HALF_WIDTH] = TRIMAP_PET
    trimap[outline > BORDER_HALF_WIDTH] = TRIMAP_BACKGROUND
    return np.clip(image, 0, 255).astype(np.uint8), trimap, number


def _pose(
    rng: np.random.Generator, breed: Breed
) -> tuple[list[Part], list[tuple[Part, tuple[int, int, int]]]]:
    """Parts of the pet from back to front, and the details of its face with their colors."""
    pose = rng.choice(["find_reusable", "sitting", "lying", "portrait"], p=[0.3, 0.25, 0.2, 0.25])
    b = breed.bulk * rng.uniform(0.92, 1.08)
    swing = rng.uniform(-0.12, 0.12, 4)
    if pose == "portrait":
        head, r, snout = (0.0, -0.15), 0.42, (0.0, 0.02 + breed.snout * 0.3)
        torso = [Part((0.0, 0.45), (0.0, 1.6), b + 0.05, b + 0.45)]
        ears = [
            Part((s * r * 0.65, head[1] - r * 0.6), _ear_tip(s * r, head[1], r, breed), 0.17, 0.04)
            for s in (-1, 1)
        ]
        face_x = [-0.17, 0.17]
    else:
        if pose == "find_reusable":
            rump, chest, ground = (-0.5, 0.0), (0.35, -0.04), b + breed.leg
            legs = [(-0.48, 0.75), (0.3, 0.75), (-0.36, 1.0), (0.42, 1.0)]
        elif pose == "sitting":
            rump, chest, ground = (-0.25, 0.32), (0.12, -0.2), 0.32 + b
            legs = [(0.12, 0.75), (0.24, 1.0)]
        else:
            rump, chest, ground = (-0.55, 0.15), (0.35, 0.08), 0.15 + b
            legs = []
        torso = [
            Part((x, chest[1] + 0.1), (x + float(s), ground), 0.11, 0.07, tone)
            for (x, tone), s in zip(legs, swing, strict=False)
        ]
        torso.append(Part(rump, chest, b * (1.25 if pose == "sitting" else 1.0), b * 0.95))
        if pose == "lying":
            torso.append(Part((0.3, ground - 0.06), (0.75, ground - 0.04), 0.08, 0.07))
        torso[:0] = _tail(rng, breed, (rump[0] - b * 0.7, rump[1]))
        r = 0.23
        head = (chest[0] + 0.26 + float(swing[3]), chest[1] - 0.34 - float(swing[2]))
        torso.append(Part((chest[0] + 0.05, chest[1] - 0.05), head, b * 0.75, r * 0.75))
        snout = (head[0] + 0.16 + breed.snout * 0.8, head[1] + 0.1)
        ears = [
            Part(
                (head[0] + dx, head[1] - 0.14),
                _ear_tip(head[0] + dx, head[1], r, breed),
                0.09,
                0.03,
            )
            for dx in (-0.13, 0.08)
        ]
        face_x = [0.08]
    skull = Part(head, (head[0] + 0.01, head[1]), r, r)
    muzzle = Part(head, snout, r * 0.6, r * (0.35 if breed.snout > 0.08 else 0.45), 1.05)
    parts = [*torso, *ears, skull, muzzle] if not breed.floppy else [*torso, skull, muzzle, *ears]
    eye = r * 0.14
    eyes = [
        Part((head[0] + dx, head[1] - r * 0.15), (head[0] + dx, head[1] - r * 0.12), eye, eye)
        for dx in face_x
    ]
    nose = Part(snout, (snout[0] + 0.01, snout[1]), r * 0.17, r * 0.17)
    return parts, [(part, (25, 22, 20)) for part in [*eyes, nose]]


def _ear_tip(x: float, y: float, r: float, breed: Breed) -> tuple[float, float]:
    reach = breed.ear * r / 0.23
    return (x * 1.02 + 0.02, y + reach * 0.9) if breed.floppy else (x * 1.05, y - r * 0.6 - reach)


def _tail(rng: np.random.Generator, breed: Breed, root: tuple[float, float]) -> list[Part]:
    """Three capsules in a row, bending up or down."""
    parts, at, heading, bend = [], root, rng.uniform(2.2, 3.8), rng.uniform(-0.7, 0.7)
    for _ in range(3):
        step = breed.tail / 3
        to = (at[0] + step * float(np.cos(heading)), at[1] + step * float(np.sin(heading)) * 0.9)
        parts.append(Part(at, to, 0.065, 0.055, 0.9))
        at, heading = to, heading + bend
    return parts


def _coat(rng: np.random.Generator, breed: Breed, u: Array, v: Array) -> Array:
    """The fur's color everywhere, (H, W, 3): the breed's pattern, at its own place on each pet."""
    size = len(u)
    if breed.pattern == "stripes":
        share = 0.5 + 0.5 * np.sin(rng.uniform(14, 22) * (u + 0.35 * v) + 1.5 * noise(rng, size, 8))
    elif breed.pattern == "patches":
        share = np.clip(4 * noise(rng, size, int(rng.integers(5, 8))), 0, 1)
    elif breed.pattern == "belly":
        share = np.clip(2.5 * (v + 0.1 * noise(rng, size, 10)), 0, 1)
    else:
        share = np.zeros_like(u)
    tint = rng.normal(1.0, 0.07, 3).astype(np.float32)
    base = (breed.coat + share[..., None] * (breed.marking - breed.coat)) * tint
    return np.asarray(
        base * (1 + 0.1 * noise(rng, size, 12) + 0.12 * noise(rng, size, size // 2))[..., None]
    )


def _background(rng: np.random.Generator, x: Array, y: Array, breed: Breed) -> Array:
    """A wall or sky over a floor or meadow, with things lying about, some of them in the coat's colors."""
    size = len(x)
    upper, lower = _SCENES[rng.integers(len(_SCENES))] * rng.uniform(0.7, 1.2, (2, 1)).astype(
        np.float32
    )
    horizon = y - rng.uniform(0.35, 0.75) - 0.02 * noise(rng, size, 6)
    image = texture(rng, size, upper, rng.uniform(0.05, 0.2)).astype(np.float32)
    paint(image, texture(rng, size, lower, rng.uniform(0.1, 0.3)), -horizon, 1 / size)
    for _ in range(rng.integers(1, 5)):
        color = (
            _COATS[rng.integers(len(_COATS))]
            if rng.random() < 0.5
            else rng.uniform(30, 220, 3).astype(np.float32)
        )
        at, to = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
        thing = Part(
            (at[0], at[1]),
            (at[0] * 0.7 + to[0] * 0.3, at[1] * 0.7 + to[1] * 0.3),
            *rng.uniform(0.03, 0.13, 2),
        )
        if rng.random() < 0.5:
            distance, _ = capsule(x, y, thing)
        else:
            distance = np.maximum(np.abs(x - at[0]) - thing.r0, np.abs(y - at[1]) - thing.r1 * 1.5)
        paint(image, texture(rng, size, color, 0.15), distance, 1 / size)
    return image


def _cover(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Signed distance to something in front of the pet: grass, a post, or a ledge."""
    kind = rng.choice(["grass", "post", "ledge"])
    if kind == "post":
        return np.asarray(
            np.abs(x - rng.uniform(0.2, 0.8) + 0.1 * (y - 0.5)) - rng.uniform(0.02, 0.05)
        )
    if kind == "ledge":
        return np.asarray(rng.uniform(0.72, 0.88) - y)
    blades = np.full_like(x, np.inf)
    for _ in range(rng.integers(4, 9)):
        root = rng.uniform(0, 1)
        blade = Part(
            (root, 1.05), (root + rng.uniform(-0.15, 0.15), rng.uniform(0.5, 0.85)), 0.03, 0.006
        )
        blades = np.minimum(blades, capsule(x, y, blade)[0])
    return blades
