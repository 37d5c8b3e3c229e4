"""The prepare stage: a verdict on every file, and the usable photos beside it."""

import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock
from zipfile import ZipFile

import imagehash
import pandas as pd
import pytest
from params_work import write_params, write_params_of_mine
from PIL import Image
from prepare_work import PutFile, images, jpeg, manifest

from stages import prepare
from trashnet.dataset import IMAGES, MANIFEST, RAW, read_manifest
from trashnet.errors import PipelineError
from trashnet.images import NoRoomForImageError

REPOSITORY = Path(__file__).parents[1]
TRASHNET = REPOSITORY.parent / "shared/trashnet/dataset-resized.zip"

SIZE_OF_FILM = 200_000_000
"""Bytes of a file that lies among the photos and is none."""


@pytest.mark.usefixtures("dataset")
def test_good_photos_are_all_ok_each_in_its_own_group() -> None:
    table = manifest()

    assert table.index.tolist() == ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg", "paper/2.jpg"]
    assert table["label"].tolist() == ["glass", "glass", "paper", "paper"]
    assert set(table["status"]) == {"ok"}
    assert table["group"].tolist() == table.index.tolist()


@pytest.mark.usefixtures("dataset")
def test_images_are_the_bytes_of_the_raw_files() -> None:
    prepare.main()

    assert images() == ["glass/1.jpg", "glass/2.jpg", "paper/1.jpg", "paper/2.jpg"]
    assert (IMAGES / "paper/2.jpg").read_bytes() == (RAW / "paper/2.jpg").read_bytes()


@pytest.mark.usefixtures("dataset")
def test_images_are_no_links_to_what_dvc_protects() -> None:
    (RAW / "glass/1.jpg").rename("cached")
    (RAW / "glass/1.jpg").symlink_to(Path("cached").absolute())
    Path("cached").chmod(0o444)

    prepare.main()

    assert not (IMAGES / "glass/1.jpg").is_symlink()
    (IMAGES / "glass/1.jpg").write_bytes(b"changed")
    assert Path("cached").read_bytes() == jpeg(0)


@pytest.mark.usefixtures("dataset")
def test_row_describes_the_photo_as_it_is_seen(put_file: PutFile) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.open(BytesIO(jpeg(0))).save(file, "JPEG", exif=exif)
    put_file("glass/3.jpg", file.getvalue())

    row = manifest().loc["glass/3.jpg"]

    assert (row["width"], row["height"]) == (48, 64)
    assert row["size_bytes"] == len(file.getvalue())
    upright = Image.open(file).transpose(Image.Transpose.ROTATE_270)
    assert row["phash"] == str(imagehash.phash(upright))


def test_large_file_that_is_no_photo_fits_into_memory(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with film.open("wb") as file:
        file.truncate(SIZE_OF_FILM)  # takes no room on the disk
    tracemalloc.start()

    row = prepare.inspect_file("glass/film.mp4", film)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (row["status"], row["size_bytes"]) == ("not an image", SIZE_OF_FILM)
    assert peak < SIZE_OF_FILM / 10


@pytest.mark.usefixtures("dataset")
def test_want_of_memory_leaves_no_photo_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", Mock(side_effect=MemoryError))

    with pytest.raises(NoRoomForImageError):
        prepare.main()


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(
    ("content", "status"), [(jpeg(9)[:-200], "unreadable"), (b"A note.\n", "not an image")]
)
def test_bad_file_is_named_with_its_reason_and_left_out(
    content: bytes, status: str, put_file: PutFile
) -> None:
    put_file("glass/bad.jpg", content)

    row = manifest().loc["glass/bad.jpg"]

    assert row["status"] == status
    assert row["reason"].startswith("The file ")
    assert (row["phash"], row["group"]) == ("", "")
    assert pd.isna(row["width"])
    assert "glass/bad.jpg" not in images()


@pytest.mark.usefixtures("dataset")
def test_copies_in_two_classes_are_all_left_out(put_file: PutFile) -> None:
    put_file("glass/copy.jpg", jpeg(0))
    put_file("paper/copy.jpg", jpeg(0))

    table = manifest()

    conflict = table[table["status"] == "label conflict"]
    assert conflict.index.tolist() == ["glass/1.jpg", "glass/copy.jpg", "paper/copy.jpg"]
    assert conflict["reason"].str.contains("paper/copy.jpg (paper)", regex=False).all()
    assert images() == ["glass/2.jpg", "paper/1.jpg", "paper/2.jpg"]


@pytest.mark.usefixtures("dataset")
def test_of_copies_in_one_class_the_first_is_kept(put_file: PutFile) -> None:
    put_file("glass/0.jpg", jpeg(1))

    table = manifest()

    assert table.loc[["glass/0.jpg", "glass/2.jpg"], "status"].tolist() == ["ok", "duplicate"]
    assert table.loc["glass/2.jpg", "reason"] == "The same bytes as glass/0.jpg."
    assert "glass/2.jpg" not in images()


@pytest.mark.usefixtures("dataset")
def test_near_duplicates_stay_and_share_a_group(put_file: PutFile) -> None:
    put_file("paper/near.jpg", jpeg(0, quality=60))

    table = manifest()

    assert table.loc["paper/near.jpg", ["status", "group"]].tolist() == ["ok", "glass/1.jpg"]
    assert table["group"].nunique() == 4


@pytest.mark.usefixtures("dataset")
def test_bits_say_how_near_a_near_duplicate_is(tmp_path: Path) -> None:
    write_params({"prepare.near_duplicate_bits": 64}, tmp_path)

    assert set(manifest()["group"]) == {"glass/1.jpg"}


@pytest.mark.usefixtures("dataset")
def test_what_is_left_out_is_in_no_group_and_names_none(put_file: PutFile) -> None:
    put_file("glass/0.jpg", jpeg(2))  # the bytes of paper/1.jpg
    put_file("paper/near.jpg", jpeg(2, quality=60))

    groups = manifest().loc[["glass/0.jpg", "paper/1.jpg", "paper/near.jpg"], "group"]

    assert groups.tolist() == ["", "", "paper/near.jpg"]


@pytest.mark.usefixtures("dataset")
def test_litter_of_other_systems_is_no_file_of_the_dataset(put_file: PutFile) -> None:
    for path in ["glass/.DS_Store", "__MACOSX/glass/1.jpg", ".git/1.jpg", "README.txt"]:
        put_file(path, b"litter")

    assert len(manifest()) == 4


@pytest.mark.usefixtures("dataset")
def test_folders_in_a_class_belong_to_it(put_file: PutFile) -> None:
    put_file("glass/green/bottle.png", jpeg(7))

    assert manifest().loc["glass/green/bottle.png", ["label", "status"]].tolist() == ["glass", "ok"]
    assert "glass/green/bottle.png" in images()


@pytest.mark.usefixtures("dataset")
def test_second_run_writes_the_same_bytes() -> None:
    prepare.main()
    first = MANIFEST.read_bytes()

    prepare.main()

    assert MANIFEST.read_bytes() == first


@pytest.mark.usefixtures("dataset")
def test_what_a_killed_run_read_of_a_changed_file_is_not_used(
    put_file: PutFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stages.prepare.json.loads", Mock(side_effect=KeyboardInterrupt))
        prepare.main()
    put_file("glass/1.jpg", b"note")

    assert manifest().loc["glass/1.jpg", "status"] == "not an image"


@pytest.mark.usefixtures("dataset")
def test_log_line_counts_every_status(
    put_file: PutFile, capsys: pytest.CaptureFixture[str]
) -> None:
    put_file("glass/copy.jpg", jpeg(0))
    put_file("paper/near.jpg", jpeg(1, quality=60))
    put_file("metal/note.jpg", b"note")

    prepare.main()

    assert capsys.readouterr().out.endswith(
        ": 7 files: 5 ok in 4 groups, 1 duplicate, 1 not an image; no usable photo of metal\n"
    )


def test_one_usable_class_is_not_enough(put_file: PutFile) -> None:
    put_file("glass/1.jpg", jpeg(1))
    put_file("paper/1.jpg", b"note")

    with pytest.raises(PipelineError, match=r"glass 1, paper 0"):
        prepare.main()

    assert not IMAGES.exists()
    assert read_manifest().loc[1, "status"] == "not an image"  # what to look up is written


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (jpeg(0), r"metal/1\.jpg: The same bytes stand in glass/1\.jpg .* metal/1\.jpg"),
        (jpeg(5)[:-400], r"metal/1\.jpg: .*truncated"),
    ],
)
def test_class_that_faults_emptied_is_refused(
    content: bytes, fault: str, put_file: PutFile
) -> None:
    put_file("metal/1.jpg", content)

    with pytest.raises(PipelineError, match=f"No photo of the class metal .*{fault}"):
        prepare.main()

    assert not IMAGES.exists()


def test_no_usable_photo_at_all_is_told_in_words(put_file: PutFile) -> None:
    put_file("glass/1.jpg", b"note")

    with pytest.raises(PipelineError, match="glass 0"):
        prepare.main()


def test_missing_raw_data_names_the_stage_to_run(put_file: PutFile) -> None:
    with pytest.raises(PipelineError, match="dvc repro download"):
        prepare.main()


@pytest.fixture(scope="module")
def trashnet_manifest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """Run the stage on all of TrashNet."""
    if not TRASHNET.exists():
        pytest.skip(f"{TRASHNET} is not on this machine")
    folder = tmp_path_factory.mktemp("trashnet")
    with pytest.MonkeyPatch.context() as patch, ZipFile(TRASHNET) as archive:
        patch.chdir(folder)
        write_params_of_mine(folder)
        archive.extractall("data")
        Path("data/dataset-resized").rename(RAW)
        prepare.main()
        yield read_manifest()


def test_trashnet_has_three_label_conflicts_and_no_other_fault(
    trashnet_manifest: pd.DataFrame,
) -> None:
    faults = trashnet_manifest[trashnet_manifest["status"] != "ok"]

    assert set(faults["status"]) == {"label conflict"}
    assert [Path(path).stem for path in faults["path"]] == [
        *("glass115", "glass176", "glass389", "metal91", "plastic152", "plastic332")
    ]


def test_trashnet_has_the_known_near_duplicates(trashnet_manifest: pd.DataFrame) -> None:
    photos = trashnet_manifest[trashnet_manifest["status"] == "ok"]

    photos_in_group = photos["group"].value_counts()

    # 28 pairs are known to lie within 4 bits; three of them are the label conflicts.
    assert photos_in_group[photos_in_group > 1].tolist() == [2] * (28 - 3)


def test_trashnet_photos_are_all_copied(trashnet_manifest: pd.DataFrame) -> None:
    photos = trashnet_manifest.loc[trashnet_manifest["status"] == "ok", "path"]

    assert images() == photos.tolist()
