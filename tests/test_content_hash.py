"""The class folders of a dataset, and the hash that names them however they were packed."""

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archive_work import PHOTOS, laid_out, tarred, zipped

from trashnet.archives import class_files, class_folders, content_sha256, extract
from trashnet.errors import PipelineError

TRASHNET = Path(__file__).parents[2] / "shared/trashnet/dataset-resized.zip"


@pytest.mark.parametrize("pack", [zipped, tarred, laid_out])
def test_packing_changes_no_hash(
    pack: Callable[[Path, Mapping[str, bytes]], Path], tmp_path: Path
) -> None:
    place = pack(tmp_path / "it", PHOTOS)
    if place.is_file():
        extract(place, tmp_path / "unpacked", "it")
        place = tmp_path / "unpacked"
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name.removeprefix('set/')}\n"
        for name, content in sorted(PHOTOS.items())
    ]

    sha256 = content_sha256(class_files(place, "it"))

    assert sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_litter_and_wrappers_change_no_hash(tmp_path: Path) -> None:
    clean = laid_out(tmp_path / "clean", PHOTOS)
    litter = {
        "__MACOSX/set/glass/._1.jpg": b"mac",
        "download/.DS_Store": b"mac",
        "download/README": b"beside the class folders",
        "download/set/.git/config": b"hidden",
        "download/set/README": b"beside the class folders",
        "download/set/glass/.hidden.jpg": b"hidden",
        "download/set/glass/__MACOSX/1.jpg": b"mac",
    }
    wrapped = {f"download/{name}": content for name, content in PHOTOS.items()}
    littered = laid_out(tmp_path / "littered", litter | wrapped)

    assert content_sha256(class_files(littered, "it")) == content_sha256(class_files(clean, "it"))


@pytest.mark.parametrize(
    "change",
    [
        {"set/glass/1.jpg": b"another one"},
        {"set/glass/4.jpg": b""},
        {"set/metal/1.jpg": b"one"},
    ],
)
def test_other_photos_change_the_hash(change: dict[str, bytes], tmp_path: Path) -> None:
    before = laid_out(tmp_path / "before", PHOTOS)
    after = laid_out(tmp_path / "after", PHOTOS | change)

    assert content_sha256(class_files(before, "it")) != content_sha256(class_files(after, "it"))


def test_two_classes_of_one_photo_each_are_enough(tmp_path: Path) -> None:
    root = laid_out(tmp_path / "it", {"glass/1.jpg": b"one", "paper/1.jpg": b"two"})

    assert class_folders(root, "it") == [root / "glass", root / "paper"]


def test_folders_of_splits_are_not_taken_for_classes(tmp_path: Path) -> None:
    members = {f"set/{split}/{label}/1.jpg": b"" for split in ("Train", "test") for label in "ab"}

    with pytest.raises(PipelineError, match="cut into Train, test, with the classes in there"):
        class_files(laid_out(tmp_path / "it", members), "it")


@pytest.mark.parametrize("beside", ["test/1.jpg", "valid/a/1.jpg"])
def test_splits_beside_other_folders_or_flat_ones_are_no_classes(
    beside: str, tmp_path: Path
) -> None:
    """Competitions have labelled photos to train on, and flat ones to answer."""
    members = dict.fromkeys(["train/a/1.jpg", "train/b/1.jpg", "docs/1.jpg", beside], b"")

    with pytest.raises(PipelineError, match="with the classes in there"):
        class_files(laid_out(tmp_path / "it", members), "it")


@pytest.mark.parametrize(
    "names", [("train/1.jpg", "test/1.jpg"), ("train/old/1.jpg", "glass/old/1.jpg")]
)
def test_a_class_may_be_called_like_a_split(names: tuple[str, str], tmp_path: Path) -> None:
    root = laid_out(tmp_path / "it", dict.fromkeys(names, b"one"))

    assert set(class_files(root, "it")) == set(names)


def test_letters_that_a_file_system_took_apart_are_put_together(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "Müll/é.jpg")

    root = laid_out(tmp_path / "it", {apart: b"one", "paper/1.jpg": b"two"})

    assert class_files(root, "it")["Müll/é.jpg"] == root / apart


def test_two_names_that_look_alike_are_refused(tmp_path: Path) -> None:
    names = {unicodedata.normalize(form, "Müll/1.jpg"): b"one" for form in ("NFC", "NFD")}

    with pytest.raises(PipelineError, match=r"two files called 'Müll/1\.jpg'"):
        class_files(laid_out(tmp_path / "it", names), "it")


def test_photos_without_class_folders_are_refused(tmp_path: Path) -> None:
    root = laid_out(tmp_path / "it", {"1.jpg": b"one", "__MACOSX/1.jpg": b"mac"})

    with pytest.raises(PipelineError, match="gs://bucket/set has no class folders"):
        class_files(root, "gs://bucket/set")


def test_folders_without_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{name}/1.jpg": b"one" for name in ["glass", "paper"]}
    root = laid_out(tmp_path / "it", {**files, "metal/.DS_Store": b"mac", "trash/.keep": b""})

    assert class_folders(root, "it") == [root / "glass", root / "paper"]
    assert "it has folders without files, which are no classes: metal, trash" in (
        capsys.readouterr().out
    )


def test_folders_of_the_only_class_with_files_are_not_taken_for_classes(tmp_path: Path) -> None:
    files = {"glass/brown/1.jpg": b"one", "glass/green/2.jpg": b"two", "paper/.DS_Store": b"mac"}
    root = laid_out(tmp_path / "it", files)

    with pytest.raises(PipelineError, match="files in only one of the folders glass, paper; fill"):
        class_files(root, "it")


def test_single_class_is_refused(tmp_path: Path) -> None:
    root = laid_out(tmp_path / "it", {"set/glass/1.jpg": b"one", "set/.paper/.keep": b""})

    with pytest.raises(PipelineError, match="single class folder, set/glass; it needs"):
        class_files(root, "it")


@pytest.mark.parametrize("name", ["glass/1\n2.jpg", os.fsdecode(b"glass/\xff.jpg")])
def test_name_that_no_table_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    root = laid_out(tmp_path / "it", {name: b"one", "paper/1.jpg": b"two"})

    with pytest.raises(PipelineError, match="rename that file"):
        class_files(root, "it")


@pytest.mark.skipif(not TRASHNET.exists(), reason=f"{TRASHNET} is not there")
def test_trashnet_has_its_published_hash(tmp_path: Path) -> None:
    extract(TRASHNET, tmp_path / "unpacked", str(TRASHNET))

    sha256 = content_sha256(class_files(tmp_path / "unpacked", str(TRASHNET)))

    shutil.rmtree(tmp_path / "unpacked")
    assert sha256 == "ed83a59e593e0a8dcd05442089ebc5474e3531e93772decedf6e63087def39ab"
