"""What the app says and shows of numbers that it is given."""

import numpy as np
import pandas as pd
import pytest
from app_work import CLASSES

from app.answers import in_words, percent, rule_in_words
from app.markup import bars, confusion_table, plain
from app.results import confusion, mistakes


@pytest.mark.parametrize(
    ("confidence", "threshold", "expected"),
    [
        ([0.2, 0.1, 0.7], 0.7, "This is red (70% sure)."),
        ([0.2, 0.1, 0.7], 0.71, "Not sure. Perhaps red (70%), perhaps blue_bin (20%)."),
        ([0.0, 0.0, 1.0], 1.0, "Not sure. Perhaps red (over 99%), perhaps blue_bin (under 1%)."),
    ],
)
def test_threshold_belongs_to_the_sure_answers(
    confidence: list[float], threshold: float, expected: str
) -> None:
    assert in_words(np.array(confidence), CLASSES, threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, "Below 50.0%"),
        (0.612, "Below 61.2%"),
        (0.9996, "Below 99.9%"),
        (1.0, "No photo is answered"),
    ],
)
def test_rule_is_stated(threshold: float, expected: str) -> None:
    assert rule_in_words(threshold).startswith(expected)


@pytest.mark.parametrize("threshold", [0.5, 0.612, 1.0])
def test_rule_says_by_which_photos_it_was_chosen(threshold: float) -> None:
    """On the test photos, whose share stands beside it, it may have been right less often."""
    assert "of the validation photos, by which this rule was chosen, " in rule_in_words(threshold)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, "over 99%"), (0.99, "99%"), (0.5, "50%"), (0.01, "1%"), (0.0, "under 1%")],
)
def test_percentage_never_claims_certainty(share: float, expected: str) -> None:
    assert percent(share) == expected


def test_markup_escapes_names() -> None:
    counts = pd.DataFrame([[3, 0], [1, 2]], ["<a>", "b"], ["<a>", "b"])

    assert plain("a_b*") == r"a\_b\*"
    markup = bars(["<a>", "b"], np.array([0.5, 0.5])) + confusion_table(counts)
    assert "<a>" not in markup
    assert markup.count("&lt;a&gt;") == 3


@pytest.mark.parametrize(
    ("name", "parted"),
    [
        ("http://a.org", "http:|//a.org"),
        ("HTTPS://a.org", "HTTPS:|//a.org"),
        ("at www.a.org.jpg", "at www|.a.org.jpg"),
        ("me@a.org.jpg", "me@|a.org.jpg"),
        (":material/delete:", ":|material/delete:"),
        (":streamlit:.png", ":|streamlit:.png"),
        ("a -- b", "a -|- b"),
        ("a <-> b >= c", "a <|-> b >|= c"),
    ],
)
def test_name_that_looks_like_a_link_or_a_sign_is_parted_where_no_eye_sees_it(
    name: str, parted: str
) -> None:
    without_backslashes = plain(name).replace("\\", "")

    assert without_backslashes == parted.replace("|", "\u2060")


@pytest.mark.parametrize("text", ["`dvc repro evaluate@MobileNetV2`.", "a: b", "gs://a/b--c"])
def test_text_to_copy_stays_whole(text: str) -> None:
    assert plain(text).replace("\\", "") == text


def test_confusion_has_a_column_for_a_class_that_is_never_predicted() -> None:
    predictions = pd.DataFrame(
        {"label": ["b", "a"], "predicted": ["a", "a"], "p_a": [0.6, 0.7], "p_b": [0.4, 0.3]}
    )

    assert confusion(predictions).to_numpy().tolist() == [[1, 0], [1, 0]]


def test_surest_mistake_comes_first() -> None:
    predictions = pd.DataFrame(
        {
            "path": ["x", "y", "z"],
            "label": ["b", "a", "b"],
            "predicted": ["a", "a", "a"],
            "p_a": [0.6, 0.7, 0.9],
            "p_b": [0.4, 0.3, 0.1],
        }
    )

    assert mistakes(predictions)["path"].tolist() == ["z", "x"]
