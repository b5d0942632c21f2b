"""The command line: a thin face over the Python interface.

Every command exits 0 on success, 2 on a usage error, 1 on a failure with one clear line. Nothing heavy is
imported before a command runs, so that `rawgan --help` is instant. A new command is a function in one of this
folder's files and its name in `COMMANDS`.
"""

from __future__ import annotations

import sys
import warnings

from cyclopts import App, CycloptsError

import rawgan
from rawgan.cli.judging import evaluate, rate, train_classifier, tune
from rawgan.cli.making import sample, train
from rawgan.cli.showing import info, inspect, tensorboard

COMMANDS = (train, sample, evaluate, rate, train_classifier, tune, inspect, tensorboard, info)

app = App(
    name="rawgan",
    help="Generative adversarial networks on an engine in which nothing is hidden.",
    version=rawgan.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says more
)
for command in COMMANDS:
    app.command(command)
app.command("rawgan.bench.commands:app", name="bench", help="Time kernels and training steps.")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    warnings.showwarning = lambda message, *rest, **more: print(f"rawgan: {message}", file=sys.stderr)
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        print(f"rawgan: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rawgan: broken off; what was saved is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `rawgan info | head`
        sys.stderr.close()
        sys.exit(1)
    except MemoryError as error:
        print(f"rawgan: not enough memory: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # naming rawgan's classes here would import NumPy for --help as well
        if not isinstance(error, rawgan.RawganError):
            raise
        print(f"rawgan: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, rawgan.ConfigError) else 1)
    sys.exit(0)
