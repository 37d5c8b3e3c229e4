"""What tests have done on a cluster: its processes import it by name."""

import os
import signal
import time
from pathlib import Path

from trashnet.errors import PipelineError


def double(_: None, number: int) -> int:
    """Return twice the number, after a while."""
    time.sleep(0.2)
    return 2 * number
