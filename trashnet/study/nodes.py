"""Running a study's experiments on the nodes of a Ray cluster, each in a clone of its own."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from trashnet.cluster import run_tasks
from trashnet.errors import PipelineError
from trashnet.shards import CLUSTER, Work
from trashnet.study.execution import reason_of
from trashnet.study.experiments import EXPERIMENTS
from trashnet.study.git import git
from trashnet.study.grid import Run


class Repository(NamedTuple):
    """What a node needs to run an experiment of this repository.

    Attributes
    ----------
    bundle : bytes
        Of the commit that is checked out here, with its history.
    commit : str
        Its hash.
    changes : bytes
        A patch with what is not committed yet.
    remote : str
        Name of DVC's default remote, through which results travel; empty where
        they do through DVC's cache here.
    store : str
        The folder of either; empty where the remote is no folder.
    probe : str
        A file in it that exists while the study runs: a node that sees it sees the folder.
    """

    bundle: bytes
    commit: str
    changes: bytes
    remote: str
    store: str
    probe: str


class Outcome(NamedTuple):
    """What comes back: why the run failed or None, and a git bundle of the experiment."""

    reason: str | None
    bundle: bytes


def run_on_nodes(
    address: str, runs: Sequence[Run], folder: Path, note: Callable[[Run, str | None], None]
) -> None:
    """Run experiments side by side, one a node, and bring their commits home.

    The first goes ahead alone: what it has in common with the others, such as
    features, is then in DVC's run cache. Models come home through DVC's
    default remote; without one through the cache, which all nodes must see.

    Parameters
    ----------
    address : str
        See `trashnet.cluster.run_tasks`.
    runs : sequence of Run
        Those to run.
    folder : Path
        The repository's root.
    note : callable
        Gets each run, once its commit is here, and why it failed, or None.

    Raises
    ------
    PipelineError
        If the cluster cannot be used, or a run was lost three times.
    """

    def bring_home(run: Run, outcome: Outcome) -> None:
        if outcome.reason is None:
            import_experiment(folder, run, outcome.bundle, bool(repository.remote))
        note(run, outcome.reason)

    with describe_repository(folder) as repository:
        for together in (runs[:1], runs[1:]):
            run_tasks(
                address,
                together,
                lambda run: f"the run {run.name}",
                lambda run: run,
                Work(run_in_clone, repository),
                bring_home,
                whole_nodes=True,
            )


def import_experiment(folder: Path, run: Run, bundle: bytes, has_remote: bool) -> None:
    """Add an experiment's commit to this repository, and from the remote what it made."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "bundle")
        file.write_bytes(bundle)
        references = f"{EXPERIMENTS}/*:{EXPERIMENTS}/*"
        if not has_remote:
            git(folder, "fetch", "-q", str(file), references)
            return
        # DVC pulls experiments from repositories, not from bundles.
        source = Path(scratch, "source")
        git(folder, "clone", "-q", "--bare", "--shared", str(folder.resolve()), str(source))
        git(source, "fetch", "-q", str(file), references)
        _dvc(folder, "exp", "pull", str(source), run.name)


@contextmanager
def describe_repository(folder: Path) -> Iterator[Repository]:
    """Yield what nodes need of this repository.

    Raises
    ------
    PipelineError
        If nodes, which have what is in git, could not find the default remote.
    """
    remote, store = _where_results_travel(folder)
    probe = Path(store, f"study-{uuid.uuid4().hex}") if store else None
    if probe:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch, "bundle")
            git(folder, "bundle", "create", "-q", str(bundle), "HEAD")
            yield Repository(
                bundle=bundle.read_bytes(),
                commit=git(folder, "rev-parse", "HEAD").strip(),
                changes=_uncommitted_changes(folder),
                remote=remote,
                store=store,
                probe=str(probe or ""),
            )
    finally:
        if probe:
            probe.unlink(missing_ok=True)


def _where_results_travel(folder: Path) -> tuple[str, str]:
    """Return DVC's default remote and the folder that it is, or no remote and the cache."""
    remote = _dvc(folder, "config", "core.remote", check=False).strip()
    if not remote:
        return "", _dvc(folder, "cache", "dir").strip()
    # `dvc config` would tell a relative path as an absolute one.
    of_project = ConfigParser(interpolation=None)
    of_project.read(folder / ".dvc/config", encoding="utf-8")
    url = of_project.get(f"'remote \"{remote}\"'", "url", fallback="")
    if not url or of_project.get("core", "remote", fallback="") != remote:
        raise PipelineError(
            f"DVC's default remote {remote} stands in this machine's own configuration, which "
            "nodes do not have; name it in .dvc/config (dvc remote add -d, without --local or "
            "--global)."
        )
    if "://" in url:
        return remote, ""
    if not Path(url).is_absolute():
        raise PipelineError(
            f"DVC's default remote {remote} has a relative path, {url}, which is another folder in "
            f"a node's clone; give it an absolute one (dvc remote modify {remote} url /...)."
        )
    return remote, url


def run_in_clone(repository: Repository, run: Run) -> Outcome:
    """Run one experiment on the node that this is called on.

    Raises
    ------
    PipelineError
        If its results could not come home.
    """
    if repository.probe and not Path(repository.probe).exists():
        raise PipelineError(
            f"A node of the cluster does not see {repository.store}, through which models would "
            "come home; make a store that all machines see DVC's default remote "
            "(dvc remote add -d store gs://bucket/dvc)."
        )
    with tempfile.TemporaryDirectory(prefix="study-") as scratch:
        folder = Path(scratch, "clone")
        clone(repository, Path(scratch), folder)
        overrides = [part for override in run.overrides for part in ("-S", override)]
        pull = ["--pull"] if repository.remote else []
        done = _run(folder, "dvc", "exp", "run", *pull, "-n", run.name, *overrides)
        if done.returncode == 0 and repository.remote:
            done = _run(folder, "dvc", "push", "--run-cache")
        if done.returncode != 0:
            return Outcome(reason_of(done.stdout, folder), b"")
        bundle = Path(scratch, "experiment")
        reference = f"{EXPERIMENTS}/{repository.commit[:2]}/{repository.commit[2:]}/{run.name}"
        git(folder, "bundle", "create", "-q", str(bundle), reference, f"^{repository.commit}")
        return Outcome(None, bundle.read_bytes())


def clone(repository: Repository, scratch: Path, folder: Path) -> None:
    """Make the repository as it stands on the person's machine, uncommitted changes included."""
    bundle = scratch / "bundle"
    bundle.write_bytes(repository.bundle)
    git(scratch, "clone", "-q", str(bundle), str(folder))
    git(folder, "remote", "remove", "origin")
    for key, value in (("user.name", "study"), ("user.email", "study@localhost")):
        git(folder, "config", key, value)
    if repository.changes:
        patch = scratch / "changes"
        patch.write_bytes(repository.changes)
        git(folder, "apply", "--whitespace=nowarn", str(patch))
    # With a remote each node keeps a cache of its own, from which its next run takes features.
    own = Path(tempfile.gettempdir(), f"study-cache-{repository.commit[:12]}")
    _dvc(folder, "cache", "dir", "--local", str(own) if repository.remote else repository.store)


def _uncommitted_changes(folder: Path) -> bytes:
    # In bytes, because lines may end as on Windows, and whatever a person's git shows otherwise.
    plain = ("--no-ext-diff", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
    command = ["git", "diff", "--binary", *plain, "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout


def _dvc(folder: Path, *arguments: str, check: bool = True) -> str:
    done = _run(folder, "dvc", *arguments)
    if check and done.returncode != 0:
        raise PipelineError(f"dvc {' '.join(arguments)} failed ({done.stdout.strip()}).")
    return done.stdout if done.returncode == 0 else ""


def _run(folder: Path, *module: str) -> "subprocess.CompletedProcess[str]":
    # Without what Ray sets for its own processes: a run uses the node as it would this machine.
    foreign = ("OMP_NUM_THREADS", "PYTHONPATH", CLUSTER)
    kept = {key: value for key, value in os.environ.items() if key not in foreign}
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env=kept,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
