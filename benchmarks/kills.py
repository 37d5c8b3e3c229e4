"""Kill `dvc repro` at random moments spread over all stages, then compare with a whole run.

Run it in a fresh clone, whose cache is empty, with the folder of another clone
in which `dvc repro` ran to its end:

    python -m benchmarks.kills ../undisturbed
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import IO

import numpy as np
from ruamel.yaml import YAML

KILLS_A_STAGE = 2
"""Then it is left to run to its end, else the longest stages took all kills."""
MEAN_WAIT_SECONDS = 3.0
"""Of the time that a stage is left to run; exponential, so that any moment may come."""


def main() -> int:
    """Return 0 if the disturbed run ended as the undisturbed one did."""
    options = parse()
    moments = np.random.default_rng(options.seed)
    killed: Counter[str] = Counter()
    with tempfile.NamedTemporaryFile("w") as output:
        while killed.total() < options.kills:
            spared = [stage for stage, times in killed.items() if times == KILLS_A_STAGE]
            stage = run_and_kill(moments.exponential(MEAN_WAIT_SECONDS), spared, output)
            if stage is None:
                break
            killed[stage] += 1
            print(f"kill {killed.total()}: in {stage}", flush=True)
        status = subprocess.run(repro(), check=False).returncode
    print("killed in " + ", ".join(f"{stage} {times}" for stage, times in killed.items()))
    if status != 0:
        print("the run after the last kill failed")
        return 1
    different = different_outputs(outputs(options.undisturbed), outputs(Path()))
    print(f"outputs that differ from the undisturbed run: {', '.join(different) or 'none'}")
    return 1 if different else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("undisturbed", type=Path, help="a clone in which dvc repro ended")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    return parser.parse_args()


def repro() -> list[str]:
    """Return the command that is disturbed."""
    return [sys.executable, "-m", "dvc", "repro"]


def run_and_kill(wait_seconds: float, spared: Container[str], output: IO[str]) -> str | None:
    """Start the pipeline, kill it with all that it started, and return the stage that ran.

    Parameters
    ----------
    wait_seconds : float
        From the start of the first stage that is not spared.
    spared : container of str
        Stages that are left to run to their end.
    output : file
        Where the pipeline's messages go.

    Returns
    -------
    str or None
        None if it ended by itself before that.
    """
    output.seek(0)
    output.truncate()
    process = subprocess.Popen(
        repro(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    wait_for_a_stage(process, spared, output)
    try:
        process.wait(wait_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return stages_begun(output)[-1]
    return None


def wait_for_a_stage(
    process: "subprocess.Popen[bytes]", spared: Container[str], output: IO[str]
) -> None:
    """Wait until a stage starts that is not spared, or the run ends without one."""
    while process.poll() is None:
        if (begun := stages_begun(output)) and begun[-1] not in spared:
            return
        time.sleep(0.05)


def stages_begun(output: IO[str]) -> list[str]:
    """Return the stages that DVC said it runs, in order."""
    # By its name: to read by the file that DVC was given would move where DVC writes next.
    return re.findall(r"Running stage '([^']+)'", Path(output.name).read_text())


def outputs(clone: Path) -> dict[str, str]:
    """Return the hash of each output that must repeat, by path: all but times."""
    lock = YAML(typ="safe").load(clone / "dvc.lock")
    return {
        out["path"]: out["md5"]
        for stage in lock["stages"].values()
        for out in stage["outs"]
        # The comparison has a column of milliseconds.
        if "timing" not in out["path"] and not out["path"].startswith("reports/comparison")
    }


def different_outputs(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the paths that only one has, or that differ."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


if __name__ == "__main__":
    sys.exit(main())
