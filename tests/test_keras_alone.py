"""What Keras brings along when it is imported; each import in a process of its own."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def run_python(code: str) -> str:
    command = [sys.executable, "-c", f"import sys; {code}"]
    return subprocess.run(
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_keras_comes_without_what_nothing_here_uses() -> None:
    imported = run_python(
        "from trashnet.keras_alone import import_keras_alone; import_keras_alone(); import keras; "
        "print({'sklearn', 'matplotlib'} & set(sys.modules))"
    )

    assert imported == "set()"


def test_others_get_it_afterwards() -> None:
    score = run_python(
        "from trashnet.keras_alone import import_keras_alone; import_keras_alone(); import keras; "
        "from sklearn.metrics import accuracy_score; import matplotlib.figure; "
        "print(accuracy_score([0, 1], [0, 1]))"
    )

    assert score == "1.0"


def test_others_get_it_before() -> None:
    score = run_python(
        "from trashnet.keras_alone import import_keras_alone; import_keras_alone(); "
        "from sklearn.metrics import accuracy_score; import keras; "
        "print(accuracy_score([0, 1], [0, 1]))"
    )

    assert score == "1.0"
