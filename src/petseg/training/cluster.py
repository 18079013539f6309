"""The workers that train together, from the environment variable TF_CONFIG; without it, one worker.

    {"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 1}}

TensorFlow reads the same variable and ranks the tasks in the same order.
"""

import json
import os
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, StrictStr

from petseg.config.validation import Section, validate
from petseg.core.errors import PetsegError, translate

_VARIABLE = "TF_CONFIG"
_Address = Annotated[StrictStr, Field(pattern=r"^\S+:\d{1,5}$", description="host:port")]


@dataclass(frozen=True)
class Worker:
    """One of the processes that train together."""

    rank: int = 0
    num_workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the results."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"worker {self.rank + 1} of {self.num_workers}"


SINGLE_WORKER = Worker()


class _Cluster(Section):
    chief: Annotated[
        tuple[_Address, ...], Field(max_length=1, description="a list of one host:port")
    ] = ()
    worker: Annotated[tuple[_Address, ...], Field(description="a list of host:port")] = ()


class _Task(Section, extra="ignore"):  # some services add keys
    type: Annotated[
        Literal["chief", "worker"],
        Field(description="chief or worker; no other type is supported"),
    ]
    index: Annotated[NonNegativeInt, Field(description="a whole number from 0")]


class _TfConfig(Section, extra="ignore"):
    cluster: _Cluster
    task: _Task


def read_worker() -> Worker:
    """Return which worker this process is. Raises PetsegError if TF_CONFIG is invalid."""
    text = os.environ.get(_VARIABLE, "").strip()
    with translate(lambda error: f"{_VARIABLE} is not valid JSON ({error}).", ValueError):
        raw = json.loads(text or "{}")
    if raw == {}:
        return SINGLE_WORKER
    config = validate(_TfConfig, raw, _VARIABLE)
    tasks = [
        (job, index)
        for job in ("chief", "worker")
        for index in range(len(getattr(config.cluster, job)))
    ]
    task = (config.task.type, config.task.index)
    if task not in tasks:
        raise PetsegError(
            f"{_VARIABLE}: the task is {task[0]} {task[1]}, but the cluster has no such address."
        )
    return Worker(tasks.index(task), len(tasks))
