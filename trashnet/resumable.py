"""Early stopping that outlives a killed process: a fit goes on as if it had never stopped."""

import json
import zipfile
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import keras
import numpy as np

from trashnet.files import atomic_file

SECONDS_BETWEEN_STATES = 10.0
"""Least time from one state to the next: of many short epochs, writing each would take longest."""


class StateFile(NamedTuple):
    """Where a fit keeps its state while it runs.

    Attributes
    ----------
    path : Path
        A ``.npz`` file, written anew after an epoch, if the one before is old enough.
    identity : str
        Of everything that the fit depends on. A file with another identity is
        what a different fit left behind, and is not read.
    """

    path: Path
    identity: str


class ResumableEarlyStopping(keras.callbacks.EarlyStopping):
    """Early stopping at the best weights that goes on where a killed fit ended.

    Keras's BackupAndRestore brings back weights, optimizer and epoch, but
    neither what early stopping remembers nor the epochs' history, so that a
    resumed fit would end elsewhere than an undisturbed one.

    Parameters
    ----------
    monitor : {'val_loss', 'val_accuracy'}
        What the best epoch is the best in.
    patience : int
        Epochs without improvement before the fit ends.
    file : StateFile, optional
        Where left out, nothing is kept.

    Attributes
    ----------
    history : list of dict
        Loss, accuracy and their validation values, an entry an epoch, those
        of the killed fit included.
    ended : bool
        The killed fit had already stopped early.
    earlier_seconds : float
        How long the killed fit had taken for what it left.
    """

    def __init__(self, monitor: str, patience: int, file: StateFile | None = None) -> None:
        mode = "max" if monitor == "val_accuracy" else "min"
        super().__init__(monitor, patience=patience, mode=mode, restore_best_weights=True)
        self._file = file
        self._arrays, state = _read(file)
        self.history: list[dict[str, float]] = state.get("history", [])
        self.ended: bool = state.get("ended", False)
        self.earlier_seconds: float = state.get("seconds", 0.0)
        self._remembered: dict[str, Any] = state.get("remembered", {})

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Put back what the killed fit had reached."""
        super().on_train_begin(logs)
        self._began = self._kept_at = monotonic()
        if not self.history:
            return
        variables = self._variables()
        for position, variable in enumerate(variables):
            variable.assign(self._arrays[f"variable_{position}"])
        weights = range(len(self.model.get_weights()))
        self.best_weights = [self._arrays[f"best_{position}"] for position in weights]
        for name, value in self._remembered.items():
            setattr(self, name, value)
        self._arrays = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the state on disk, where that is due."""
        super().on_epoch_end(epoch, logs)
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        self.ended = self.model.stop_training
        if self._file is not None and monotonic() - self._kept_at >= SECONDS_BETWEEN_STATES:
            self._write(self._file)
            self._kept_at = monotonic()

    def _variables(self) -> list[keras.Variable]:
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        # The model's are its weights and the states of its random generators.
        return [*self.model.variables, *optimizer.variables]

    def _write(self, file: StateFile) -> None:
        arrays = {
            f"variable_{position}": np.asarray(variable)
            for position, variable in enumerate(self._variables())
        }
        arrays |= {f"best_{position}": best for position, best in enumerate(self.best_weights)}
        state = {
            "identity": file.identity,
            "history": self.history,
            "ended": self.ended,
            "seconds": self.earlier_seconds + monotonic() - self._began,
            "remembered": {
                "wait": self.wait,
                "best": float(self.best),
                "best_epoch": self.best_epoch,
            },
        }
        with atomic_file(file.path) as partial:
            np.savez(partial, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)


def _read(file: StateFile | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if file is None or not file.path.exists():
        return {}, {}
    try:
        with np.load(file.path, allow_pickle=False) as stored:
            state = json.loads(str(stored["state"]))
            if state["identity"] != file.identity:
                return {}, {}
            return {name: stored[name] for name in stored.files if name != "state"}, state
    # A file that was not on the disk yet when the power failed is empty or cut short.
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return {}, {}
