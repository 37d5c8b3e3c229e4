"""Asking git, whose answers are text."""

import subprocess
from pathlib import Path

from trashnet.errors import PipelineError


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise PipelineError(
            f"git {' '.join(arguments)} failed ({done.stderr.strip()}); run this in a clone."
        )
    return done.stdout
