"""The split stage: from a manifest and parameters to splits and counts, on TrashNet, too."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
from params_work import write_params
from split_work import NO_COPIES, WriteLists, photos_in, singles

from stages import prepare, split
from stages.split import split_fold
from trashnet.dataset import MANIFEST, RAW, SPLIT_NAMES, read_splits
from trashnet.errors import PipelineError
from trashnet.listed_splits import split_by_lists

REPOSITORY = Path(__file__).parents[1]
TRASHNET = REPOSITORY.parent / "shared/trashnet"

Configure = Callable[..., None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Run in a folder of its own, and return how to write its manifest and params.yaml."""
    monkeypatch.chdir(tmp_path)

    def configure(photos: pd.DataFrame, **settings: object) -> None:
        MANIFEST.parent.mkdir(exist_ok=True)
        row = {"status": "ok", "reason": "", "phash": "0" * 16}
        photos.assign(**row, width=4, height=3, size_bytes=9).to_csv(MANIFEST, index=False)
        write_params({f"split.{key}": value for key, value in settings.items()}, tmp_path)

    return configure


def test_splits_name_every_usable_photo(configure: Configure) -> None:
    photos = singles({"glass": 20, "paper": 20})
    configure(photos)

    split.main()

    splits = read_splits()
    assert splits.columns.tolist() == ["path", "label", "group", "split", "reason"]
    assert splits["path"].tolist() == photos["path"].tolist()


def test_method_kfold_takes_the_fold_that_params_name(configure: Configure) -> None:
    photos = singles({"glass": 20, "paper": 20})
    configure(photos, method="kfold", folds=4, fold=3, val=0.25)

    split.main()

    assert read_splits()["split"].tolist() == split_fold(photos, 1, 3, 4, 0.25)["split"].tolist()


def test_method_official_keeps_the_share_that_params_name(
    configure: Configure, write_lists: WriteLists
) -> None:
    photos = singles({"glass": 12, "paper": 12})
    lines = [
        f"{Path(path).name} {1 + (label == 'paper')}"
        for path, label in photos[["path", "label"]].to_numpy()
    ]
    url = write_lists(train=lines[0::3], val=lines[1::3], test=lines[2::3])
    configure(photos, method="official", files=url, listed_val=0.5)

    split.main()

    counts = read_splits()["split"].value_counts().to_dict()
    assert counts == {"train": 12, "val": 4, "test": 8}


def test_method_official_knows_the_copies_that_prepare_left_out(
    configure: Configure, write_lists: WriteLists
) -> None:
    photos = singles({"glass": 3, "paper": 3})
    names = [Path(path).name for path in photos["path"]]
    url = write_lists(
        train=[f"{names[0]} 1", f"{names[3]} 2"],
        val=["copy.jpg 1", f"{names[4]} 2"],
        test=[f"{names[2]} 1", f"{names[5]} 2"],
    )
    configure(photos, method="official", files=url)
    manifest = pd.read_csv(MANIFEST, dtype="str")
    copy = manifest.iloc[[1]].assign(path="glass/copy.jpg", status="duplicate")
    pd.concat([manifest, copy]).to_csv(MANIFEST, index=False)

    split.main()

    assert read_splits()["split"].tolist() == ["train", "val", "test"] * 2


def test_twins_of_lent_photos_are_not_dropped(
    configure: Configure, write_lists: WriteLists
) -> None:
    """Six pairs of each class stand in training and validation, of which half are lent."""
    pairs = [[label, label] for label in ("glass", "paper") for _ in range(6)]
    lines = [
        [f"{pair}-{member}.jpg {1 + (label == 'paper')}" for pair, (label, _) in enumerate(pairs)]
        for member in (0, 1)
    ]
    url = write_lists(train=lines[0], val=lines[1], test=["12-0.jpg 1", "13-0.jpg 2"])
    photos = photos_in([*pairs, ["glass"], ["paper"]])
    configure(photos, method="official", files=url, listed_val=0.5)

    split.main()

    counts = read_splits()["split"].value_counts().to_dict()
    assert counts == {"train": 12, "val": 6, "dropped": 6, "test": 2}


def test_photos_that_prepare_left_out_are_in_no_split(configure: Configure) -> None:
    photos = singles({"glass": 20, "paper": 20})
    configure(photos)
    manifest = pd.read_csv(MANIFEST, dtype="str")
    manifest.loc[3, "status"] = "unreadable"
    manifest.to_csv(MANIFEST, index=False)

    split.main()

    assert set(photos["path"]) - set(read_splits()["path"]) == {photos["path"][3]}


def test_metrics_count_photos_classes_and_groups(configure: Configure) -> None:
    configure(photos_in([["glass"]] * 18 + [["glass", "glass"]] + [["paper"]] * 10))

    split.main()

    metrics = json.loads(Path("metrics/split.json").read_text())
    assert (metrics["method"], metrics["groups"]) == ("stratified", 29)
    assert metrics["photos"] == {"train": 21, "val": 6, "test": 3, "dropped": 0}
    assert metrics["classes"]["paper"] == {"train": 7, "val": 2, "test": 1, "dropped": 0}


@pytest.mark.parametrize(
    ("count", "counts"),
    [(1, "train 1, val 0, test 0"), (2, "train 1, val 1, test 0"), (5, "train 4, val 0, test 1")],
)
def test_class_too_small_to_split_is_named_with_its_counts(
    count: int, counts: str, configure: Configure
) -> None:
    configure(singles({"glass": 20, "paper": count}))

    with pytest.raises(PipelineError, match=f"class paper needs a photo .* {counts}"):
        split.main()


@pytest.mark.parametrize(
    ("settings", "count", "advice"),
    [
        ({}, 2, "2); add other photos of it."),
        ({}, 5, "5); add other photos of it, or raise split.val."),
        ({"test": 0.5, "val": 0.45}, 4, "or lower split.test, or lower split.val."),
        ({"method": "kfold", "folds": 9, "fold": 9}, 4, "or lower split.folds."),
        ({"method": "kfold", "folds": 4, "fold": 2, "val": 0.1}, 4, "or raise split.val."),
    ],
)
def test_class_too_small_to_split_is_told_what_gives_it_photos(
    settings: dict[str, object], count: int, advice: str, configure: Configure
) -> None:
    configure(singles({"glass": 40, "paper": count}), **settings)

    with pytest.raises(PipelineError) as refusal:
        split.main()

    assert str(refusal.value).endswith(advice)


def test_smallest_class_that_can_be_split_is_in_every_split(configure: Configure) -> None:
    configure(singles({"glass": 20, "paper": 6}))

    split.main()

    splits = read_splits()
    assert set(splits.loc[splits["label"] == "paper", "split"]) == set(SPLIT_NAMES)


def test_lists_that_forget_a_class_are_refused(
    configure: Configure, write_lists: WriteLists
) -> None:
    url = write_lists(train=["0-0.jpg 1"], val=["1-0.jpg 1"], test=["2-0.jpg 1"])
    configure(photos_in([["glass"]] * 3 + [["paper"]] * 3), method="official", files=url)

    with pytest.raises(PipelineError, match=r"paper needs .* train 0, val 0, test 0, dropped 3"):
        split.main()


@pytest.fixture(scope="module")
def trashnet_splits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """Prepare all of TrashNet and split it by its authors' lists."""
    if not TRASHNET.exists():
        pytest.skip(f"{TRASHNET} is not on this machine")
    folder = tmp_path_factory.mktemp("trashnet")
    with (
        pytest.MonkeyPatch.context() as patch,
        ZipFile(TRASHNET / "dataset-resized.zip") as archive,
    ):
        patch.chdir(folder)
        write_params({"split.method": "official", "split.files": str(TRASHNET)}, folder)
        archive.extractall("data")
        Path("data/dataset-resized").rename(RAW)
        prepare.main()
        split.main()
        yield read_splits()


def test_trashnet_lists_name_every_photo_that_has_one_label(trashnet_splits: pd.DataFrame) -> None:
    photos = trashnet_splits.assign(sha256=trashnet_splits["path"])

    splits = split_by_lists(photos, NO_COPIES, str(TRASHNET))

    assert splits["split"].value_counts().to_dict() == {"train": 1764, "test": 430, "val": 327}


def test_trashnet_twins_are_dropped_from_training_only(trashnet_splits: pd.DataFrame) -> None:
    counts = trashnet_splits["split"].value_counts()

    assert counts.to_dict() == {"train": 1751, "test": 430, "val": 327, "dropped": 13}


def test_trashnet_groups_are_whole(trashnet_splits: pd.DataFrame) -> None:
    used = trashnet_splits[trashnet_splits["split"] != "dropped"]

    assert used.groupby("group")["split"].nunique().max() == 1
