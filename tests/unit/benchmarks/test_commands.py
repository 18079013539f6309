"""Commands that the benchmarks run, pause and measure."""

import itertools
import sys
import time

import psutil
import pytest

from benchmarks.commands import PausedCommand, measure_peak, run_command

COUNT_TO_3 = [sys.executable, "-S", "-c", "for k in range(3): print(k, flush=True)"]


def test_a_paused_command_is_stopped_between_its_lines(tmp_path):
    count = "import itertools\nfor k in itertools.count(): print(k, flush=True)"
    command = PausedCommand([sys.executable, "-S", "-c", count], tmp_path)
    process = psutil.Process(command._process.pid)
    for line in ("0\n", "1\n", "2\n"):
        while process.status() != psutil.STATUS_STOPPED:  # signals arrive with a delay
            time.sleep(0.01)
        assert command.next_line() == line
    command.kill()


def test_pauses_don_t_count(tmp_path):
    seconds = itertools.count()
    command = PausedCommand(COUNT_TO_3, tmp_path, clock=seconds.__next__)
    assert command.seconds == 1  # between two looks at the clock
    for k in range(4):
        for _ in range(100):
            next(seconds)
        command.next_line()
        assert command.seconds == k + 2


def test_a_paused_command_can_be_killed(tmp_path):
    command = PausedCommand([sys.executable, "-S", "-c", "while True: pass"], tmp_path)
    command.kill()
    assert not psutil.pid_exists(command._process.pid)


def test_a_paused_command_that_fails_reports_its_output(tmp_path):
    code = "print('working'); raise SystemExit('lost')"
    command = PausedCommand([sys.executable, "-S", "-c", code], tmp_path)
    assert command.next_line() == "working\n"
    with pytest.raises(RuntimeError, match=r"failed with 1:\nworking\nlost"):
        [command.next_line() for _ in range(2)]


def test_a_command_that_ends_unexpectedly_is_an_error_with_its_output(tmp_path):
    bad = [sys.executable, "-S", "-c", "raise SystemExit('no')"]
    assert "no" in run_command(bad, tmp_path, ok=False)[1]
    with pytest.raises(AssertionError, match="1:\nno"):
        run_command(bad, tmp_path)
    with pytest.raises(AssertionError, match="0"):
        run_command([sys.executable, "-S", "-c", "pass"], tmp_path, ok=False)


def test_the_peak_excludes_the_parent_process(tmp_path):
    """This process holds more, with TensorFlow and an array."""
    held = bytearray(200 * 2**20)
    peaks = [
        measure_peak([sys.executable, "-S", "-c", f"len(b'x' * {size} * 2**20)"], tmp_path)[1]
        for size in (1, 100)
    ]
    assert peaks[0] < 100
    assert peaks[1] - peaks[0] == pytest.approx(99, abs=20)
    del held
