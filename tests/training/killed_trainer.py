"""Training that is killed with SIGKILL again and again: run by test_resume.py in a process of its own.

    python killed_trainer.py FOLDER instants    # at every instant of the writing, one run for each
    python killed_trainer.py FOLDER random      # at random times, one run killed many times

Each attempt is a fork that trains with the textbook kernels, which start no threads. Prints how many were
killed and how many of them inside the writing of a checkpoint; fails if any run, resumed, differs from one
never interrupted.
"""

import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy comes: with more threads, a fork could hang

import tiny_runs

import rawgan
from rawgan.training import files, history, pictures

SHORT = {"steps": 3, "checkpoint_every": 1, "sample_every": 3}
LONG = {"steps": 40, "checkpoint_every": 2, "sample_every": 50}
TINY = {"batch_size": 4, "hidden": 3, "noise": 2, "device": "cpu", "progress": False}


def train(recipe, out, length, more=()):
    with rawgan.use_kernels("reference"), warnings.catch_warnings():
        warnings.simplefilter("error")  # a checkpoint in part, passed over with a warning, is a failure
        rawgan.train(recipe, out=out, resume=True, callbacks=more, **TINY, **length)


def forked(function, *arguments):
    """Start it in a child process, which exits with 0 where it gets to the end."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = 1
    try:
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def killed(pid):
    """Whether it died of SIGKILL; otherwise it must have got to the end."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"{pid} ended with {status}"
    return False


class Events:
    """Counts what the program asks of the file system, and kills it at number `last`."""

    def __init__(self, last, report):
        self.count, self.last, self.report = 0, last, report
        self.path = ""  # of the file that was opened last

    def here(self, what, half=lambda: None):
        self.count += 1
        if self.count == self.last:
            half()
            with open(self.report, "w") as file:
                file.write(what)
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, name):
        real = getattr(os, name)

        def call(path, *rest, **more):
            self.here(f"before {name} {f'after opening {self.path}' if isinstance(path, int) else path}")
            return real(path, *rest, **more)

        setattr(os, name, call)

    def watch(self):
        """From here on, every call counts."""
        for name in ("fsync", "replace", "mkdir", "unlink"):
            self.before(name)
        files.open = self.opened(open)
        history.open = self.opened(open)

    def opened(self, real):
        def call(path, *rest, **more):
            self.here(f"before open {path}")
            self.path = path
            return Watched(real(path, *rest, **more), self, path)

        return call


class Watched:
    """A file whose first write is two events, and so is every write to the history."""

    def __init__(self, file, events, path):
        self.file, self.events, self.path, self.writes = file, events, path, 0

    def write(self, data):
        def half():
            self.file.write(bytes(data)[: len(data) // 2])
            self.file.flush()

        self.writes += 1
        if self.writes == 1 or self.path.name == "history.csv":
            self.events.here(f"before write {self.writes} to {self.path}")
            self.events.here(f"half-way through write {self.writes} to {self.path}", half)
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


def outcome(out):
    """What must be equal bit for bit: the last checkpoint, the history and the configuration."""
    return tiny_runs.outcome(out), (out / "config.json").read_bytes()


def at_every_instant(recipe, folder, start, expected):
    """Kill one run at each event, from the state of the directory `start`, then let it go on to the end."""
    places = []
    while True:
        out, report = folder / f"{recipe}-{start is not None}-{len(places)}", folder / "place"
        if start:
            shutil.copytree(start, out)

        def doomed(out=out, report=report):
            Events(len(places) + 1, report).watch()
            train(recipe, out, SHORT)

        if not killed(forked(doomed)):
            return places
        places.append(report.read_text().replace(str(out), ""))
        assert not killed(forked(train, recipe, out, SHORT))
        assert outcome(out) == expected, f"killed {places[-1]}, the resumed run differs"
        assert not [*out.rglob(f"{files.PREFIX}*")], f"killed {places[-1]}, something was left over"
        shutil.rmtree(out)


def instants(folder):
    os.fsync = lambda descriptor: None  # it is there against power cuts, and takes most of the time
    places = []
    train("mlp", folder / "mlp", SHORT)
    places += at_every_instant("mlp", folder, None, outcome(folder / "mlp"))

    train("mixture", folder / "mixture", SHORT)
    part = folder / "part"

    def doomed():  # leaves a row more than the checkpoint knows, half of another, and a leftover
        def die(run, row):
            if row["step"] == 2:
                run._rows.flush()
                with open(part / "history.csv", "ab") as file:
                    file.write(b"3,0.5,0.")
                (part / "checkpoints" / f"{files.PREFIX}1-0").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)

        train("mixture", part, SHORT, [die])

    assert killed(forked(doomed))
    return places + at_every_instant("mixture", folder, part, outcome(folder / "mixture"))


def at_random(folder, kills=60):
    """One run of each recipe, killed at random times until it has been so often enough and is done."""
    dice, places = random.Random(2), []
    for recipe in ("mlp", "mixture"):
        began = time.monotonic()
        train(recipe, folder / recipe, LONG)
        whole = time.monotonic() - began
        expected, done = outcome(folder / recipe), 0
        while done < kills // 2:
            out = folder / f"{recipe}-{len(places)}"
            while True:
                pid = forked(train, recipe, out, LONG)
                time.sleep(dice.uniform(0, 0.4 * whole))
                os.kill(pid, signal.SIGKILL)
                if not killed(pid):
                    break
                done += 1
                inside = [*out.glob(f"checkpoints/{files.PREFIX}*")]
                places.append(str(inside[0]) if inside else "elsewhere")
            assert outcome(out) == expected, f"{out} differs after {done} kills"
    return places


def main(folder, how):
    for slow in ("plot_history", "points_figure", "save_animation"):
        setattr(pictures, slow, lambda *arguments: None)
    with rawgan.use_kernels("reference"):  # what a first training imports, the forks need not
        rawgan.train("mlp", steps=1, **TINY)
    places = {"instants": instants, "random": at_random}[how](Path(folder))
    inside = [place for place in places if "checkpoints" in place]
    if how == "instants":
        print(*sorted({re.sub(r"unfinished-[-\w]+|\d+(?=\.)", "...", place) for place in places}), sep="\n")
    print(f"killed {len(places)} times, {len(inside)} of them inside the writing of a checkpoint")


if __name__ == "__main__":
    main(*sys.argv[1:])
