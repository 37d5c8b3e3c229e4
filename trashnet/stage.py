"""How every stage starts and how it fails."""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.params import load_params, public_address


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage that handles the whole dataset."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    _run(main)


def run_model_stage(main: Callable[[str], None]) -> None:
    """Run a stage for one backbone, named by ``--model``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--model", required=True, help="a name from `models` (or `ensembles`) in params.yaml"
    )
    model = parser.parse_args().model

    def check_and_run() -> None:
        if model not in (known := load_params().compared):
            raise PipelineError(
                f"params.yaml names no model {model}; take one of {', '.join(known)}, or add it "
                "to `models`."
            )
        main(model)

    _run(check_and_run)


def log(message: str) -> None:
    """Print one line on what the running stage did, with the stage's name before it."""
    print(_line(message), flush=True)


def _run(main: Callable[[], None]) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        # As standard error does: a class may be named in letters that the terminal cannot write.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_clock()
        main()
    except PipelineError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped by the keyboard; run the same command again to go on.")
    except BrokenProcessPool:
        _fail(
            "the system ended a worker process, most likely because memory ran out; free some and "
            "run the same command again."
        )
    except FileNotFoundError as error:
        _fail(f"{error.filename} is missing; run `dvc repro`, which makes what a stage reads.")
    except OSError as error:
        _fail(
            f"{error.strerror or error} ({error.filename or 'no file named'}); mend that and run "
            "the same command again."
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _fail("memory ran out; free some and run the same command again.")


def _fail(message: str) -> NoReturn:
    sys.exit(_line(message))


def _check_clock() -> None:
    year = time.localtime().tm_year
    if year < 1980:
        raise PipelineError(
            f"the clock of this machine stands in {year}, and model files are zip files, which "
            "know no year before 1980; set it and run the same command again."
        )


def _line(message: str) -> str:
    # The addresses in it may hold passwords, and logs are kept.
    return f"{Path(sys.argv[0]).stem}: {public_address(message)}"
