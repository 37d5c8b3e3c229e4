"""./run and ./test: what they install, run, print and refuse.

A stand-in for Python on the path notes what it was asked for, so that nothing is installed here.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

STAND_IN = f"""#!/bin/sh
echo "$*" >>"$CALLS"
case "$1 $2" in
"-m venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip") [ ! -e "$PIP_FAILS" ] && cp "$0" .venv/bin/dvc ;;
repro*) mkdir -p reports && echo "the table" >reports/comparison.md ;;
plots*) ;;
*) exec {sys.executable} "$@" ;;
esac
"""
WITHOUT_VENV = f"""#!/bin/sh
case "$2" in
*ensurepip*) exit 1 ;;
*) exec {sys.executable} "$@" ;;
esac
"""
OUTSIDE_3_11_TO_3_13 = "#!/bin/sh\nexit 1\n"


class Clone:
    """The scripts in a git repository of their own, with a stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a clone"
        self.calls = folder / "calls"
        self.pip_fails = folder / "pip fails"
        self.path = folder / "bin"
        self.folder.mkdir()
        self.path.mkdir()
        names = ["requirements.lock", "requirements-dev.lock", "requirements-cluster.lock"]
        for name in ["run", "test", *names]:
            shutil.copy(REPOSITORY / name, self.folder)
        shutil.copytree(REPOSITORY / "scripts", self.folder / "scripts")
        subprocess.run(["git", "init", "--quiet", self.folder], check=True)
        self.put_on_path("python3.13", STAND_IN)

    def put_on_path(self, name: str, script: str) -> None:
        (self.path / name).write_text(script)
        (self.path / name).chmod(0o755)

    def run(
        self, *arguments: str, script: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.path}:/usr/bin:/bin",
            "CALLS": str(self.calls),
            "PIP_FAILS": str(self.pip_fails),
            "GIT_CEILING_DIRECTORIES": str(self.folder.parent),
        }
        self.calls.write_text("")
        return subprocess.run(
            [script or self.folder / "run", *arguments],
            cwd="/",
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def work_done(self) -> list[str]:
        """Return what the stand-in was asked for since the last run: venv, pip, repro, plots."""
        asked = re.findall(r"^(?:-m )?(venv|pip|repro|plots)", self.calls.read_text(), re.MULTILINE)
        return [str(word) for word in asked]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_first_run_installs_runs_and_prints_the_table(clone: Clone) -> None:
    done = clone.run()

    assert clone.work_done() == ["venv", "pip", "repro", "plots"]
    assert "the table\n" in done.stdout
    assert done.stderr == ""
    assert done.returncode == 0


def test_second_run_installs_nothing(clone: Clone) -> None:
    clone.run()

    clone.run()

    assert clone.work_done() == ["repro", "plots"]


def test_changed_requirements_are_installed(clone: Clone) -> None:
    clone.run()
    with (clone.folder / "requirements.lock").open("a") as lock:
        lock.write("# one more package\n")

    clone.run()

    assert clone.work_done() == ["pip", "repro", "plots"]


def test_ray_is_installed_where_a_cluster_is_named(clone: Clone) -> None:
    clone.run()

    done = clone.run(TRASHNET_RAY="auto")

    assert clone.work_done() == ["pip", "repro", "plots"]
    assert "requirements-cluster.lock" in done.stdout


def test_failed_install_is_no_install(clone: Clone) -> None:
    clone.pip_fails.touch()
    failed = clone.run()
    clone.pip_fails.unlink()

    again = clone.run()

    assert failed.returncode == 1
    assert "pip could not install requirements.lock" in failed.stderr
    assert clone.work_done() == ["venv", "pip", "repro", "plots"]
    assert again.returncode == 0


def test_environment_of_a_failed_upgrade_is_made_anew(clone: Clone) -> None:
    clone.run()
    with (clone.folder / "requirements.lock").open("a") as lock:
        lock.write("# one more package\n")
    clone.pip_fails.touch()
    clone.run()
    clone.pip_fails.unlink()

    clone.run()

    assert clone.work_done() == ["venv", "pip", "repro", "plots"]


def test_moved_clone_gets_a_new_environment(clone: Clone) -> None:
    clone.run()
    clone.folder = clone.folder.rename(clone.folder.with_name("moved"))

    clone.run()

    assert clone.work_done() == ["venv", "pip", "repro", "plots"]


def test_failed_pipeline_prints_no_table(clone: Clone) -> None:
    clone.put_on_path("python3.13", STAND_IN.replace("repro*)", "repro*) exit 7 ;;\nnever)"))

    done = clone.run()

    assert done.returncode == 7
    assert "the table" not in done.stdout


def test_python_of_another_version_is_passed_over(clone: Clone) -> None:
    (clone.path / "python3.13").rename(clone.path / "python3.12")
    clone.put_on_path("python3.13", OUTSIDE_3_11_TO_3_13)

    assert clone.run().returncode == 0


def test_the_environment_that_is_replaced_does_not_make_its_successor(clone: Clone) -> None:
    """Where it is active, its own Python comes first on the path."""
    clone.run()
    (clone.folder / ".venv/bin/python3.13").symlink_to("python")
    (clone.folder / ".venv/complete").unlink()

    done = clone.run(PATH=f"{clone.folder}/.venv/bin:{clone.path}:/usr/bin:/bin")

    assert done.returncode == 0
    assert clone.work_done() == ["venv", "pip", "repro", "plots"]


def test_python_that_cannot_make_environments_is_passed_over(clone: Clone) -> None:
    (clone.path / "python3.13").rename(clone.path / "python3.12")
    clone.put_on_path("python3.13", WITHOUT_VENV)

    assert clone.run().returncode == 0


def test_the_package_that_lacks_is_named_with_its_version(clone: Clone) -> None:
    clone.put_on_path("python3.13", WITHOUT_VENV)
    for name in ["python3.12", "python3.11", "python3"]:
        clone.put_on_path(name, OUTSIDE_3_11_TO_3_13)

    done = clone.run()

    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt-get install {version}-venv)" in done.stderr
    assert done.returncode == 1


def test_a_python_that_is_named_is_taken(clone: Clone) -> None:
    clone.put_on_path("mine", STAND_IN)
    clone.put_on_path("python3.13", OUTSIDE_3_11_TO_3_13)

    assert "making .venv" in clone.run(TRASHNET_PYTHON="mine").stdout


def test_a_python_that_is_named_may_stand_in_a_folder_with_spaces(clone: Clone) -> None:
    (clone.path / "my python").mkdir()
    clone.put_on_path("my python/python3", STAND_IN)

    done = clone.run(TRASHNET_PYTHON=str(clone.path / "my python/python3"))

    assert done.returncode == 0
    assert (clone.folder / ".venv/bin/python").exists()


def test_a_file_system_without_locks_keeps_nobody_waiting(clone: Clone) -> None:
    clone.put_on_path("flock", "#!/bin/sh\necho 'flock: 9: Bad file descriptor' >&2\nexit 65\n")

    done = clone.run()

    assert "waiting" not in done.stdout
    assert done.stderr == ""
    assert done.returncode == 0


def test_scripts_can_be_started_by_a_link(clone: Clone) -> None:
    (clone.path / "run").symlink_to(clone.folder / "run")

    done = clone.run(script=clone.path / "run", CDPATH="/usr")

    assert done.returncode == 0
    assert clone.work_done() == ["venv", "pip", "repro", "plots"]


def test_without_a_fitting_python_it_says_which_would_do(clone: Clone) -> None:
    for name in ["python3.13", "python3.12", "python3.11", "python3"]:
        clone.put_on_path(name, OUTSIDE_3_11_TO_3_13)

    done = clone.run()

    assert done.stderr.startswith("run: this needs Python 3.11, 3.12 or 3.13")
    assert done.returncode == 1


def test_folder_that_is_no_clone_is_named(clone: Clone) -> None:
    shutil.rmtree(clone.folder / ".git")

    done = clone.run()

    assert done.stderr.startswith(f"run: {clone.folder} is no git clone")
    assert done.returncode == 1


def test_other_machine_is_named(clone: Clone) -> None:
    clone.put_on_path("uname", "#!/bin/sh\necho Darwin arm64\n")

    done = clone.run()

    assert "not Darwin arm64" in done.stderr
    assert done.returncode == 1


def test_arguments_are_refused_before_any_work(clone: Clone) -> None:
    done = clone.run("train")

    assert "takes no arguments" in done.stderr
    assert clone.work_done() == []


@pytest.mark.parametrize("script", ["run", "test", ".ci/run"])
def test_scripts_can_be_executed(script: str) -> None:
    assert os.access(REPOSITORY / script, os.X_OK)
