"""The workspace before a run, for the case that DVC is killed while it makes its copy.

DVC puts a person's changes on git's stash meanwhile, detaches HEAD and writes
the run's values into params.yaml: a study that went on from there would be
another one.
"""

import json
from pathlib import Path

from trashnet.errors import PipelineError
from trashnet.files import write_text
from trashnet.study.git import git
from trashnet.study.grid import hash_workspace

NOTE = Path(".dvc/tmp/study.json")


def note_workspace(folder: Path) -> None:
    """Note which branch is checked out and what runs start from, before DVC touches either."""
    noted = {"head": _head(folder), "workspace": hash_workspace(folder)}
    write_text(folder / NOTE, json.dumps(noted))


def settle_workspace(folder: Path, status: int) -> None:
    """Forget the note after DVC has ended, unless it was killed and left something else.

    Parameters
    ----------
    folder : Path
    status : int
        Of DVC; below zero where a signal ended it.

    Raises
    ------
    PipelineError
        If DVC left HEAD detached.
    """
    noted = _noted(folder)
    if not noted:
        return
    _check_head(folder, noted["head"])
    if status >= 0 or hash_workspace(folder) == noted["workspace"]:
        (folder / NOTE).unlink()


def check_workspace(folder: Path = Path()) -> None:
    """Raise where DVC was killed, its study too, and the workspace is not as it was before."""
    noted = _noted(folder)
    if not noted:
        return
    _check_head(folder, noted["head"])
    if hash_workspace(folder) != noted["workspace"]:
        raise PipelineError(
            "a study was killed, and params.yaml, the code or corrections/ are not what they were "
            "then; bring them back with `git checkout params.yaml`, and `git stash pop` if "
            "`git stash list` names changes of yours, or, if you changed them yourself, "
            f"`rm {NOTE}`."
        )
    (folder / NOTE).unlink()


def _noted(folder: Path) -> dict[str, str]:
    note = folder / NOTE
    noted: dict[str, str] = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    return noted


def _check_head(folder: Path, head: str) -> None:
    now = _head(folder)
    # Whoever is on another branch went there: DVC leaves none checked out.
    if now != head and now == git(folder, "rev-parse", "HEAD").strip():
        raise PipelineError(
            "DVC was stopped while it copied the workspace and left HEAD detached; run "
            f"`git checkout --force {head}`, and `git stash pop` if `git stash list` names "
            "changes of yours."
        )


def _head(folder: Path) -> str:
    """Return the branch that is checked out, or the commit where none is."""
    branch = git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip()
    return git(folder, "rev-parse", "HEAD").strip() if branch == "HEAD" else branch
