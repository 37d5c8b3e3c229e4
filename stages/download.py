"""Fetch the dataset, check its content, and lay it out as one folder a class."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten

from trashnet.archives import class_files, content_sha256, extract
from trashnet.dataset import RAW
from trashnet.errors import PipelineError
from trashnet.files import atomic_folder
from trashnet.params import load_params
from trashnet.sample import write_sample_archive
from trashnet.stage import log, run_stage
from trashnet.storage import FetchError, fetch_file, fetch_folder, is_folder

SAMPLE = "builtin:sample"
MAX_CHARACTERS_OF_CLASSES = 200
SCRATCH = RAW.with_name(".partial-download")


class OtherContentError(PipelineError):
    """What an address holds has another hash than params.yaml names."""


def main() -> None:
    """Write data/raw/<class>/<file> from the first address that gives the dataset."""
    params = load_params()
    faults: list[PipelineError] = []
    for url in params.data.urls:
        try:
            download(url, params.data.content_sha256)
            return
        except PipelineError as fault:
            faults.append(fault)
            if len(faults) < len(params.data.urls):
                log(f"{str(fault).rstrip('.')}; trying the next address")
    sentences = [str(fault).rstrip(".") for fault in faults]
    raise PipelineError(f"{'; '.join([*sentences, *advise(faults, params.dataset)])}.")


def advise(faults: list[PipelineError], dataset: str) -> list[str]:
    """Say what to change in params.yaml, where the faults of the addresses do not say it."""
    section = f"datasets.{dataset}"
    if any(isinstance(fault, OtherContentError) for fault in faults):
        # Several addresses need a hash to tell that they agree.
        null = ", or to null" if len(faults) == 1 else ""
        return [f"if that is meant, set {section}.content_sha256 to it{null}"]
    if any(isinstance(fault, FetchError) for fault in faults):
        return [
            f"point {section}.url at a zip, a tar, a folder or a bucket prefix that this machine "
            "can read"
        ]
    return []


def download(url: str, expected_sha256: str | None) -> None:
    """Write data/raw from one address, if its content is what was expected."""
    shutil.rmtree(SCRATCH, ignore_errors=True)  # what a killed run left
    try:
        files = class_files(unpacked(url), url)
        sha256 = content_sha256(files)
        if expected_sha256 not in (None, sha256):
            raise OtherContentError(
                f"{url} holds other files than expected: their content_sha256 is {sha256}, not "
                f"{expected_sha256}."
            )
        move(files, RAW)
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    classes = sorted({name.split("/")[0] for name in files})
    shown = shorten(", ".join(classes), MAX_CHARACTERS_OF_CLASSES, placeholder=" ...")
    log(
        f"{len(files):,} files of {len(classes)} classes ({shown}) from {url}, "
        f"content_sha256 {sha256}"
    )
    if inner := folders_of_every_class(files):
        shown = shorten(", ".join(inner), MAX_CHARACTERS_OF_CLASSES, placeholder=" ...")
        log(
            f"each of these classes holds the folders {shown}; if those are the classes, join "
            "them to one folder a class"
        )


def folders_of_every_class(names: Iterable[str]) -> list[str]:
    """Return the folders that all classes have, if they hold nothing else and two or more."""
    inner: dict[str, set[str]] = {}
    for name in names:
        label, *rest = name.split("/")
        inner.setdefault(label, set()).add(rest[0] if len(rest) > 1 else "")
    first, *others = inner.values()
    same = "" not in first and all(folders == first for folders in others)
    return sorted(first) if same and len(first) > 1 else []


def unpacked(url: str) -> Path:
    """Return a local folder that holds what an address holds."""
    archive, folder = SCRATCH / "archive", SCRATCH / "folder"
    if url == SAMPLE:
        write_sample_archive(archive)
        extract(archive, folder, url)
    elif is_folder(url):
        fetch_folder(url, folder)
    else:
        fetch_file(url, archive)
        extract(archive, folder, url)
    return folder


def move(files: dict[str, Path], target: Path) -> None:
    """Put the files where their names say, below a folder that holds nothing else."""
    with atomic_folder(target) as partial:
        for name, path in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(partial / name)


if __name__ == "__main__":
    run_stage(main)
