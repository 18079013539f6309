"""Check `preprocess.beam_options` and run a pipeline with it.

Checked with Apache Beam 2.77, whose own checks are incomplete: it exits on a wrong value, ignores
an unknown name, and its DirectRunner first looks on GitHub for another program, Prism, to run.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

import petseg
from petseg.core.errors import PetsegError, translate
from petseg.core.process import environment_variables, suppress_stderr

_KEY = "preprocess.beam_options"
_IN_PROCESS_RUNNER = "FnApiRunner"


def run_pipeline(flags: Sequence[str], build: Callable[[beam.Pipeline], None]) -> None:
    """Build a pipeline and run it to completion.

    Raises PetsegError for options that Beam rejects and for a runner that fails.
    """
    options = read_options(flags)
    runner = _runner_name(options)
    with translate(
        lambda error: f"{_KEY}: Apache Beam rejects these options ({_one_line(error)}).",
        ValueError,
        ImportError,
        AttributeError,
    ):
        pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    package = str(Path(petseg.__file__).resolve().parent.parent)  # not an installed version
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with environment_variables({"PYTHONPATH": path}):
        if runner == _IN_PROCESS_RUNNER:
            _run_locally(pipeline)
        else:
            with translate(
                lambda error: f"Apache Beam's {runner} failed ({_one_line(error)}); see its log."
            ):
                pipeline.run().wait_until_finish()


def _run_locally(pipeline: beam.Pipeline) -> None:
    """Run in this process or in processes that it starts.

    Their banners and logs on stderr are suppressed; errors come as exceptions.
    """
    with translate(_killed_worker_message, RuntimeError), suppress_stderr():
        pipeline.run().wait_until_finish()


def _killed_worker_message(error: Exception) -> str | None:
    if "Channel closed" not in str(error):
        return None
    return (
        "A worker process of Apache Beam was killed; if memory ran out, lower direct_num_workers "
        f"in {_KEY}."
    )


def read_options(flags: Sequence[str]) -> PipelineOptions:
    """Parse Beam's options. Raises PetsegError for an unknown name or a wrong value."""
    stderr = io.StringIO()
    try:
        with redirect_stderr(stderr), redirect_stdout(io.StringIO()):
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    except SystemExit as error:
        last_line = (stderr.getvalue().strip() or "--help is not supported").splitlines()[-1]
        raise PetsegError(f"{_KEY}: {last_line.split('error: ')[-1]}.") from error
    unknown = [f"--{name}" for name in given if name not in known]
    if unknown:
        raise PetsegError(f"{_KEY}: Apache Beam has no option {', '.join(unknown)}.")
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        raise PetsegError(
            f"{_KEY}: --direct_num_workers={direct.direct_num_workers} needs "
            "--direct_running_mode=multi_processing."
        )
    return options


def _runner_name(options: PipelineOptions) -> str:
    name = str(options.view_as(StandardOptions).runner or "DirectRunner")
    short = name.rsplit(".", 1)[-1].lower().removesuffix("runner")
    return _IN_PROCESS_RUNNER if short in ("direct", "switchingdirect", "fnapi") else name


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].strip(" .:")
