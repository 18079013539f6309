"""`preprocess.beam_options`: Beam's own options, checked as far as Beam knows them, and the pipeline they ask for."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

import petseg
from petseg.core.errors import PetsegError
from petseg.core.process import environment_variables, suppress_stderr

_KEY = "preprocess.beam_options"
_DIRECT = "FnApiRunner"


@contextmanager
def open_pipeline(flags: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline to fill, which is run when the block ends. Raises PetsegError for options that Beam can't take."""
    options = read_options(flags)
    runner = _runner(options)
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise PetsegError(f"{_KEY}: Apache Beam can't take these ({_shortened(error)}).") from error
    yield pipeline
    package = str(
        Path(petseg.__file__).resolve().parent.parent
    )  # for worker processes here, not an installed one
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with environment_variables({"PYTHONPATH": path}):
        if runner == _DIRECT:
            _run_here(pipeline)
            return
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            raise PetsegError(
                f"Apache Beam's {runner} failed ({_shortened(error)}); see its own log."
            ) from error


def _run_here(pipeline: beam.Pipeline) -> None:
    """Run it in this process, or in processes that it starts.

    These greet and log to this one's stderr, so that is kept quiet; what is wrong comes as an exception all the same.
    """
    try:
        with suppress_stderr():
            pipeline.run().wait_until_finish()
    except RuntimeError as error:
        if "Channel closed" not in str(error):
            raise
        raise PetsegError(
            f"A worker process of Apache Beam was killed; if memory ran out, set fewer direct_num_workers in {_KEY}."
        ) from error


def read_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises PetsegError; Beam itself would exit on a wrong value, and pass over an unknown name."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    except SystemExit as error:
        reason = said.getvalue().strip().splitlines()[-1:] or ["--help is for Beam's own programs"]
        raise PetsegError(f"{_KEY}: {reason[0].split('error: ')[-1]}.") from error
    unknown = [f"--{name}" for name in given if name not in known]
    if unknown:
        raise PetsegError(f"{_KEY}: {', '.join(unknown)} is no option of Apache Beam.")
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        raise PetsegError(
            f"{_KEY}: several direct workers need --direct_running_mode=multi_processing."
        )
    return options


def _runner(options: PipelineOptions) -> str:
    """The runner's name. DirectRunner would first look on GitHub for a program of Beam's, Prism, to do its work."""
    name = options.view_as(StandardOptions).runner or "DirectRunner"
    plain = name.rsplit(".", 1)[-1].lower().removesuffix("runner")
    return _DIRECT if plain in ("direct", "switchingdirect", "fnapi") else str(name)


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:300].strip(" .:")
