"""Threads that are awake when a kernel comes.

    function = entry(part)            # part(number, address of arguments), see jit.py
    run_parts(function, words, parts)

or, for several jobs one after another, from compiled code:

    with team().crew(parts) as (board, helpers):
        compiled(..., board, helpers) # ... share(board, function, words, parts, helpers)

Waking a thread takes about 70 microseconds, as long as a whole layer of a small network. The helpers here
wait for the next job without sleeping for about a millisecond after the last one, which covers the gaps in a
training step; then they sleep. While waiting they yield, so on a busy machine they cost little: without that
a product took 270 microseconds instead of 115 where other programs had the second processor.

A job is a function's address and a number of parts. Every thread has its own run of them, the same in every
job of as many, so that a thread finds in its cache what it wrote there; when it has done them it takes from
the others', so nobody waits for a helper that has not started. A part must write only its own share of the
result, so that results do not depend on who computed what. The same helpers make Python calls for `pool.py`:
threads of their own for those would have to push the waiting ones aside.

With one run of parts for all threads, whoever came took the next, and two processors that share no cache
(their lines then take 180 nanoseconds from one to the other, else 40) sent each other most of what they read:
a step of `mlp` took 6.2 ms there and 3.8 where they share one. With a run for each, 5.5 and 3.7.
"""

import os
import platform
import threading
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import cache, lru_cache
from queue import Empty, SimpleQueue
from typing import SupportsInt

import numpy as np
from llvmlite import ir
from numba import types

from .jit import jit
from .threads import thread_count
from .vector import INT, address, integers, intrinsic

PAUSES = 20_000  # looks at the board before a helper sleeps
# Words of the board, each that is written often alone in its cache lines; from LEFT on, how many parts are
# left of each thread's run.
DONE, FUNCTION, PARTS, ARGUMENTS, CALLED, LEFT = 0, 16, 17, 18, 64, 80
CALLER = np.int64(0)  # the calling thread's number; a plain 0 is a type of its own
APART = 16  # words from one thread's to the next
ROOM = 32  # arguments

_posix = os.name == "posix"
_x86 = platform.machine().lower() in ("x86_64", "amd64", "i686")


@intrinsic
def add(typingctx, place, amount):
    """Adds to the word at an address and returns what was there, in one indivisible step."""

    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], INT.as_pointer())
        return builder.atomic_rmw("add", place, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _read(typingctx, place):
    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], INT.as_pointer())
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def _write(typingctx, place, value):
    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], INT.as_pointer())
        builder.store_atomic(args[1], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _calling(name, used):
    """A compiled function that calls a C function or LLVM intrinsic without arguments, where it exists."""

    @intrinsic
    def call(typingctx):
        def generate(context, builder, signature, args):
            if used:
                function = builder.module.globals.get(name)
                if function is None:
                    result = ir.VoidType() if "." in name else ir.IntType(32)
                    function = ir.Function(builder.module, ir.FunctionType(result, []), name)
                builder.call(function, [])
            return context.get_dummy_value()

        return types.void(), generate

    return call


_rest = _calling("llvm.x86.sse2.pause", _x86)  # some 10 to 40 ns
_yield = _calling("sched_yield", _posix)  # lets any other thread go first that wants this processor


@jit
def _pause(looks):
    """Waits for a moment; after every 64 looks, at the pleasure of other threads."""
    if looks % 64 == 63:
        _yield()
    else:
        _rest()


@intrinsic
def _call(typingctx, function, part, arguments):
    """Calls the function at an address."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [INT, INT])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@jit
def arguments(place):
    """The words that `share` was given, inside a shared function."""
    return integers(place, ROOM)


@jit
def _left(board, member):
    """Where it stands how many parts are left of a thread's run."""
    return address(board) + 8 * (LEFT + APART * member)


@jit
def _begin(parts, member, members):
    """The first part of a thread's run, which ends before the next one's; low threads have longer ones."""
    return (parts * member + members - 1) // members


@jit
def _take(board, me, members):
    """Does one part of the job on the board, of this thread's run or else of another's, if one is left."""
    for turn in range(members):
        member = (me + turn) % members
        place = _left(board, member)
        if _read(place) > 0:
            left = add(place, -1) - 1
            if left >= 0:
                # From here to the count below the job cannot end, so the board does not change.
                place = address(board)
                part = _begin(_read(place + 8 * PARTS), member, members) + left
                _call(_read(place + 8 * FUNCTION), part, place + 8 * ARGUMENTS)
                add(place + 8 * DONE, 1)
                return True
    return False


@jit
def _serve(board, me, members, pauses):
    """Does parts as they come; returns True for a Python call, False after a while with nothing to do."""
    idle = 0
    while idle < pauses:
        if _read(_left(board, me)) > 0:
            while _take(board, me, members):
                pass
            idle = 0
        elif _read(address(board) + 8 * CALLED) > 0:
            return True
        else:
            _pause(idle)
            idle += 1
    return False


@jit
def _count_calls(board, more):
    add(address(board) + 8 * CALLED, more)


@jit
def share(board, function, words, parts, helpers):
    """Calls function(part, address of words) for each part, with the helpers if there are any."""
    place = address(board)
    for i in range(words.size):
        board[ARGUMENTS + i] = words[i]
    if helpers == 0:
        for part in range(parts):
            _call(function, part, place + 8 * ARGUMENTS)
        return
    members = helpers + 1
    board[FUNCTION] = function
    board[PARTS] = parts
    _write(place + 8 * DONE, 0)
    for member in range(members - 1, -1, -1):
        mine = _begin(parts, member + 1, members) - _begin(parts, member, members)
        _write(_left(board, member), mine)
    while _take(board, CALLER, members):
        pass
    looks = 0
    while _read(place + 8 * DONE) < parts:
        _pause(looks)
        looks += 1


class _Crew:
    """Gives a board and says how many watch it; a `contextmanager` takes two microseconds for that."""

    __slots__ = ("_given", "_taken")

    def __init__(self, board: np.ndarray, helpers: int, taken: "threading.Lock | None"):
        self._given = board, helpers
        self._taken = taken

    def __enter__(self) -> tuple[np.ndarray, int]:
        return self._given

    def __exit__(self, *exception: object) -> None:
        if self._taken is not None:
            self._taken.release()


class Team:
    """`threads - 1` helpers."""

    def __init__(self, threads: int):
        self.helpers = threads - 1
        self.board = np.zeros(LEFT + APART * threads, np.int64)
        self._mine = threading.local()
        self._busy = threading.Lock()
        self._together = _Crew(self.board, self.helpers, self._busy)
        self._asleep: list[threading.Lock] = []
        self._calls: SimpleQueue[tuple[Context, Callable[[], None]]] = SimpleQueue()
        for i in range(self.helpers):
            threading.Thread(target=self._help, args=[i + 1], name=f"rawgan-team-{i}", daemon=True).start()

    def _help(self, me: int) -> None:
        bell = threading.Lock()
        bell.acquire()
        self._mine.helper = True
        while True:
            self._asleep.append(bell)
            if self._calls.empty() or not self._withdrawn(bell):
                bell.acquire()
            while _serve(self.board, me, self.helpers + 1, PAUSES):
                self._answer()

    def _withdrawn(self, bell: threading.Lock) -> bool:
        """Takes the bell down again, if it was not rung yet: a call came while it was hung up."""
        try:
            self._asleep.remove(bell)
        except ValueError:
            return False
        return True

    def _answer(self) -> None:
        try:
            context, job = self._calls.get_nowait()
        except Empty:  # another helper was faster
            return
        _count_calls(self.board, -1)
        context.run(job)

    def call(self, job: Callable[[], None], helpers: int) -> None:
        """Lets as many helpers call job(), in the caller's context, as soon as each of them can."""
        for _ in range(helpers):
            self._calls.put((copy_context(), job))
        _count_calls(self.board, helpers)
        self._wake()

    @property
    def helping(self) -> bool:
        """Whether this thread is one of the helpers."""
        return getattr(self._mine, "helper", False)

    def _wake(self) -> None:
        while self._asleep:
            self._asleep.pop().release()

    def crew(self, parts: int) -> "_Crew":
        """For `with`: (board, helpers); none for a single part, or while another thread has them."""
        if parts < 2 or not self.helpers or not self._busy.acquire(blocking=False):
            try:
                return self._mine.alone
            except AttributeError:
                alone = self._mine.alone = _Crew(np.zeros(LEFT, np.int64), 0, None)
                return alone
        self._wake()
        return self._together


@cache
def team() -> Team:
    return Team(thread_count())


@lru_cache(maxsize=1024)
def even(total: int, most: int, unit: int = 1) -> int:
    """How many of `total` to a part: at most `most`, in a power of 2 of like parts, for as many threads.

    16 pictures in parts of 5, 5, 5 and 1 are ten for one of two threads and six for the other.

    unit: of what a part has a whole number, and may have one more.

    >>> even(16, 5), even(1, 3), even(1000, 300), even(1000, 300, unit=16)
    (4, 1, 250, 256)
    """
    parts = 1 << max(0, -(-total // most) - 1).bit_length()
    return max(1, -(-total // (parts * unit))) * unit


def run_parts(function: int, words: Sequence[SupportsInt] | np.ndarray, parts: int) -> None:
    """Calls function(part, address of words) for each part, on all threads."""
    with team().crew(parts) as (board, helpers):
        share(board, function, np.asarray(words, np.int64), parts, helpers)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=team.cache_clear)  # a forked child has none of the helpers
