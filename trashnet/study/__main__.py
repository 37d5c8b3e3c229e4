"""The command ``./study alpha=0,0.2,0.5 seed=1..5``: run a grid of experiments and report on it."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from trashnet.errors import PipelineError
from trashnet.study.experiments import check_fetched, find_experiments, rarest_class, run_grid
from trashnet.study.grid import Run, baseline_of, check_values, make_grid
from trashnet.study.judgement import collect, judge
from trashnet.study.report import write_report
from trashnet.study.workspace import check_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and return its exit status: 1 if a run failed."""
    options = parse(arguments)
    try:
        return study(options.grid, options.fixed, options.name, options.ray)
    except PipelineError as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        print(f"study: {error.strerror or error}{named}; mend that and retry.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study: stopped; the same command goes on where this ended.", file=sys.stderr)
        return 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="./study", description=__doc__)
    parser.add_argument(
        "grid", nargs="+", metavar="parameter=values", help="alpha=0,0.2,0.5 or seed=1..5"
    )
    parser.add_argument(
        "-S",
        dest="fixed",
        action="append",
        default=[],
        metavar="parameter=value",
        help="for all runs; may be given more than once",
    )
    parser.add_argument(
        "--name", help="of the folder below reports/ (default: study- and the parameters varied)"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run side by side on this Ray cluster: auto, or ray://host:10001",
    )
    return parser.parse_intermixed_args(arguments)


def study(
    arguments: Sequence[str], fixed: Sequence[str], name: str | None, address: str | None = None
) -> int:
    """Run what is missing of the grid, then report on all of it."""
    check_workspace()
    runs = make_grid(arguments, fixed)
    check_values(runs)
    target = Path("reports", name or "-".join(["study", *runs[0].setting]))
    check_target(target, runs)
    baseline = baseline_of(runs)
    check_fetched(runs)
    failed = run_grid(runs, address=address)
    check_fetched(runs)
    commits = find_experiments()
    results = collect(runs, commits)
    if results.empty:
        raise PipelineError("no run finished, so there is nothing to report.")
    rarest = rarest_class(results, baseline)
    verdicts = judge(results, baseline, rarest)
    write_report(target, runs, results, verdicts, baseline, failed, rarest)
    print(f"study: {len(runs) - len(failed)} of {len(runs)} runs; {target / 'index.html'}")
    return 1 if failed else 0


def check_target(target: Path, runs: Sequence[Run]) -> None:
    """Raise where the report could not be written, or would take the place of another study's.

    A study that grows has all runs of its earlier report.
    """
    reports = Path("reports").resolve()
    if reports not in target.resolve().parents:
        raise PipelineError(f"{target} is not below reports/; give --name the name of a folder.")
    if files := [path for path in (target, *target.parents) if path.is_file()]:
        raise PipelineError(f"{files[0]} is a file and no folder; give the report another --name.")
    try:
        reported = set(pd.read_csv(target / "results.csv")["experiment"])
    except (FileNotFoundError, ValueError, KeyError):
        return
    if reported - {run.name for run in runs}:
        raise PipelineError(
            f"{target} holds the report of a study with other values, parameters or code; give "
            f"this one another --name, or `rm -r {target}`."
        )


if __name__ == "__main__":
    # Whoever ends a study ends its training, not only from the keyboard; nohup stays nohup.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
