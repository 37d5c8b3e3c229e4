"""A clone of the working tree with a small experiment, to run the real graph in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from trashnet.study.experiments import find_experiments

ROOT = Path(__file__).parent.parent
MODELS = ["MobileNetV2", "MobileNetV3Small"]
SMALL = [
    "augment.views=1",
    "initial.epochs=2",
    "fine_tune.epochs=1",
    "mirror_images=false",
    f"models=[{','.join(MODELS)}]",
]


class Clone:
    """A copy of the working tree in a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_working_tree(cls, folder: Path) -> "Clone":
        """Copy what git does not ignore, and commit it."""
        clone = cls(folder)
        files = clone.run(
            ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
        ).splitlines()
        for file in files:
            if (ROOT / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["commit", "-qm", "A clone to try things in"],
        ):
            clone.run(["git", *command])
        return clone

    def commit(self) -> None:
        """Commit the state of the workspace, if it changed."""
        self.run(["git", "add", "-A"])
        self.run(["git", "commit", "-q", "--allow-empty", "-m", "A state to clone"])

    def clone_to(self, folder: Path) -> "Clone":
        """Clone what is committed, without DVC's cache."""
        self.run(["git", "clone", "-q", ".", str(folder)])
        return Clone(folder)

    def dvc(self, *arguments: str) -> str:
        """Run DVC in the clone and return what it printed."""
        return self.run([sys.executable, "-m", "dvc", *arguments])

    def experiment(self, name: str, *settings: str) -> str:
        """Run one experiment on top of the small settings."""
        flags = [flag for setting in (*SMALL, *settings) for flag in ("-S", setting)]
        return self.dvc("exp", "run", "-n", name, *flags)

    def study_runs(self) -> dict[str, str]:
        """Return the commit of each finished run of a study of alpha, by its name."""
        found = find_experiments(self.folder)
        return {name: commit for name, commit in found.items() if name.startswith("alpha-")}

    def study_results(self) -> pd.DataFrame:
        """Return the table of the study called try, without what names a commit."""
        table = pd.read_csv(self.folder / "reports/try/results.csv")
        return table.drop(columns="commit")

    @property
    def environment(self) -> dict[str, str]:
        """What commands in the clone need: this Python's programs, and a name for commits."""
        identity = {
            f"GIT_{who}_{what}": "test@example.org" if what == "EMAIL" else "test"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Else gcsfs asks an emulator over gRPC what kind its buckets are, and waits a minute.
        over_http = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        return os.environ | identity | over_http | {"PATH": path, "CI": "true"}

    def run(self, command: list[str], variables: dict[str, str] | None = None) -> str:
        """Run a command in the clone and return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | (variables or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def stages_run(output: str) -> set[str]:
    """Return the names of the stages that DVC says it ran, without their model."""
    return set(re.findall(r"Running stage '([a-z]+)", output))


def outcome(folder: Path) -> dict[str, bytes]:
    """Return the contents of all that must repeat byte for byte: models and metrics, not times."""
    files = [*folder.glob("models/*.keras"), *folder.glob("metrics/**/*.*")]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if "timing" not in file.name
    }
