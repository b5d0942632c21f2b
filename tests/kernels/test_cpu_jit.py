"""What Numba keeps on disk."""

import io
import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from rawgan.kernels.cpu import jit


@pytest.fixture
def process(monkeypatch, tmp_path):
    """A function as a process of some name compiles it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def make(name):
        def double(x):
            return x + x

        monkeypatch.setattr(jit, "_PROCESS", name)
        monkeypatch.setattr(jit, "_EDITION", "test")
        return jit.jit(double)

    return make


def test_two_processes_at_once_write_no_file_twice(process):
    """Each has read the list before the other wrote it; one writes its list last, the other its file."""
    one, other = process("one")._cache._cache_file, process("other")._cache._cache_file
    assert one._index_path == other._index_path
    other._save_index({"other": other._data_name(1)})
    one._save_index({"one": one._data_name(1)})
    one._save_data(one._data_name(1), "of one")
    other._save_data(other._data_name(1), "of the other")
    assert one.load("one") == other.load("one") == "of one"


def test_what_one_process_compiled_the_next_one_loads(process):
    first, second = process("one"), process("other")
    assert first(np.float32(1)) == second(np.float32(1)) == 2
    assert sum(first.stats.cache_misses.values()) == sum(second.stats.cache_hits.values()) == 1


def test_what_compiled_functions_call_is_made_for_them_alone_until_python_calls_it():
    @jit.jit
    def double(x):
        return x + x

    @jit.jit
    def four_times(x):
        return double(double(x))

    assert four_times(3) == 12
    assert not double.overloads
    (made,) = double.part.overloads.values()
    assert not made.library.get_pointer_to_function(made.fndesc.llvm_func_name)  # no machine code
    assert double(3) == 6
    assert double(np.float32(3)) == four_times(np.float32(1.5)) == 6


def test_numbers_in_calls_make_no_versions():
    @jit.jit
    def double(x):
        return x + x

    @jit.jit
    def of_three(x):
        return double(1) + double(2) + double(x)

    assert of_three(3) == 12
    assert len(double.part.overloads) == 1


def test_code_kept_on_disk_has_its_parts(tmp_path):
    """Only the caller is kept; another process, which compiled no part, loads all of it."""
    source = """
        from rawgan.kernels.cpu import jit
        @jit.jit
        def double(x):
            return x + x
        @jit.jit
        def four_times(x):
            return double(double(x))
        print(four_times(3), sum(four_times.stats.cache_hits.values()), len(double.part.overloads))
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(source))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [run.stdout.split() for run in runs] == [["12", "0", "1"], ["12", "1", "0"]]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("output", "lines"), [(Terminal, 1), (io.StringIO, 0)])
def test_a_terminal_is_told_once_that_kernels_are_compiled(output, lines, monkeypatch):
    shown = output()
    monkeypatch.setattr(jit._message, "told", False)
    monkeypatch.setattr("sys.stderr", shown)

    def double(x):
        return x + x

    def half(x):
        return x / 2

    for function in (double, half):
        numba.njit(function)(1)  # not ours
    assert shown.getvalue() == ""
    for function in (double, half):
        function.__module__ = jit.__name__
        numba.njit(function)(1)
    assert shown.getvalue().count("rawgan: compiling kernels for this processor (") == lines


@pytest.mark.parametrize("kind", [None, Terminal, io.StringIO])
def test_a_broken_terminal_stops_no_kernel(kind, monkeypatch):
    output = kind and kind()
    if output:
        output.close()
    monkeypatch.setattr("sys.stderr", output)
    monkeypatch.setattr(jit._message, "told", False)

    def double(x):
        return x + x

    double.__module__ = jit.__name__
    assert numba.njit(double)(1) == 2
    assert jit._message.told
