"""What Python imports at its start where this folder is on PYTHONPATH: notes what a stage used."""

import atexit
import json
import os
import resource
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()


def note_usage() -> None:
    """Append a line of JSON on this process and its workers to the file that STAGE_TIMES names."""
    program = Path(sys.argv[0])
    if program.parent.name != "stages":  # DVC itself
        return
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    line = {
        "stage": program.stem,
        "seconds": time.perf_counter() - STARTED,
        "user_seconds": sum(each.ru_utime for each in usage),
        "kernel_seconds": sum(each.ru_stime for each in usage),
        "read_bytes": int(io["rchar"]),
        "written_bytes": int(io["wchar"]),
    }
    with Path(os.environ["STAGE_TIMES"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


atexit.register(note_usage)
