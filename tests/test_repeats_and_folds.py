"""The benchmarks that read experiments: repeats gathered by name, folds paired by photo."""

import json
from pathlib import Path

import pandas as pd
import pytest
from study_work import commit_files, git

from benchmarks.folds import pair_photos, table
from benchmarks.repeats import read_accuracies, text
from trashnet.errors import PipelineError


def experiment(repository: Path, name: str, **accuracies: float) -> None:
    """Leave an experiment with each model's test accuracy, on a commit of its own."""
    models = {
        model: {"test_accuracy": test, "best_val_accuracy": 0.5, "test_loss": 0.1}
        for model, test in accuracies.items()
    }
    commit = commit_files(repository, {"reports/comparison.json": json.dumps({"models": models})})
    git(repository, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", commit)


def test_repeats_gather_the_experiments_named_in_the_order_of_their_names(
    repository: Path,
) -> None:
    for name, accuracy in (("cv-2", 0.8), ("cv-1", 0.9), ("base", 0.2)):
        experiment(repository, name, MobileNet=accuracy)

    accuracies = read_accuracies("cv-*", repository)

    assert accuracies["test_accuracy"].tolist() == [0.9, 0.8]
    assert accuracies["best_val_accuracy"].tolist() == [0.5, 0.5]


def test_repeats_are_found_after_the_next_commit(repository: Path) -> None:
    experiment(repository, "cv-1", MobileNet=0.9)
    commit_files(repository, {"reports/comparison.json": "{}"})

    assert read_accuracies("*", repository)["test_accuracy"].tolist() == [0.9]


def test_repeats_leave_out_models_that_an_experiment_did_not_train(repository: Path) -> None:
    experiment(repository, "seed-1", MobileNet=0.9, Pair=0.95)
    experiment(repository, "seed-2", MobileNet=0.8)

    accuracies = read_accuracies("seed-*", repository)

    assert accuracies["model"].value_counts().to_dict() == {"MobileNet": 2, "Pair": 1}


def test_repeats_of_a_name_that_no_experiment_has_are_refused(repository: Path) -> None:
    experiment(repository, "base", MobileNet=0.9)

    with pytest.raises(PipelineError, match=r"`dvc exp show -A` lists"):
        read_accuracies("cv-*", repository)


def test_spread_over_repeats_is_that_of_a_sample() -> None:
    assert text(pd.Series([0.9, 0.8])) == "0.850 ± 0.071 (0.900, 0.800)"


def test_one_experiment_has_no_spread() -> None:
    assert text(pd.Series([0.9], index=["MobileNet"])) == "0.900"


def folds_of(**correct: list[bool]) -> pd.DataFrame:
    """Make what two folds of two photos each answered, as read from experiments."""
    photos = pd.DataFrame(
        {
            "fold": ["it-1", "it-1", "it-2", "it-2"],
            "path": ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg", "paper/2.jpg"],
            "label": ["glass", "glass", "paper", "paper"],
        }
    )
    return pd.concat([photos.assign(model=model, correct=of) for model, of in correct.items()])


def test_folds_are_paired_by_photo_whatever_their_order() -> None:
    baseline = folds_of(MobileNet=[True, False, False, False]).iloc[::-1]
    setting = folds_of(MobileNet=[True, True, False, True])

    paired = pair_photos("adam", setting, baseline)["MobileNet", "adam"]

    assert paired["baseline"].tolist() == [True, False, False, False]


def test_folds_pair_only_models_that_both_trained() -> None:
    baseline = folds_of(MobileNet=[True] * 4, Pair=[True] * 4)

    pairs = pair_photos("adam", folds_of(MobileNet=[True] * 4), baseline)

    assert list(pairs) == [("MobileNet", "adam")]


def test_folds_without_a_model_in_common_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"^adam and the baseline trained no model in common"):
        pair_photos("adam", folds_of(MobileNet=[True] * 4), folds_of(Pair=[True] * 4))


def test_folds_of_other_photos_are_refused() -> None:
    baseline = folds_of(MobileNet=[True] * 4)

    with pytest.raises(PipelineError, match=r"^adam and the baseline tested MobileNet on differ"):
        pair_photos("adam", baseline.iloc[:3], baseline)


def test_folds_cut_in_another_way_are_refused() -> None:
    baseline = folds_of(MobileNet=[True] * 4)
    others = baseline.assign(fold=["it-1", "it-2", "it-1", "it-2"])

    with pytest.raises(PipelineError, match="cut the photos of MobileNet into different folds"):
        pair_photos("adam", others, baseline)


def test_seeds_are_not_taken_for_folds() -> None:
    twice = pd.concat([folds_of(MobileNet=[True] * 4)] * 2)

    with pytest.raises(PipelineError, match=r"photo of MobileNet more than once.*\./study"):
        pair_photos("adam", twice, twice)


def test_folds_tell_accuracy_and_photos_gained_and_lost() -> None:
    baseline = folds_of(MobileNet=[True, False, True, False])
    setting = folds_of(MobileNet=[True, True, False, True])

    lines = table(pair_photos("adam", setting, baseline))

    assert lines[2] == "| MobileNet | the baseline | 0.500 ± 0.000 | | | |"
    assert lines[3].startswith("| MobileNet | adam | 0.750 ± 0.354 | 2, 1 | +25.0 [")
    assert lines[3].endswith("| 1, 1 |")


def test_one_fold_has_no_spread() -> None:
    one = folds_of(MobileNet=[True, False, True, False]).assign(fold="it-1")

    lines = table(pair_photos("adam", one, one))

    assert lines[2] == "| MobileNet | the baseline | 0.500 | | | |"
