"""Contenders, each in a process of its own, that take turns: A B C A B C ...

A machine that gets slower or faster meanwhile does so for all of them, so what counts are the ratios within a turn. A
process each, because TensorFlow's threads, its determinism and its peak memory are a process's own.
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
"""Bytes in which the system counts a process's peak memory."""


@dataclass(frozen=True)
class Ready:
    """A contender that has got ready."""

    repeat: Callable[[], float]  # does the work once more: the figure
    facts: Mapping[str, float | int | str] = field(
        default_factory=dict
    )  # what stands beside its figures, at the end


@dataclass(frozen=True)
class Contender:
    name: str
    prepare: Callable[..., Ready]  # a function of a module, called in the contender's process
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What a contender's repetitions gave."""

    name: str
    unit: str
    values: list[float]  # of the counted turns
    first: float  # of the turn before them, in a process that is still cold
    facts: dict[str, float | int | str]


class ContenderError(Exception):
    """A contender has failed; its own traceback is the message."""


def take_turns(contenders: Sequence[Contender], unit: str, repetitions: int) -> list[Measured]:
    """One turn that doesn't count, then so many that do. Raises ContenderError."""
    context = multiprocessing.get_context("spawn")
    lines: list[Connection] = []
    try:
        for contender in contenders:
            here, there = context.Pipe()
            context.Process(target=_serve, args=(there, contender), daemon=True).start()
            there.close()
            lines.append(here)
            _answer(here, contender)  # ready: no two get ready at the same time
        turns = [
            [_repeat(*pair) for pair in zip(lines, contenders, strict=True)]
            for _ in range(1 + repetitions)
        ]
        for line in lines:
            line.send(False)
        facts = [_answer(*pair) for pair in zip(lines, contenders, strict=True)]
    finally:
        for line in lines:
            line.close()
    return [
        Measured(contender.name, unit, [turn[i] for turn in turns[1:]], turns[0][i], facts[i])
        for i, contender in enumerate(contenders)
    ]


def rate(work: Callable[[], object], amount: int, seconds: float) -> float:
    """How much is done a second, by as many calls as fill so many seconds; each call does the `amount`."""
    done, passed, start = 0, 0.0, time.perf_counter()
    while passed < seconds:
        work()
        done += amount
        passed = time.perf_counter() - start
    return done / passed


def ratio(one: Measured, other: Measured) -> list[float]:
    """One to the other, turn by turn."""
    return [a / b for a, b in zip(one.values, other.values, strict=True)]


def _repeat(line: Connection, contender: Contender) -> float:
    line.send(True)
    return float(_answer(line, contender))


def _answer(line: Connection, contender: Contender) -> Any:
    try:
        answer = line.recv()
    except EOFError:
        raise ContenderError(f"{contender.name} ended without a word") from None
    if isinstance(answer, ContenderError):
        raise answer
    return answer


def _serve(line: Connection, contender: Contender) -> None:
    """The contender's process: one more figure for each request, at the end its facts and peak memory."""
    try:
        ready = contender.prepare(**contender.settings)
        line.send(None)
        while line.recv():
            line.send(ready.repeat())
        line.send({**ready.facts, "peak MiB": _peak_mib()})
    except EOFError:  # the others have failed
        return
    except Exception:
        line.send(ContenderError(f"{contender.name}:\n{traceback.format_exc()}"))


def _peak_mib() -> int:
    """The most memory that this process has held. (On Linux `getrusage` would count its parent's, too.)"""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 2**20)
