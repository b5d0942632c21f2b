"""What every test shares: repeatable Hypothesis runs, and the count of planted mutations at the end."""

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# HYPOTHESIS_PROFILE=explore draws new examples in every run.
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A background job starts with Ctrl-C ignored; the tests of Ctrl-C, and their child processes, want it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_mutations = {"killed": 0, "planted": 0}


def pytest_runtest_logreport(report):
    """Add up what the mutation tests recorded; with xdist the reports of all workers pass here."""
    if report.when == "call":
        for name, value in report.user_properties:
            if name == "mutations":
                killed, planted = value
                _mutations["killed"] += killed
                _mutations["planted"] += planted


def pytest_terminal_summary(terminalreporter):
    if _mutations["planted"]:
        terminalreporter.write_line(
            f"mutations: {_mutations['killed']} killed of {_mutations['planted']} planted"
        )
