"""A repository of experiments as a study finds it, and what their models answered."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from trashnet.study.grid import Run

PARAMS = """
alpha: 0.2
seed: 1
optimizer: adamw
models: [A, B]
head: {units: [], dropout: 0.2}
"""


def lock_of(photos: str, address: str = "gs://photos") -> str:
    """Write what DVC notes of the stages download and prepare."""
    return f"""schema: '2.0'
stages:
  download:
    cmd: python -m stages.download
    params:
      params.yaml:
        datasets.mine.url: {address}
    outs:
    - path: data/raw
      md5: {photos}.dir
  prepare:
    cmd: python -m stages.prepare
    outs:
    - path: data/images
      md5: {photos}.dir
"""


def make_repository(tmp_path: Path) -> Path:
    """Make a git repository with parameters and code, one commit old."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "dvc.lock").write_text(lock_of(photos="aa"))
    for folder in ("stages", "trashnet"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text("epochs = 1\n")
    git(tmp_path, "init", "-q")
    commit_files(tmp_path, {})
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_files(folder: Path, files: dict[str, str]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "state")
    return git(folder, "rev-parse", "HEAD")


def finish(run: Run, folder: Path, commit: str | None = None) -> None:
    """Leave the reference that `dvc exp run -n` leaves, in the place of an earlier one."""
    for reference in git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        if reference.endswith(f"/{run.name}"):
            git(folder, "update-ref", "-d", reference)
    head = commit or git(folder, "rev-parse", "HEAD")
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}", head)


def answers(share: float, photos: int = 400, seeds: int = 5, draw: int = 0) -> np.ndarray:
    """Return whether five seeds were right; the same photos are hard for all of them."""
    random = np.random.default_rng(draw)
    ease = np.linspace(0, 1, photos) + random.normal(0, 0.02, (seeds, photos))
    correct: np.ndarray = ease > 1 - share
    return correct


def commit_run(
    folder: Path,
    run: Run,
    correct: dict[str, np.ndarray],
    val: float,
    val_photos: int = 10,
    rarest: str = "trash",
    val_label: str = "glass",
) -> None:
    """Leave what an experiment leaves: metrics and predictions in git, and its reference."""
    files = {"reports/comparison.json": json.dumps({"models": {model: {} for model in correct}})}
    for model, right in correct.items():
        label = ["glass", "glass", "paper", "paper", rarest] * (len(right) // 5)
        table = pd.DataFrame({"path": [f"{n}.jpg" for n in range(len(right))], "label": label})
        table["predicted"] = np.where(right, table["label"], "metal")
        recall = {name: float(right[table["label"] == name].mean()) for name in sorted(set(label))}
        test = {"accuracy": float(right.mean()), "macro_f1": 0.5, "recall": recall}
        files[f"metrics/{model}.json"] = json.dumps({"test": test, "val": {"accuracy": val}})
        files[f"metrics/{model}/predictions-test.csv"] = table.to_csv(index=False)
        validated = pd.DataFrame(
            {"path": [f"val/{n}.jpg" for n in range(val_photos)], "label": val_label}
        )
        files[f"metrics/{model}/predictions-val.csv"] = validated.to_csv(index=False)
    finish(run, folder, commit_files(folder, files))
