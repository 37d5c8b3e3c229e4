"""The app and the pipeline at work: whose figures stand beside which model's answers."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from app_work import color_classifier, errors, photo, run_app, upload, write_results

from app.models import _version
from trashnet.classifier import save_classifier
from trashnet.files import write_json
from trashnet.metrics import read_predictions, write_predictions


def test_model_that_was_trained_again_answers_once_it_is_evaluated(trained: Path) -> None:
    app = upload(run_app(), "mine.png", photo("blue"))
    before = app.subheader[0].value

    save_classifier(color_classifier(3), Path("models/MobileNetV2.keras"))
    app.run()
    (sentence,) = errors(app)
    write_results("MobileNetV2", color_classifier(3))
    app.run()

    assert sentence.startswith("MobileNetV2 is not the model that was evaluated last")
    assert not errors(app)
    assert app.subheader[0].value != before


def test_model_that_was_brought_without_photos_answers(trained: Path) -> None:
    shutil.rmtree("data")

    app = upload(run_app(), "mine.png", photo("blue"))

    assert not errors(app)
    assert app.subheader[0].value.startswith("This is blue")


def test_another_model_that_was_brought_without_photos_does_not_answer(trained: Path) -> None:
    shutil.rmtree("data")
    save_classifier(color_classifier(3), Path("models/MobileNetV2.keras"))

    (sentence,) = errors(run_app())

    assert sentence.startswith("MobileNetV2 is not the model that was evaluated last")


def test_open_page_does_not_answer_with_the_figures_of_another_evaluation(trained: Path) -> None:
    """`git checkout` brings another run's metrics before `dvc checkout` brings its models."""
    app = upload(run_app(), "mine.png", photo("blue"))
    file = "predictions-test.csv"
    shutil.copy(f"metrics/ResNet101V2/{file}", f"metrics/MobileNetV2/{file}")

    (sentence,) = errors(app.run())

    assert sentence.startswith("MobileNetV2 is not the model that was evaluated last")


@pytest.mark.parametrize("evaluated", ["MobileNetV2", "MobileNet"])
def test_choice_of_a_model_outlives_an_evaluation(
    trained: Path, monkeypatch: pytest.MonkeyPatch, evaluated: str
) -> None:
    app = run_app()
    app.selectbox[0].select("MobileNet").run()
    labels = dict(zip(["MobileNetV2", "MobileNet"], app.selectbox[0].options, strict=True))
    # A browser sends the label that it shows; the test's stand-in would make it anew.
    monkeypatch.setattr(
        "streamlit.testing.v1.element_tree._format_value_for_widget",
        lambda _, model: labels[model],
    )
    file = Path(f"metrics/{evaluated}/predictions-test.csv")
    predictions = read_predictions(file)
    write_predictions(file, predictions.assign(predicted=predictions["label"]))

    app.run()

    assert app.selectbox[0].value == "MobileNet"


def test_model_that_is_no_longer_compared_gives_way_to_the_best(trained: Path) -> None:
    app = run_app()
    app.selectbox[0].select("MobileNet").run()
    write_json("reports/comparison.json", {"models": {"MobileNetV2": {}}})

    app.run()

    assert not app.exception
    assert app.selectbox[0].value == "MobileNetV2"


def test_model_of_another_dataset_does_not_answer_with_the_figures_of_the_last(
    trained: Path,
) -> None:
    """`prepare` has replaced the photos, `train` the model, and `evaluate` is still to come."""
    Path("data/images").rename("data/others")
    Path("data/images/others").mkdir(parents=True)

    (sentence,) = errors(run_app())

    assert sentence.startswith("MobileNetV2 is not the model that was evaluated last")


def test_figures_are_those_of_the_last_evaluation_before_it_is_compared(trained: Path) -> None:
    file = Path("metrics/MobileNetV2/predictions-test.csv")
    predictions = read_predictions(file)
    predictions["predicted"] = predictions["label"]
    write_predictions(file, predictions)

    app = run_app("How good is it?")

    assert app.metric[0].value == "100.0%"
    assert app.selectbox[0].options[0] == "MobileNetV2: 100.0% right [61 to 100%]"


def test_model_that_comes_and_goes_is_there_or_not(trained: Path) -> None:
    """`dvc repro` takes a model away before it trains it again."""
    model, aside = Path("models/MobileNet.keras"), Path("models/aside")
    evaluated = Path("metrics/MobileNet/predictions-test.csv").stat().st_mtime_ns
    versions = {(model.stat().st_mtime_ns, evaluated), (0, evaluated)}
    done = Event()

    def come_and_go() -> None:
        while not done.is_set():
            model.rename(aside)
            aside.rename(model)

    with ThreadPoolExecutor(1) as pipeline:
        pipeline.submit(come_and_go)
        try:
            seen = {_version("MobileNet") for _ in range(20_000)}
        finally:
            done.set()

    assert seen == versions


@pytest.mark.parametrize(
    ("tab", "path"),
    [("Ask", "data/images/blue_bin/teal.png"), ("Its mistakes", "data/images/red/navy.png")],
)
def test_broken_photo_of_the_dataset_is_named(trained: Path, tab: str, path: str) -> None:
    """It is no fault of what the visitor sends: the model is asked about it again, or shows it."""
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:60])

    (sentence,) = errors(run_app(tab))

    assert sentence == f"{path} is damaged; bring it back with `dvc checkout`."
