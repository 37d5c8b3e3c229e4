"""The split stage: who trains, who validates, who tests, and that no group is torn."""

import hashlib
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from params_work import write_params

from stages import prepare, split
from stages.split import (
    drop_straddling_twins,
    lend_val,
    split_by_lists,
    split_fold,
    split_stratified,
)
from trashnet.dataset import MANIFEST, RAW, SPLIT_NAMES, read_splits
from trashnet.errors import PipelineError

REPOSITORY = Path(__file__).parents[1]
TRASHNET = REPOSITORY.parent / "shared/trashnet"

NO_COPIES = pd.DataFrame({"path": [], "sha256": []}, dtype="str")

Configure = Callable[..., None]
WriteLists = Callable[..., str]


def photos_in(groups: list[list[str]]) -> pd.DataFrame:
    """Return photos from the class of each member of each near-duplicate group."""
    rows = []
    for number, members in enumerate(groups):
        paths = [f"{label}/{number}-{member}.jpg" for member, label in enumerate(members)]
        rows += [photo(path, group=min(paths)) for path in paths]
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def photo(path: str, group: str) -> dict[str, str]:
    content = hashlib.sha256(path.encode()).hexdigest()
    return {"path": path, "label": str(Path(path).parent), "group": group, "sha256": content}


def singles(photos_by_class: dict[str, int]) -> pd.DataFrame:
    """Return photos without near-duplicates."""
    return photos_in([[label] for label, count in photos_by_class.items() for _ in range(count)])


labels = st.sampled_from(["glass", "metal", "paper"])
groups_of_one_class = st.lists(
    st.tuples(labels, st.integers(1, 4)).map(lambda pair: [pair[0]] * pair[1]), min_size=1
)
groups_of_any_classes = st.lists(st.lists(labels, min_size=1, max_size=4), min_size=1)
shares = st.floats(0.01, 0.49)
seeds = st.integers(0, 2**32 - 1)


@given(groups_of_any_classes, seeds, shares, shares)
def test_every_photo_has_one_split(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    photos = photos_in(groups)

    splits = split_stratified(photos, seed, test, val)

    assert splits["path"].tolist() == photos["path"].tolist()
    assert set(splits["split"]) <= set(SPLIT_NAMES)


@given(groups_of_any_classes, seeds, shares, shares)
def test_no_group_straddles_two_splits(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    splits = split_stratified(photos_in(groups), seed, test, val)

    assert splits.groupby("group")["split"].nunique().max() == 1


@given(groups_of_one_class, seeds, shares, shares)
def test_each_class_gets_its_share_to_within_one_group(
    groups: list[list[str]], seed: int, test: float, val: float
) -> None:
    splits = split_stratified(photos_in(groups), seed, test, val)

    for _, of_class in splits.groupby("label"):
        largest_group = of_class["group"].value_counts().max()
        counts = of_class["split"].value_counts()
        for name, share in {"test": test, "val": val, "train": 1 - test - val}.items():
            assert abs(counts.get(name, 0) - share * len(of_class)) <= largest_group + 1e-6


@given(groups_of_any_classes, seeds, shares, shares, st.integers(0, 10**6))
def test_added_file_moves_one_group_a_border_in_its_class_and_none_elsewhere(
    groups: list[list[str]], seed: int, test: float, val: float, number: int
) -> None:
    photos = photos_in(groups)
    new = f"glass/new{number}.jpg"
    more = pd.concat([photos, pd.DataFrame([photo(new, group=new)])], ignore_index=True)

    before = split_stratified(photos, seed, test, val).set_index("path")
    after = split_stratified(more, seed, test, val).set_index("path").loc[before.index]

    counted_with = photos.sort_values("sha256").groupby("group")["label"].first()
    at_home = before["group"].map(counted_with) == "glass"
    assert before.loc[~at_home, "split"].equals(after.loc[~at_home, "split"])
    for beyond_border in (["test"], ["test", "val"]):
        crossed = before["split"].isin(beyond_border) != after["split"].isin(beyond_border)
        assert before.loc[crossed, "group"].nunique() <= 1


@given(groups_of_any_classes, seeds, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(
    groups: list[list[str]], seed: int, shuffler: random.Random
) -> None:
    photos = photos_in(groups)
    order = shuffler.sample(range(len(photos)), len(photos))

    shuffled = split_stratified(photos.iloc[order], seed, 0.2, 0.2)

    pd.testing.assert_frame_equal(
        shuffled.sort_index(), split_stratified(photos, seed, 0.2, 0.2), check_like=True
    )


@given(groups_of_any_classes, seeds)
def test_names_of_the_files_do_not_matter(groups: list[list[str]], seed: int) -> None:
    photos = photos_in(groups)
    new_names = {path: f"{len(photos) - row}.png" for row, path in enumerate(photos["path"])}
    renamed = photos.assign(
        path=photos["path"].map(new_names), group=photos["group"].map(new_names)
    )

    splits = split_stratified(renamed, seed, 0.2, 0.2)

    assert splits["split"].tolist() == split_stratified(photos, seed, 0.2, 0.2)["split"].tolist()


def test_another_seed_draws_another_split() -> None:
    photos = singles({"glass": 50, "paper": 50})

    one, other = (split_stratified(photos, seed, 0.2, 0.2)["split"] for seed in (1, 2))

    assert one.tolist() != other.tolist()
    assert one.value_counts().to_dict() == other.value_counts().to_dict()


def test_draw_is_the_same_on_every_machine() -> None:
    splits = split_stratified(singles({"glass": 10}), 1, 0.2, 0.2).set_index("split")["path"]

    assert splits["test"].tolist() == ["glass/4-0.jpg", "glass/7-0.jpg"]


folds = st.integers(2, 10)


@given(groups_of_any_classes, seeds, folds)
def test_folds_together_test_every_photo_once(
    groups: list[list[str]], seed: int, folds: int
) -> None:
    photos = photos_in(groups)

    tested = [
        split_fold(photos, seed, fold, folds, val=0.1)["split"] == "test"
        for fold in range(1, folds + 1)
    ]

    assert (np.sum(tested, axis=0) == 1).all()


@given(groups_of_any_classes, seeds, folds, st.data())
def test_no_group_straddles_the_splits_of_a_fold(
    groups: list[list[str]], seed: int, folds: int, data: st.DataObject
) -> None:
    fold = data.draw(st.integers(1, folds))

    splits = split_fold(photos_in(groups), seed, fold, folds, val=0.3)

    assert splits.groupby("group")["split"].nunique().max() == 1


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
def test_every_fold_has_its_shares_of_each_class(fold: int) -> None:
    photos = singles({"glass": 100, "paper": 40})

    splits = split_fold(photos, seed=1, fold=fold, folds=5, val=0.15)

    counts = splits.groupby("label")["split"].value_counts().unstack().astype(int)
    assert counts.loc["glass"].to_dict() == {"test": 20, "train": 65, "val": 15}
    assert counts.loc["paper"].to_dict() == {"test": 8, "train": 26, "val": 6}


def test_first_fold_is_the_stratified_split_of_its_share() -> None:
    photos = singles({"glass": 50, "paper": 20})

    fold = split_fold(photos, seed=3, fold=1, folds=5, val=0.2)

    pd.testing.assert_frame_equal(fold, split_stratified(photos, 3, 0.2, 0.2))


@pytest.fixture
def write_lists(tmp_path: Path) -> WriteLists:
    """Return how to write the authors' three lists; the address of their folder comes back."""

    def write_lists(**lines: list[str]) -> str:
        folder = tmp_path / "lists"
        folder.mkdir()
        for name in SPLIT_NAMES:
            text = "".join(f"{line}\n" for line in lines.get(name, []))
            (folder / f"one-indexed_{name}.txt").write_text(text, encoding="utf-8")
        return f"{folder}/"

    return write_lists


def test_lists_decide_by_file_name(write_lists: WriteLists) -> None:
    photos = photos_in([["glass"], ["glass"], ["paper"]])
    url = write_lists(train=["0-0.jpg 1"], val=["2-0.jpg 2"], test=["1-0.jpg 1"])

    splits = split_by_lists(photos, NO_COPIES, url).set_index("path")

    assert splits["split"].to_dict() == {
        "glass/0-0.jpg": "train",
        "glass/1-0.jpg": "test",
        "paper/2-0.jpg": "val",
    }


def test_photo_in_no_list_is_dropped_and_told(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1"])

    splits = split_by_lists(photos_in([["glass"], ["glass"]]), NO_COPIES, url)

    assert splits["split"].tolist() == ["train", "dropped"]
    assert splits["reason"].tolist() == ["", "In none of the three lists."]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"test": ["copy.jpg 1"]}, "test"),
        ({"train": ["0-0.jpg 1"], "test": ["copy.jpg 1"]}, "test"),
        ({"val": ["0-0.jpg 1"], "train": ["copy.jpg 1"]}, "val"),
        ({"test": ["0-0.jpg 1"]}, "test"),
    ],
)
def test_photo_answers_to_the_names_of_its_copies(
    lines: dict[str, list[str]], expected: str, write_lists: WriteLists
) -> None:
    photos = photos_in([["glass"]])
    copies = photos[["path", "sha256"]].assign(path="glass/copy.jpg").set_index(pd.Index([1]))

    splits = split_by_lists(photos, copies, write_lists(**lines))

    assert splits["path"].tolist() == ["glass/0-0.jpg"]
    assert splits["split"].tolist() == [expected]


def test_copies_of_one_name_are_one_photo_to_the_lists(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo("glass/a/1.jpg", group="glass/a/1.jpg")])
    copies = photos[["path", "sha256"]].assign(path="glass/b/1.jpg").set_index(pd.Index([1]))

    splits = split_by_lists(photos, copies, write_lists(val=["1.jpg 1"]))

    assert splits["split"].tolist() == ["val"]


def test_listed_name_without_a_photo_does_no_harm(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1", "left-out.jpg 2"])

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["train"]


def test_lists_may_have_names_with_spaces_blank_lines_and_windows_ends(
    write_lists: WriteLists,
) -> None:
    photos = pd.DataFrame([photo("glass/my jar.jpg", group="glass/my jar.jpg")])
    url = write_lists(val=["", "my jar.jpg 1\r", "  "])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["val"]


def test_corrected_label_does_not_contradict_the_lists(write_lists: WriteLists) -> None:
    photos = photos_in([["glass"], ["glass"], ["paper"]])
    photos.loc[0, "label"] = "paper"
    url = write_lists(train=["0-0.jpg 1", "1-0.jpg 1", "2-0.jpg 2"])

    assert set(split_by_lists(photos, NO_COPIES, url)["split"]) == {"train"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0-0.jpg 1", "0-0.jpg 1"], r"name 0-0\.jpg twice \(in train and train\)"),
        (["0-0.jpg"], r"_train\.txt, line 1: '0-0\.jpg' should be"),
        (["0-0.jpg 1", "1-0.jpg 1"], r"glass/0-0\.jpg class number 1 and paper/1-0\.jpg class"),
        (["0-0.jpg 1", "2-0.jpg 2"], r"glass/0-0\.jpg class number 1 and glass/2-0\.jpg class"),
    ],
)
def test_faulty_lists_are_refused(lines: list[str], message: str, write_lists: WriteLists) -> None:
    url = write_lists(train=lines)

    with pytest.raises(PipelineError, match=message):
        split_by_lists(photos_in([["glass"], ["paper"], ["glass"]]), NO_COPIES, url)


def test_name_in_two_lists_is_refused(write_lists: WriteLists) -> None:
    url = write_lists(train=["0-0.jpg 1"], test=["0-0.jpg 1"])

    with pytest.raises(PipelineError, match=r"0-0\.jpg twice \(in train and test\)"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_listed_name_that_two_photos_have_is_refused(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo(path, group=path) for path in ("glass/1.jpg", "paper/1.jpg")])
    url = write_lists(train=["1.jpg 1"])

    with pytest.raises(PipelineError, match=r"glass/1\.jpg and paper/1\.jpg"):
        split_by_lists(photos, NO_COPIES, url)


def test_missing_list_is_named(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "one-indexed_val.txt").unlink()

    with pytest.raises(PipelineError, match=r"has 0 files that end in _val\.txt.*split\.files"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_list_that_is_no_text_is_refused(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "one-indexed_val.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(PipelineError, match=r"_val\.txt is not UTF-8"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_missing_folder_names_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"split\.files"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("sides", "kept"),
    [
        (["train", "test"], ["dropped", "test"]),
        (["train", "val"], ["dropped", "val"]),
        (["val", "test"], ["dropped", "test"]),
        (["test", "val", "train", "test"], ["test", "dropped", "dropped", "test"]),
        (["train", "train"], ["train", "train"]),
        (["dropped", "train"], ["dropped", "train"]),
    ],
)
def test_twins_stay_on_one_side_test_before_val_before_train(
    sides: list[str], kept: list[str]
) -> None:
    photos = photos_in([["glass"] * len(sides)]).assign(split=sides, reason="")

    assert drop_straddling_twins(photos)["split"].tolist() == kept


def test_dropped_twin_is_told_which_twin_stays() -> None:
    photos = photos_in([["glass", "paper"]]).assign(split=["train", "test"], reason="")

    reasons = drop_straddling_twins(photos)["reason"].tolist()

    assert reasons == ["Near-duplicate of paper/0-1.jpg in test.", ""]


@given(groups_of_any_classes, st.randoms(use_true_random=False))
def test_no_group_straddles_the_lists_either(
    groups: list[list[str]], shuffler: random.Random
) -> None:
    photos = photos_in(groups)
    sides = shuffler.choices([*SPLIT_NAMES, "dropped"], k=len(photos))

    splits = drop_straddling_twins(photos.assign(split=sides, reason=""))

    used = splits[splits["split"] != "dropped"]
    assert used.groupby("group")["split"].nunique().eq(1).all()


@given(groups_of_any_classes, seeds, st.floats(0.01, 0.99))
def test_lent_validation_photos_train_and_the_test_stays(
    groups: list[list[str]], seed: int, share: float
) -> None:
    photos = photos_in(groups)
    split_names = np.resize(["val", "test", "val", "train", "dropped"], len(photos))
    listed = photos.assign(split=split_names, reason="")

    splits = lend_val(listed, seed, share)

    moved = splits["split"] != listed["split"]
    assert set(listed.loc[moved, "split"]) <= {"val"}
    assert set(splits.loc[moved, "split"]) <= {"train"}
    was_val = splits[listed["split"] == "val"]
    assert (was_val.groupby("group")["split"].nunique() == 1).all()


def test_another_seed_lends_others() -> None:
    photos = singles({"glass": 50}).assign(split="val", reason="")

    one, other = (lend_val(photos, seed, 0.2)["split"].tolist() for seed in (1, 2))

    assert one != other


def test_share_is_of_the_validation_photos_alone() -> None:
    photos = singles({"glass": 60})
    listed = photos.assign(split=np.resize(["val", "train", "test"], 60), reason="")

    kept = [(lend_val(listed, seed, 0.25)["split"] == "val").sum() for seed in range(5)]

    assert kept == [5] * 5


def test_each_class_keeps_its_share_of_the_validation_photos() -> None:
    photos = singles({"glass": 50, "paper": 10}).assign(split="val", reason="")

    splits = lend_val(photos, seed=1, share=0.2)

    kept = splits[splits["split"] == "val"]
    assert kept["label"].value_counts().to_dict() == {"glass": 10, "paper": 2}


def test_a_share_of_one_lends_nothing() -> None:
    photos = singles({"glass": 5}).assign(split="val", reason="")

    assert lend_val(photos, seed=1, share=1)["split"].tolist() == ["val"] * 5


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


def test_name_that_two_photos_have_does_no_harm_where_no_list_has_it(
    write_lists: WriteLists,
) -> None:
    paths = ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg"]
    photos = pd.DataFrame([photo(path, group=path) for path in paths])

    splits = split_by_lists(photos, NO_COPIES, write_lists(val=["2.jpg 1"]))

    assert splits["split"].tolist() == ["dropped", "val", "dropped"]


def test_two_lists_of_one_split_are_refused(write_lists: WriteLists) -> None:
    url = write_lists()
    Path(url, "zero-indexed_val.txt").touch()

    with pytest.raises(PipelineError, match=r"has 2 files that end in _val\.txt"):
        split_by_lists(photos_in([["glass"]]), NO_COPIES, url)


def test_lists_may_take_letters_apart(write_lists: WriteLists) -> None:
    photos = pd.DataFrame([photo("glass/grün.jpg", group="glass/grün.jpg")])
    url = write_lists(val=[f"{unicodedata.normalize('NFD', 'grün.jpg')} 1"])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["val"]


def test_lists_may_begin_with_a_mark_of_their_encoding(write_lists: WriteLists) -> None:
    url = write_lists(val=["\ufeff0-0.jpg 1"])

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["val"]


def test_folder_of_the_lists_needs_no_slash_at_its_end(write_lists: WriteLists) -> None:
    url = write_lists(val=["0-0.jpg 1"]).rstrip("/")

    assert split_by_lists(photos_in([["glass"]]), NO_COPIES, url)["split"].tolist() == ["val"]


def test_folders_in_a_class_do_not_contradict_the_lists(write_lists: WriteLists) -> None:
    paths = ["glass/green/1.jpg", "glass/white/2.jpg"]
    photos = pd.DataFrame([photo(path, group=path) for path in paths])
    url = write_lists(train=["1.jpg 1", "2.jpg 1"])

    assert split_by_lists(photos, NO_COPIES, url)["split"].tolist() == ["train", "train"]
