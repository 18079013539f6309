"""Shapes and textures of the synthetic pets and their scenes.

A shape is a signed distance: negative inside, in the unit of its coordinates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A tapered capsule from `start` with radius `r0` to `end` with radius `r1`."""

    start: tuple[float, float]
    end: tuple[float, float]
    r0: float
    r1: float
    tone: float = 1.0  # brightness of the coat on this part: far legs are darker


def capsule(u: Array, v: Array, part: Part) -> tuple[Array, tuple[Array, Array]]:
    """Return the signed distance to a capsule, and the unit direction (u, v) away from its axis."""
    ax, ay = part.end[0] - part.start[0], part.end[1] - part.start[1]
    pu, pv = u - part.start[0], v - part.start[1]
    along = np.clip((pu * ax + pv * ay) / (ax * ax + ay * ay + 1e-9), 0, 1)
    du, dv = pu - along * ax, pv - along * ay
    length = np.sqrt(du * du + dv * dv)
    safe = np.maximum(length, 1e-6)
    distance = length - (part.r0 + along * (part.r1 - part.r0))
    return np.asarray(distance), (np.asarray(du / safe), np.asarray(dv / safe))


def paint(image: Array, color: Array, distance: Array, pixel: float) -> None:
    """Paint a color (3,) or (H, W, 3) where the distance is negative, in place, antialiased."""
    opacity = np.clip(0.5 - distance / pixel, 0, 1)[..., None]
    image += opacity * (color - image)


def noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Return smooth noise (size, size) of about -1 to 1, interpolated from `cells` x `cells`."""
    grid = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def texture(rng: np.random.Generator, size: int, color: Array, strength: float) -> Array:
    """Return a color (3,) or (H, W, 3) with coarse and fine brightness noise, (size, size, 3)."""
    cells = int(rng.integers(3, 9))
    grain = (
        noise(rng, size, cells)
        + 0.6 * noise(rng, size, cells * 4)
        + 0.5 * noise(rng, size, size // 2)
    )
    return np.asarray(color * (1 + strength * grain)[..., None])


def side_light(across: tuple[Array, Array], light: Array) -> Array:
    """Return how much a rounded part faces the light, -1 to 1.

    `across` points away from the part's axis.
    """
    return np.asarray(across[0] * light[0] + across[1] * light[1])


def unit_vector(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
