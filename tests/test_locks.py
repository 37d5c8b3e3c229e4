"""The lock files: every pin, one version everywhere, hashes, no hosts."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def pins(path: Path) -> dict[str, str]:
    """Return the pinned version of each package in a requirements or lock file."""
    found = re.findall(r"^([\w.-]+)(?:\[\w+\])?==([^ \n]+)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[._-]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-cluster"])
def test_lock_file_holds_every_pin(name: str) -> None:
    wanted = pins(REPOSITORY / f"{name}.txt")
    locked = pins(REPOSITORY / f"{name}.lock")

    assert {package: locked.get(package) for package in wanted} == wanted


@pytest.mark.parametrize("name", ["requirements-dev", "requirements-cluster"])
def test_versions_are_those_that_the_pipeline_runs_with(name: str) -> None:
    pipeline = pins(REPOSITORY / "requirements.lock")
    others = pins(REPOSITORY / f"{name}.lock")

    assert {package: others.get(package) for package in pipeline} == pipeline


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-cluster"])
def test_lock_file_hashes_everything_and_names_no_host(name: str) -> None:
    text = (REPOSITORY / f"{name}.lock").read_text()

    assert len(re.findall(r"==.*\\\n +--hash=sha256:", text)) == len(
        pins(REPOSITORY / f"{name}.lock")
    )
    assert re.findall(r"https?:|--(?:extra-)?index-url|--find-links|file:", text) == []


def test_every_locked_package_is_audited() -> None:
    workflow = (REPOSITORY / ".github/workflows/ci.yml").read_text()
    (command,) = re.findall(r"pip-audit.*", workflow)
    audited = [pins(REPOSITORY / lock) for lock in re.findall(r"-r (\S+)", command)]

    for lock in REPOSITORY.glob("requirements*.lock"):
        assert pins(lock).items() <= {item for found in audited for item in found.items()}
