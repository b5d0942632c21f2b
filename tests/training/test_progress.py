"""Progress: a live bar in a terminal, plain lines in a pipe, and no cost to speak of."""

import os
import re
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan.training import progress
from rawgan.training.history import COLUMNS
from rawgan.training.progress import Progress

ROW = dict(zip(COLUMNS[1:], (0.6931, 1.2, 0.5, 0.5, 0.00042, 123.45), strict=True))
MESSAGE = "saved [bold]step-00000020[/bold] in a folder whose name is longer than the line is wide"

PROGRAM = f"""
import os, sys, time
from rawgan.training.progress import Progress
with Progress(total=int(sys.argv[1])) as progress:
    for step in range(1, int(sys.argv[1]) + 1):
        progress.update({{"step": step}} | {ROW})
        if step == 20:
            progress.message("{MESSAGE}")
        if step == 30:
            print("a callback speaks")
        time.sleep(0.01)
"""
# Leaves without flushing, since Python itself would complain about an output that is gone.
TO_THE_END = PROGRAM + "print('trained to the end', file=sys.stderr)\nos._exit(0)"


def in_a_pipe(program, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def in_a_terminal(columns):
    """What PROGRAM writes to a terminal so many columns wide."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM, "60"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not chunk:
                break
            output += chunk
    os.close(ours)
    assert process.returncode == 0, output
    return output.decode()


def test_a_pipe_gets_plain_lines_and_no_control_characters():
    done = in_a_pipe(PROGRAM, "60", FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert not re.search(r"[^\x20-\x7e\n]", done.stdout)
    assert [line.split()[1] for line in lines if line.startswith("step ")] == [
        f"{6 * n}/60" for n in range(1, 11)
    ]
    assert lines.count("a callback speaks") == 1
    assert MESSAGE in lines
    assert lines[0].startswith("step 6/60 (10%), ")
    assert lines[0].endswith("loss D 0.693 G 1.200, D(x) 0.500 D(G(z)) 0.500, grad D 4e-04 G 123.5")
    assert re.fullmatch(r"60 steps in \d\.\d s, [\d.]+ steps/s", lines[-1])


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_shows_a_live_bar_within_its_width(columns):
    output = in_a_terminal(columns)
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1  # the cursor is hidden and comes back
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", output)
    pieces = re.split(r"[\r\n]+", text)
    bars = [piece for piece in pieces if piece.startswith("step ")]
    assert 3 <= len(bars) <= 30  # 0.6 s, ten times a second, and again after each message; not all 60 steps
    said = [piece for piece in pieces if not piece.startswith("saved")]  # which the terminal itself wraps
    assert max(map(len, said)) <= columns
    assert pieces.count("a callback speaks") == 1
    assert re.fullmatch(r"60 steps in \d\.\d s, [\d.]+ steps/s", [piece for piece in pieces if piece][-1])
    assert bars[-1].startswith("step 60/60")
    if columns >= 80:
        assert "loss D 0.693 G 1.200   D(x) 0.500 D(G(z)) 0.500   grad D 4e-04 G 123.5" in pieces


def test_a_dumb_terminal_gets_lines(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with Progress(total=1) as shown:
        shown.update({"step": 1})
    assert capsys.readouterr().out.startswith("step 1/1 (100%), ")


def test_disabled_is_silent(capsys):
    with Progress(total=3, enabled=False) as silent:
        for step in (1, 2, 3):
            silent.update({"step": step} | ROW)
        silent.message("nobody hears this")
    assert capsys.readouterr() == ("", "")


def test_disabled_loads_nothing():
    program = (
        "import sys\nfrom rawgan.training.progress import Progress\nwith Progress(9, enabled=False): pass\n"
    )
    done = in_a_pipe(program + "assert 'rich' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_a_resumed_run_counts_its_own_steps(capsys):
    with Progress(total=100, start=90) as shown:
        for step in range(91, 101):
            shown.update({"step": step})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 100/100 (100%), ")
    assert re.match(r"10 steps in 0\.\d s, ", lines[1])


def interrupted():
    with Progress(total=1000) as shown:
        shown.update({"step": 7})
        raise KeyboardInterrupt


def test_an_interrupted_run_says_where_it_stopped(capsys):
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().out.startswith("stopped at step 7 of 1,000: 7 steps in ")


def test_slow_steps_get_a_line_every_half_minute(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(total=1000) as shown:
        for step in range(1, 11):
            now[0] += 12
            shown.update({"step": step})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[:-1]] == ["step 3/1", "step 6/1", "step 9/1"]
    assert lines[0] == "step 3/1,000 (0%), 12.0 s/step, 3:19:24 left"
    assert lines[-1] == "stopped at step 10 of 1,000: 10 steps in 2:00, 12.0 s/step"


@pytest.mark.parametrize("total", [0, 1, 7, 10, 99, 12345])
def test_any_length_ends_at_its_last_step(total, capsys):
    with Progress(total=total) as shown:
        for step in range(1, total + 1):
            shown.update({"step": step})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == min(total, 10) + 1
    if total:
        assert lines[-2].startswith(f"step {total:,}/{total:,} (100%)")


def test_a_reader_that_goes_away_does_not_stop_the_training():
    command = [sys.executable, "-c", TO_THE_END, "29"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "trained to the end\n"


def test_a_full_disk_under_the_log_does_not_stop_the_training():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    command = [sys.executable, "-c", TO_THE_END, "29"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == "trained to the end\n"


@given(st.floats())
def test_numbers_keep_their_width_and_about_three_digits(value):
    text = progress._number(value)
    assert len(text) <= 7
    if abs(value) < 1e5 and value == value:
        assert abs(float(text) - value) <= max(
            0.0005, 0.05 * abs(value) if abs(value) < 1e-3 else 0.006 * abs(value)
        )


def test_a_step_between_redraws_costs_microseconds():
    rows = [{"step": step} | ROW for step in range(1, 20_001)]
    with Progress(total=10**9, enabled=True) as shown:
        began = time.perf_counter()
        for row in rows:
            shown.update(row)
        assert (time.perf_counter() - began) / len(rows) <= 20e-6
