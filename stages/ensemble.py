"""Join two trained models into one that answers with the mean of their probabilities."""

from pathlib import Path
from typing import Any

from trashnet.classifier import (
    classifier_file,
    describe_saved,
    join_classifiers,
    load_classifier,
    save_classifier,
)
from trashnet.errors import PipelineError
from trashnet.files import read_json, write_json
from trashnet.params import load_params
from trashnet.stage import log, run_model_stage

METRICS = Path("metrics")


def main(model: str) -> None:
    """Write models/<model>.keras, and what its members' trainings say of themselves."""
    ensembles = load_params().ensembles
    if model not in ensembles:
        raise PipelineError(
            f"`ensembles` in params.yaml does not name {model} (but "
            f"{', '.join(ensembles) or 'none'}); add it there, or give --model another name."
        )
    members = ensembles[model]
    ensemble = join_classifiers([load_classifier(classifier_file(member)) for member in members])
    file = classifier_file(model)
    save_classifier(ensemble, file)
    trainings = [read_json(METRICS / member / "training.json") for member in members]
    training = {"members": members} | summarize(trainings) | describe_saved(ensemble, file)
    write_json(METRICS / model / "training.json", training)
    log(f"{model}: answers with the mean of {' and '.join(members)}")


def summarize(trainings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `train` says of a model: the members' epochs in sum, their accuracy in the mean.

    There is no best validation accuracy, because no epoch was chosen.
    """
    accuracies = [training["train"]["final_accuracy"] for training in trainings]
    return {
        "epochs": {
            phase: sum(training["epochs"][phase] for training in trainings)
            for phase in ("initial", "fine_tune")
        },
        "train": {"final_accuracy": round(sum(accuracies) / len(accuracies), 6)},
    }


if __name__ == "__main__":
    run_model_stage(main)
