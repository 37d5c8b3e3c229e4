"""Importing Keras without the packages that it also imports wherever they are installed."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

NOT_FOR_KERAS = {"matplotlib", "sklearn"}


class _NotWhileKerasStarts(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        keras = sys.modules.get("keras")
        # Keras sets its version last of all.
        if name in NOT_FOR_KERAS and keras is not None and not hasattr(keras, "__version__"):
            raise ModuleNotFoundError(f"{name} is not needed to start Keras", name=name)


def import_keras_alone() -> None:
    """Let Keras's coming import go without matplotlib and scikit-learn.

    Keras 3 imports both for galleries of pictures and for wrappers that
    nothing here uses, and does without where they are not installed; what that
    takes is in `python -X importtime -c "import keras"`. Whoever else imports
    them gets them.
    """
    sys.meta_path.insert(0, _NotWhileKerasStarts())
