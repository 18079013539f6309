"""Draw pets with exact trimaps: a pure function of (seed, index).

A pet is a list of parts (body, head, ears, legs, tail), each given by its signed distance. The
union of the parts is the pet's outline, which makes the trimap exact: deeper inside than the
border's half width is pet, farther outside is background, and the band between is border, as in
Oxford-IIIT Pet.

Coordinates: x to the right, y down; the image is the unit square. Distances are in the same unit.
"""

import numpy as np
from numpy.typing import NDArray

from petseg.datasets.synthetic.pose import (
    COATS,
    IMAGE_STREAM,
    NUM_BREEDS,
    Breed,
    draw_parts,
    make_breed,
)
from petseg.datasets.synthetic.shapes import (
    Array,
    Part,
    capsule,
    noise,
    paint,
    side_light,
    texture,
    unit_vector,
)

_TRIMAP_PET, _TRIMAP_BACKGROUND, _TRIMAP_BORDER = 1, 2, 3
_BORDER_HALF_WIDTH = 0.02

_FACE_COLOR = np.array((25, 22, 20), np.float32)

_SCENES = np.array(  # (6, 2, 3): upper and lower color
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


def draw_pet(seed: int, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """Draw an image (size, size, 3) uint8 and its trimap (size, size) uint8 with Oxford's values.

    Also return the breed's number.
    """
    rng = np.random.default_rng([IMAGE_STREAM, seed, index])
    number = index % NUM_BREEDS
    breed = make_breed(number)
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    x, y = (np.asarray(grid, np.float32) for grid in np.meshgrid(axis, axis))

    image = _draw_background(rng, x, y)
    outline = _paint_pet(rng, image, x, y, breed)
    if rng.random() < 0.4:
        occluder = _draw_occluder(rng, x, y)
        color = _SCENES[rng.integers(len(_SCENES)), 1]
        paint(image, texture(rng, size, color, 0.25), occluder, 1.0 / size)
        outline = np.maximum(outline, -occluder)
    _light_and_add_noise(rng, image, x, y)
    return np.clip(image, 0, 255).astype(np.uint8), _trimap_of(outline), number


def _trimap_of(outline: Array) -> NDArray[np.uint8]:
    trimap = np.full(outline.shape, _TRIMAP_BORDER, np.uint8)
    trimap[outline < -_BORDER_HALF_WIDTH] = _TRIMAP_PET
    trimap[outline > _BORDER_HALF_WIDTH] = _TRIMAP_BACKGROUND
    return trimap


def _paint_pet(rng: np.random.Generator, image: Array, x: Array, y: Array, breed: Breed) -> Array:
    """Paint a pet on the image, in place. Return its signed distance, (size, size)."""
    size = len(x)
    pixel = 1.0 / size
    u, v, scale = _pet_coordinates(rng, x, y)
    parts, face = draw_parts(rng, breed)
    coat = _draw_coat(rng, breed, u, v)
    light = unit_vector(np.array([rng.uniform(-1, 1), rng.uniform(-1.2, -0.4)], np.float32))
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
    for part in face:
        distance, _ = capsule(u, v, part)
        inside_pet = np.maximum(distance * scale, outline)
        paint(image, _FACE_COLOR, inside_pet, pixel)
    return outline


def _pet_coordinates(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array, float]:
    """Return the pet's own coordinates u, v at each pixel, and its scale.

    The pet is moved, rotated, scaled, perhaps mirrored, and warped a little, so that edges look
    like fur.
    """
    size = len(x)
    scale = rng.uniform(0.36, 0.6)
    angle = rng.normal(0.0, 0.12)
    side = rng.choice([-1.0, 1.0])
    fur = rng.uniform(0.004, 0.014)
    dx = x - rng.uniform(0.38, 0.62) + fur * noise(rng, size, 24)
    dy = y - rng.uniform(0.42, 0.6) + fur * noise(rng, size, 24)
    u = side * (np.cos(angle) * dx + np.sin(angle) * dy) / scale
    v = (-np.sin(angle) * dx + np.cos(angle) * dy) / scale
    return u, v, scale


def _light_and_add_noise(rng: np.random.Generator, image: Array, x: Array, y: Array) -> None:
    """Vary the brightness over the image and add pixel noise, in place."""
    image *= (
        rng.uniform(0.75, 1.2)
        * (1 + rng.uniform(-0.25, 0.25) * (x - 0.5) + rng.uniform(-0.2, 0.2) * (y - 0.5))[..., None]
    )
    image += rng.normal(0, rng.uniform(2, 7), image.shape).astype(np.float32)


def _draw_coat(rng: np.random.Generator, breed: Breed, u: Array, v: Array) -> Array:
    """Return the color of the fur at each pixel, (H, W, 3): the breed's pattern, varied per pet."""
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
    grain = 1 + 0.1 * noise(rng, size, 12) + 0.12 * noise(rng, size, size // 2)
    return np.asarray(base * grain[..., None])


def _draw_background(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Return a wall or sky over a floor or meadow, with objects, some of them in coat colors."""
    size = len(x)
    scene = _SCENES[rng.integers(len(_SCENES))]
    upper, lower = scene * rng.uniform(0.7, 1.2, (2, 1)).astype(np.float32)
    horizon = y - rng.uniform(0.35, 0.75) - 0.02 * noise(rng, size, 6)
    image = texture(rng, size, upper, rng.uniform(0.05, 0.2)).astype(np.float32)
    paint(image, texture(rng, size, lower, rng.uniform(0.1, 0.3)), -horizon, 1 / size)
    for _ in range(rng.integers(1, 5)):
        _paint_object(rng, image, x, y)
    return image


def _paint_object(rng: np.random.Generator, image: Array, x: Array, y: Array) -> None:
    """Paint a capsule or a rectangle on the image, in place."""
    size = len(x)
    if rng.random() < 0.5:
        color = COATS[rng.integers(len(COATS))]
    else:
        color = rng.uniform(30, 220, 3).astype(np.float32)
    at, to = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
    end = (at[0] * 0.7 + to[0] * 0.3, at[1] * 0.7 + to[1] * 0.3)
    part = Part((at[0], at[1]), end, *rng.uniform(0.03, 0.13, 2))
    if rng.random() < 0.5:
        distance, _ = capsule(x, y, part)
    else:
        distance = np.maximum(np.abs(x - at[0]) - part.r0, np.abs(y - at[1]) - part.r1 * 1.5)
    paint(image, texture(rng, size, color, 0.15), distance, 1 / size)


def _draw_occluder(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Return the signed distance to an object in front of the pet: grass, a post, or a ledge."""
    kind = rng.choice(["grass", "post", "ledge"])
    if kind == "post":
        across = np.abs(x - rng.uniform(0.2, 0.8) + 0.1 * (y - 0.5))
        return np.asarray(across - rng.uniform(0.02, 0.05))
    if kind == "ledge":
        return np.asarray(rng.uniform(0.72, 0.88) - y)
    blades = np.full_like(x, np.inf)
    for _ in range(rng.integers(4, 9)):
        root = rng.uniform(0, 1)
        tip = (root + rng.uniform(-0.15, 0.15), rng.uniform(0.5, 0.85))
        blade = Part((root, 1.05), tip, 0.03, 0.006)
        blades = np.minimum(blades, capsule(x, y, blade)[0])
    return blades
