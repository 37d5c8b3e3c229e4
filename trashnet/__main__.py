"""The command line: ``python -m trashnet predict photo.jpg folder/``."""

import argparse
import csv
import gc
import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.keras_alone import import_keras_alone
from trashnet.native_messages import hide_native_messages
from trashnet.prediction import BATCH_SIZE, Answer, answer, compared_models, find_photos
from trashnet.progress import progress

if TYPE_CHECKING:
    from trashnet.classifier import Classifier
    from trashnet.exported import ExportedClassifier

MANY_PHOTOS = 200
"""From so many on, what LiteRT saves is worth converting the network for it."""

Writer = Callable[[Sequence[Answer], Sequence[str], int], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parse(arguments)
    try:
        return predict(options.photos, options.model, options.write, options.top)
    except PipelineError as error:
        print(f"trashnet: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        print(f"trashnet: {error.strerror or error}{named}; mend that and retry.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print("trashnet: memory ran out; free some and retry.", file=sys.stderr)
        return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments; what is wrong with them is said before anything is loaded."""
    parser = argparse.ArgumentParser(prog="python -m trashnet")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "predict",
        help="say what photos show",
        description="Say what photos show, with the model's own probabilities; the app corrects "
        "them by the temperature in metrics/<Model>.json.",
    )
    command.add_argument(
        "photos", nargs="+", type=_local, help="JPEG or PNG files, or folders of them"
    )
    command.add_argument(
        "--model",
        default="best",
        help="a model of the comparison, the best of them on validation (default), "
        "or the path of a .keras or .tflite file",
    )
    command.add_argument(
        "--top", type=_positive, default=3, help="classes a photo in the table (default 3)"
    )
    forms = command.add_mutually_exclusive_group()
    forms.add_argument(
        "--json", dest="write", action="store_const", const=write_json, help="for programs"
    )
    forms.add_argument(
        "--csv", dest="write", action="store_const", const=write_csv, help="for spreadsheets"
    )
    command.set_defaults(write=write_table)
    return parser.parse_args(arguments)


def predict(photos: Sequence[Path], model: str, write: Writer, top: int) -> int:
    """Write the answers on all photos; return 1 if one has none, else 0."""
    classifier = load_model(find_model(model))
    files = find_photos(photos)
    ask = make_predictor(classifier, len(files))
    answers: Iterable[Answer] = answer(ask, files, classifier.image_size)
    if len(files) > BATCH_SIZE:
        answers = progress(answers, "predicting", "photo", total=len(files))
    answers = list(answers)
    write(answers, classifier.class_names, top)
    return 1 if any(item.error for item in answers) else 0


def find_model(name: str) -> Path:
    """Return the model file that ``--model`` means.

    Raises
    ------
    PipelineError
        If it is neither the path of a file nor a model of the comparison.
    """
    if "/" in name or name.lower().endswith((".keras", ".tflite")):
        if not Path(name).is_file():
            raise PipelineError(f"There is no model at {name}; check the name, or run `dvc repro`.")
        return Path(name)
    models = compared_models()
    if name == "best":
        name = models[0]
    if name not in models:
        raise PipelineError(
            f"The comparison has no model {name}; take best, {', '.join(models)}, "
            "or the path of a .keras or .tflite file."
        )
    return Path("models", f"{name}.keras")


def load_model(path: Path) -> "Classifier | ExportedClassifier":
    """Load a model that this pipeline saved or exported."""
    # TensorFlow takes seconds to import, so all that can fail without it has its turn first.
    from trashnet.classifier import load_classifier  # noqa: PLC0415
    from trashnet.exported import load_exported  # noqa: PLC0415

    is_exported = path.suffix.lower() == ".tflite"
    return load_exported(path) if is_exported else load_classifier(path)


def make_predictor(
    classifier: "Classifier | ExportedClassifier", photos: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the faster way to ask a model about so many photos."""
    from trashnet.classifier import Classifier  # noqa: PLC0415
    from trashnet.networks import compile_inference  # noqa: PLC0415

    if photos >= MANY_PHOTOS and isinstance(classifier, Classifier):
        run = compile_inference(classifier.model)
        return lambda pixels: run(pixels)[0]
    predict_one = classifier.predictor()
    # A pass over many large photos and their mirror images would take gigabytes.
    return lambda pixels: np.concatenate([predict_one(photo[None]) for photo in pixels])


def write_table(answers: Sequence[Answer], class_names: Sequence[str], top: int) -> None:
    """Print a line a photo with its likeliest classes; faults go to standard error."""
    names = [shown(item.path) for item in answers]
    width = max(map(len, names))
    class_names = [shown(name) for name in class_names]
    name_width = max(map(len, class_names))
    for name, item in zip(names, answers, strict=True):
        if item.probabilities is None:
            print(f"trashnet: {shown(item.error)}", file=sys.stderr)
            continue
        likeliest = [
            f"{class_name:{name_width}} {probability:5.1%}"
            for class_name, probability in ranked(item.probabilities, class_names)[:top]
        ]
        print(f"{name:{width}}  {'   '.join(likeliest)}".rstrip())


def shown(text: object) -> str:
    """Return a text for the terminal: a name may hold line breaks and the terminal's commands."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", str(text))


def write_json(answers: Sequence[Answer], class_names: Sequence[str], _: int) -> None:
    """Print a list with an object a photo, in the order of the arguments."""
    json.dump(list(_as_objects(answers, class_names)), sys.stdout, indent=2)
    print()


def write_csv(answers: Sequence[Answer], class_names: Sequence[str], _: int) -> None:
    """Print a row a photo: path, predicted, probability, ``p_<class>`` for each class, error."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(
        ["path", "predicted", "probability", *(f"p_{name}" for name in class_names), "error"]
    )
    for item in answers:
        if item.probabilities is None:
            table.writerow([item.path, "", "", *("" for _ in class_names), item.error])
            continue
        name, highest = ranked(item.probabilities, class_names)[0]
        numbers = [f"{probability:.6f}" for probability in (highest, *item.probabilities)]
        table.writerow([item.path, name, *numbers, ""])


def ranked(probabilities: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, float]]:
    """Return the classes with their probabilities, the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")
    return [(class_names[index], float(probabilities[index])) for index in order]


def _as_objects(
    answers: Sequence[Answer], class_names: Sequence[str]
) -> Iterator[dict[str, object]]:
    for item in answers:
        if item.probabilities is None:
            yield {"path": str(item.path), "error": item.error}
            continue
        name, highest = ranked(item.probabilities, class_names)[0]
        yield {
            "path": str(item.path),
            "predicted": name,
            "probability": round(highest, 6),
            "probabilities": {
                name: round(float(probability), 6)
                for name, probability in zip(class_names, item.probabilities, strict=True)
            },
        }


def _local(text: str) -> Path:
    # As a path it would be the current folder, and a script's unset variable name all photos there.
    if not text:
        raise argparse.ArgumentTypeError("a name is empty; name photos, or . for this folder")
    # A path would lose one of the slashes, and no photo would be missed by that name.
    if "://" in text:
        raise argparse.ArgumentTypeError(f"download {text} first, and name the file")
    return Path(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a number from 1, not {text!r}")
    return int(text)


if __name__ == "__main__":
    hide_native_messages()
    if sys.stdout is None:
        sys.exit("trashnet: standard output is closed, where the answers would go; open it.")
    import_keras_alone()
    # A reader that stops early, like `| head`, ends this quietly.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # Whatever the terminal speaks, every name goes out; one that is no text as the bytes it is.
    cast(TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", errors="surrogateescape")
    # Collecting garbage among all that TensorFlow makes to stay takes half a second.
    gc.set_threshold(100_000)
    sys.exit(main())
