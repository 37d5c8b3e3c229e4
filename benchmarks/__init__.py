"""Commands that measure the pipeline, e.g. ``python -m benchmarks.tail_speed MobileNetV2``."""

import sys
from collections.abc import Callable

from trashnet.errors import PipelineError


def run_benchmark(main: Callable[[], None]) -> None:
    """Run a benchmark, and tell in a sentence what a person can mend."""
    try:
        main()
    except PipelineError as error:
        sys.exit(str(error))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing; mend the path, or let `dvc repro` make it.")
