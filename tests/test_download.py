"""The download stage: whatever the dataset comes in, data/raw holds one folder a class."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from params_work import write_params_of_mine

from stages import download
from trashnet import storage
from trashnet.archives import class_files, content_sha256
from trashnet.errors import PipelineError

PHOTOS = {"glass/1.jpg": b"one", "glass/old/2.jpg": b"two", "paper/ä 3.jpg": b"three"}

Configure = Callable[..., None]
PutObject = Callable[[str, bytes], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Run in a folder of its own, and return how to point its params.yaml at addresses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", -1.0)

    def configure(*urls: str, content_sha256: str | None = None) -> None:
        url = list(urls) if len(urls) > 1 else urls[0]
        write_params_of_mine(url=url, content_sha256=content_sha256)

    return configure


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Write a folder of two classes as another machine might have left it."""
    folder = tmp_path / "Müll und Glas"
    litter = {"glass/.DS_Store": b"mac", "README": b"beside the classes"}
    for name, content in (PHOTOS | litter).items():
        path = folder / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def archive(dataset: Path) -> Path:
    return Path(shutil.make_archive(str(dataset), "zip", dataset))


def raw() -> dict[str, bytes]:
    root = Path("data/raw")
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def sha256_of(folder: Path) -> str:
    return content_sha256(class_files(folder, "it"))


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archive_becomes_one_folder_a_class(kind: str, dataset: Path, configure: Configure) -> None:
    configure(shutil.make_archive(str(dataset), kind, dataset))

    download.main()

    assert raw() == PHOTOS


def test_folder_becomes_one_folder_a_class(dataset: Path, configure: Configure) -> None:
    configure(str(dataset))

    download.main()

    assert raw() == PHOTOS


def test_relative_path_begins_at_the_repository(archive: Path, configure: Configure) -> None:
    configure(archive.name)

    download.main()

    assert raw() == PHOTOS


def test_zip_in_a_bucket(put_object: PutObject, archive: Path, configure: Configure) -> None:
    put_object("sets/Müll 1.zip", archive.read_bytes())
    configure("gs://photos/sets/Müll 1.zip", content_sha256=sha256_of(archive.with_suffix("")))

    download.main()

    assert raw() == PHOTOS


def test_prefix_in_a_bucket(put_object: PutObject, dataset: Path, configure: Configure) -> None:
    for name, content in PHOTOS.items():
        put_object(f"sets/mine/{name}", content)
    configure("gs://photos/sets", content_sha256=sha256_of(dataset))

    download.main()

    assert raw() == PHOTOS


@pytest.mark.usefixtures("put_object")
@pytest.mark.parametrize("url", ["gs://photos/none.zip", "gs://no-such-bucket/set.zip"])
def test_missing_object_or_bucket_is_one_sentence(url: str, configure: Configure) -> None:
    configure(url)

    with pytest.raises(PipelineError) as caught:
        download.main()

    assert str(caught.value) == (
        f"{url} could not be fetched: there is no such file, folder or bucket; point "
        "datasets.mine.url at a zip, a tar, a folder or a bucket prefix that this machine can read."
    )


def test_sample_is_drawn_and_unpacked(
    archive: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_small_sample(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read_bytes())

    monkeypatch.setattr(download, "write_sample_archive", write_small_sample)
    configure("builtin:sample")

    download.main()

    assert raw() == PHOTOS


@pytest.mark.parametrize(
    ("names", "inner"),
    [
        (["lehren/glass/1", "lehren/paper/2", "prüfen/glass/3", "prüfen/paper/4"], "glass, paper"),
        (["lehren/glass/1", "lehren/paper/2", "prüfen/glass/3"], None),
        (["glass/2025/1", "glass/2026/2", "paper/2025/3", "paper/2026/4", "paper/5"], None),
        (["glass/photos/1", "paper/photos/2"], None),
        (["glass/1", "paper/2"], None),
    ],
)
def test_folders_that_look_like_the_classes_are_told(
    names: list[str],
    inner: str | None,
    tmp_path: Path,
    configure: Configure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in names:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).touch()
    configure(str(tmp_path / "mine"))

    download.main()

    said = capsys.readouterr().out
    assert ("holds the folders" in said) == (inner is not None)
    assert inner is None or f"each of these classes holds the folders {inner};" in said


def test_mirrors_are_tried_in_order(
    archive: Path, dataset: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = sha256_of(dataset)
    configure("/nowhere.zip", str(archive), "/never-asked.zip", content_sha256=sha256)

    download.main()

    passed_over, done = capsys.readouterr().out.splitlines()
    assert "/nowhere.zip could not be fetched: there is no such file" in passed_over
    assert f"3 files of 2 classes (glass, paper) from {archive}, content_sha256 {sha256}" in done


def test_mirror_with_other_photos_is_passed_over(
    dataset: Path, archive: Path, configure: Configure
) -> None:
    sha256 = sha256_of(dataset)
    (dataset / "set/glass/1.jpg").write_bytes(b"somebody changed it")
    configure(str(dataset), str(archive), content_sha256=sha256)

    download.main()

    assert raw() == PHOTOS


def test_every_mirror_that_failed_is_named(dataset: Path, configure: Configure) -> None:
    configure("/nowhere.zip", str(dataset), content_sha256="0" * 64)

    with pytest.raises(PipelineError) as caught:
        download.main()

    assert str(caught.value) == (
        "/nowhere.zip could not be fetched: there is no such file, folder or bucket; "
        f"{dataset} holds other files than expected: their content_sha256 is "
        f"{sha256_of(dataset)}, not {'0' * 64}; if that is meant, set "
        "datasets.mine.content_sha256 to it."
    )


def test_hash_of_the_only_address_may_be_left_out(dataset: Path, configure: Configure) -> None:
    configure(str(dataset), content_sha256="0" * 64)

    with pytest.raises(PipelineError, match=r"content_sha256 to it, or to null\.$"):
        download.main()


def test_archive_that_says_itself_what_to_do_gets_no_other_advice(
    tmp_path: Path, configure: Configure
) -> None:
    (tmp_path / "notes.zip").write_text("no archive at all")
    configure(str(tmp_path / "notes.zip"))

    with pytest.raises(PipelineError, match=r"archive; fetch or make it again\.$"):
        download.main()


def test_other_content_is_told_whichever_address_has_it(
    dataset: Path, configure: Configure
) -> None:
    configure(str(dataset), "/nowhere.zip", content_sha256="0" * 64)

    with pytest.raises(PipelineError, match=r"set datasets\.mine\.content_sha256 to it\.$"):
        download.main()


def test_refused_dataset_leaves_what_was_there(archive: Path, configure: Configure) -> None:
    configure(str(archive))
    download.main()
    configure(str(archive), content_sha256="0" * 64)

    with pytest.raises(PipelineError, match="holds other files than expected"):
        download.main()

    assert raw() == PHOTOS
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_new_dataset_replaces_the_old_one(archive: Path, configure: Configure) -> None:
    (Path("data/raw/metal")).mkdir(parents=True)
    Path("data/raw/metal/1.jpg").touch()
    configure(str(archive))

    download.main()

    assert raw() == PHOTOS


def test_archive_of_the_user_stays_where_it_is(
    archive: Path, dataset: Path, configure: Configure
) -> None:
    configure(str(dataset))

    download.main()

    assert archive.exists()
    assert (dataset / "set/glass/1.jpg").read_bytes() == b"one"
