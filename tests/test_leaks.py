"""Nothing of validation or test reaches training, on datasets full of planted copies."""

from io import BytesIO
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from params_work import write_params
from PIL import Image

from stages import prepare, split
from trashnet.batches import train_and_val_batches
from trashnet.class_weights import class_weights
from trashnet.dataset import RAW, class_names, read_manifest, read_splits
from trashnet.params import Params, load_params

PARAMS = Path(__file__).parents[1] / "params.yaml"
CLASSES = ["glass", "paper", "trash"]
PHOTOS_A_CLASS = 14
NEAR_BITS = 4

twins = st.lists(
    st.tuples(
        st.integers(0, len(CLASSES) * PHOTOS_A_CLASS - 1),  # of which photo
        st.sampled_from(["same bytes", "other quality", "slightly smaller"]),
        st.sampled_from(CLASSES),  # where the twin stands
    ),
    max_size=8,
)
in_one_folder = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def picture(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 72))


def encoded(image: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def twin_of(number: int, kind: str) -> bytes:
    if kind == "slightly smaller":
        return encoded(picture(number).resize((92, 69)), 95)
    return encoded(picture(number), 95 if kind == "same bytes" else 80)


def lay_out(planted: list[tuple[int, str, str]], split_seed: int) -> None:
    """Write a dataset with the planted twins to data/raw, and params.yaml for it."""
    write_params({"split.seed": split_seed, "split.test": 0.25, "split.val": 0.25})
    for old in RAW.rglob("*.jpg"):
        old.unlink()
    for number in range(len(CLASSES) * PHOTOS_A_CLASS):
        write(f"{CLASSES[number % len(CLASSES)]}/{number}.jpg", twin_of(number, "same bytes"))
    for position, (number, kind, label) in enumerate(planted):
        write(f"{label}/twin{position}.jpg", twin_of(number, kind))


def write(name: str, content: bytes) -> None:
    (RAW / name).parent.mkdir(parents=True, exist_ok=True)
    (RAW / name).write_bytes(content)


def split_of_every_photo(planted: list[tuple[int, str, str]], split_seed: int) -> pd.DataFrame:
    lay_out(planted, split_seed)
    prepare.main()
    split.main()
    return read_splits()


@in_one_folder
@given(twins, st.integers(0, 2**32 - 1))
def test_no_two_photos_that_look_alike_stand_in_two_splits(
    planted: list[tuple[int, str, str]], split_seed: int
) -> None:
    splits = split_of_every_photo(planted, split_seed)
    used = splits[splits["split"] != "dropped"]

    looks = {path: imagehash.phash(Image.open(RAW / path)) for path in used["path"]}
    place = dict(zip(used["path"], used["split"], strict=True))
    assert len(looks) >= PHOTOS_A_CLASS
    for one, other in combinations(looks, 2):
        if looks[one] - looks[other] <= NEAR_BITS:
            assert place[one] == place[other], f"{one} and {other}"


@in_one_folder
@given(twins, st.integers(0, 2**32 - 1))
def test_no_photo_stands_under_two_labels(
    planted: list[tuple[int, str, str]], split_seed: int
) -> None:
    splits = split_of_every_photo(planted, split_seed)

    manifest = read_manifest().set_index("path").loc[splits["path"]]
    assert manifest["sha256"].is_unique
    assert set(manifest["status"]) == {"ok"}


def numbered(splits: pd.DataFrame, views: int) -> np.ndarray:
    """Return activations that say which photo and which view of it they are."""
    photo, view = np.meshgrid(np.arange(len(splits)), np.arange(1 + views), indexing="ij")
    return np.stack([photo, view], axis=-1).astype(np.float32)


random_splits = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from(["train", "val", "test", "dropped"])),
    min_size=1,
    max_size=60,
).map(
    lambda rows: pd.DataFrame(
        [*[(label, "train") for label in CLASSES], *rows], columns=["label", "split"]
    )
)


def of_the_committed_file(**changes: object) -> Params:
    return load_params(PARAMS).model_copy(update=changes)


@given(random_splits, st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_training_shows_training_photos_alone_and_validation_plain_ones(
    splits: pd.DataFrame, views: int, seed: int
) -> None:
    params = of_the_committed_file(seed=seed, batch_size=7)

    train, val = train_and_val_batches(numbered(splits, views), splits, class_names(splits), params)

    for _ in range(3):
        shown = np.concatenate([train[batch][0] for batch in range(len(train))])
        assert set(splits["split"].iloc[shown[:, 0].astype(int)]) == {"train"}
        train.draw_epoch()
    for batch in range(len(val)):
        photos, view = val[batch][0].T.astype(int)
        assert set(splits["split"].iloc[photos]) == {"val"}
        assert not view.any()


@given(random_splits, st.floats(0, 1))
def test_class_weights_do_not_change_with_what_validation_and_test_hold(
    splits: pd.DataFrame, alpha: float
) -> None:
    shuffled = splits.copy()
    held_out = splits["split"] != "train"
    shuffled.loc[held_out, "label"] = CLASSES[0]
    params = of_the_committed_file(alpha=alpha, batch_size=len(splits))

    weights = [
        train_and_val_batches(numbered(table, 0), table, CLASSES, params)[0][0][2]
        for table in (splits, shuffled)
    ]

    np.testing.assert_array_equal(weights[0], weights[1])
    expected = class_weights(splits.loc[~held_out, "label"], alpha)
    assert set(np.unique(weights[0])) == {np.float32(weight) for weight in expected.values()}
