"""Run contenders in turns, A B C A B C ..., each in its own process.

If the machine slows down or speeds up, that affects all contenders, so the ratios within a turn
stay valid. TensorFlow's threads, determinism and memory are per process.
"""

import multiprocessing
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes per unit of ru_maxrss."""


@dataclass(frozen=True)
class Prepared:
    """A contender that is ready to be measured."""

    measure: Callable[[], float]  # does the work once and returns the measurement
    details: Mapping[str, float | int | str] = field(default_factory=dict)  # more columns


@dataclass(frozen=True)
class Contender:
    name: str
    prepare: Callable[..., Prepared]  # a module's function, called in the contender's process
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """The measurements of one contender."""

    name: str
    unit: str
    values: list[float]  # of the measured turns
    cold: float  # of the warm-up turn before them
    details: dict[str, float | int | str]


class ContenderError(Exception):
    """A contender failed; the message is its traceback."""


def take_turns(contenders: Sequence[Contender], unit: str, repetitions: int) -> list[Measurement]:
    """Run a warm-up turn, then `repetitions` measured turns. Raises ContenderError."""
    context = multiprocessing.get_context("spawn")
    connections: list[Connection] = []
    try:
        for contender in contenders:
            parent_end, child_end = context.Pipe()
            context.Process(target=_serve, args=(child_end, contender), daemon=True).start()
            child_end.close()
            connections.append(parent_end)
            _receive(parent_end, contender)  # so that only one prepares at a time
        pairs = list(zip(connections, contenders, strict=True))
        turns = [[_measure(*pair) for pair in pairs] for _ in range(1 + repetitions)]
        for connection in connections:
            connection.send(False)
        details = [_receive(*pair) for pair in pairs]
    finally:
        for connection in connections:
            connection.close()
    return [
        Measurement(contender.name, unit, [turn[i] for turn in turns[1:]], turns[0][i], details[i])
        for i, contender in enumerate(contenders)
    ]


def rate(
    work: Callable[[], object],
    amount: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Repeat `work`, which does `amount`, for at least `seconds`; return the amount per second."""
    done, elapsed, start = 0, 0.0, clock()
    while elapsed < seconds:
        work()
        done += amount
        elapsed = clock() - start
    return done / elapsed


def ratio(numerator: Measurement, denominator: Measurement) -> list[float]:
    """Return the ratios turn by turn."""
    return [a / b for a, b in zip(numerator.values, denominator.values, strict=True)]


def _measure(connection: Connection, contender: Contender) -> float:
    connection.send(True)
    return float(_receive(connection, contender))


def _receive(connection: Connection, contender: Contender) -> Any:
    try:
        answer = connection.recv()
    except EOFError:
        raise ContenderError(f"{contender.name} ended without an error message") from None
    if isinstance(answer, ContenderError):
        raise answer
    return answer


def _serve(connection: Connection, contender: Contender) -> None:
    """Run a contender's process: send a measurement for each request, and details at the end."""
    try:
        prepared = contender.prepare(**contender.settings)
        connection.send(None)
        while connection.recv():
            connection.send(prepared.measure())
        connection.send({**prepared.details, "peak MiB": _peak_mib()})
    except EOFError:  # another contender failed
        return
    except Exception:
        connection.send(ContenderError(f"{contender.name}:\n{traceback.format_exc()}"))


def _peak_mib() -> int:
    """Return this process's peak memory; on Linux, ru_maxrss would include the parent's."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 2**20)
