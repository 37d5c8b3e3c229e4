"""What tests have done on a cluster: its processes import it by this name."""

import os
import time
from pathlib import Path

from trashnet.errors import PipelineError
from trashnet.shards import CarriedPhotos, open_photos


def double(_: None, number: int) -> int:
    """Return twice the number, after a while."""
    time.sleep(0.3)
    return 2 * number


def crash(_: None, number: int) -> int:
    """End the process at number 3, as native code does that fails."""
    if number == 3:
        os._exit(1)
    return number


def crash_once(folder: str, number: int) -> int:
    """End the process when a number comes for the first time."""
    seen = Path(folder, str(number))
    if not seen.exists():
        seen.touch()
        os._exit(1)
    return number


def fail(_: None, number: int) -> int:
    """Raise what nobody expected."""
    raise ZeroDivisionError(f"by {number}")


def refuse(folder: str, number: int) -> int:
    """Raise what a person has to mend."""
    Path(folder, f"try-{time.time_ns()}").touch()
    raise PipelineError(f"Number {number} is broken; mend it.")


def load_slowly(folder: str) -> str:
    """Leave a trace of each process that loads."""
    Path(folder, str(os.getpid())).touch()
    return folder


def process(_: str, number: int) -> int:
    """Say in which process this is."""
    time.sleep(0.1)
    return os.getpid()


def read_all(_: None, photos: CarriedPhotos) -> list[bytes]:
    """Return the bytes of photos as they arrived."""
    return [
        source.read_bytes() if isinstance(source, Path) else source.read()
        for source in open_photos(photos)
    ]
