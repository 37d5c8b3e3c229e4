"""Running independent tasks on a Ray cluster; the one module that knows Ray.

Ray is imported when a cluster is asked for, and not before.
"""

import hashlib
import importlib
import logging
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trashnet.errors import PipelineError
from trashnet.shards import PHOTOS_URL, PhotosElsewhere, Work
from trashnet.storage import read_files

TRIES = 3
"""How often a task may fail, by an error of its own or with the machine that it ran on."""
POLL_SECONDS = 10.0
HOST_SECONDS = 10.0

Task = TypeVar("Task")

_tools: dict[str, Any] = {}
"""In a process of the cluster: what it loaded, by the name that the driver gave it."""


class Refused(NamedTuple):
    """Comes back instead of a result where a person has to act: trying again would not help."""

    message: str


def run_tasks(
    address: str,
    tasks: Sequence[Task],
    describe: Callable[[Task], str],
    read: Callable[[Task], Any],
    work: Work,
    write: Callable[[Task, Any], None],
    whole_nodes: bool = False,
) -> None:
    """Run every task on some core of the cluster, and hand its result to `write` here.

    At most twice as many tasks are under way as the cluster has room for, so
    that each core finds its next task there, and this machine never holds more
    than these. A task that is lost with its machine, or raises, is run again
    elsewhere.

    Parameters
    ----------
    address : str
        ``auto``, ``host:port`` or ``ray://host:port``.
    tasks : sequence
        In the order to begin them.
    describe : callable
        Names a task for an error message.
    read : callable
        Returns what travels with a task; called again if it is run again.
    work : Work
        What is done with that on the cluster.
    write : callable
        Gets each task and its result, in the order in which they get ready.
    whole_nodes : bool
        Give each task as many cores as the smallest node has, instead of one.

    Raises
    ------
    PipelineError
        If the cluster cannot be reached, a task fails three times, or its work
        raises a `PipelineError`.
    """
    if not tasks:
        return
    waiting = deque(tasks)
    failures: Counter[str] = Counter()
    with _connected(address) as ray:
        cores = _smallest_node(ray) if whole_nodes else 1
        strategy = "SPREAD" if whole_nodes else "DEFAULT"
        # Failures are counted below: Ray would repeat some kinds of them without end.
        run = ray.remote(num_cpus=cores, max_retries=0, scheduling_strategy=strategy)(_run)
        tools = ray.put(work.tools)
        key = tools.hex()
        names = _name(work.function), work.load and _name(work.load)
        running: dict[Any, Task] = {}
        while waiting or running:
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 0)) // cores)
            while waiting and len(running) < room:
                task = waiting.popleft()
                running[run.remote(*names, key, tools, read(task))] = task
            ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            if not ready and "CPU" not in ray.cluster_resources():
                print("The Ray cluster has no machine with cores; waiting for one.", flush=True)
            for reference in ready:
                task = running.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayError as error:
                    _count_failure(failures, describe(task), error)
                    waiting.appendleft(task)
                    continue
                if isinstance(result, Refused):
                    raise PipelineError(f"{result.message} (Among {describe(task)}.)")
                write(task, result)


def fetch_photos(photos: PhotosElsewhere) -> list[bytes]:
    """Read photos on a machine of the cluster, and hold them against those of the driver.

    Raises
    ------
    PipelineError
        If one cannot be read, or is another.
    """
    contents = read_files(photos.url, photos.paths, PHOTOS_URL)
    for content, path, sha256 in zip(contents, photos.paths, photos.sha256, strict=True):
        if hashlib.sha256(content).hexdigest() != sha256:
            raise PipelineError(
                f"{photos.url}/{path} is not the photo that was downloaded; point {PHOTOS_URL} "
                "at the same photos, or unset it to send them from here."
            )
    return contents


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A task that failed beside the one that is reported would print its trace.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise PipelineError(
            "Ray is not installed; install it (pip install -r requirements-cluster.lock), or "
            "leave out what names a cluster."
        ) from None
    root = Path(__file__).parents[1]
    try:
        _check_host(address)
        ray.init(
            address=address,
            # Other machines get this code; they have the packages.
            runtime_env={"py_modules": [str(root / "trashnet"), str(root / "stages")]},
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise PipelineError(
            f"No Ray cluster can be used at {address!r} ({' '.join(str(error).split())}); start "
            "one (ray start --head), or mend the address."
        ) from None
    try:
        yield ray
    except ConnectionError as error:
        raise PipelineError(
            f"The Ray cluster at {address!r} was lost ({error}); run the same command again to "
            "go on."
        ) from None
    finally:
        ray.shutdown()


def _count_failure(failures: Counter[str], task: str, error: Exception) -> None:
    """Note that a task failed, and raise where it may not be tried again."""
    failures[task] += 1
    if failures[task] == TRIES:
        raise PipelineError(
            f"{task} failed {TRIES} times on the Ray cluster ({_reason(error)}); mend that and run "
            "the same command again: what is finished stays."
        )
    print(f"{task}: once more ({_reason(error)})", flush=True)


def _check_host(address: str) -> None:
    """Raise where nobody listens: Ray itself would try for five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=HOST_SECONDS).close()


def _run(function: str, load: str | None, key: str, tools: Any, payload: Any) -> Any:
    """Do one task in a process of the cluster, which keeps what it loaded for the next one."""
    try:
        if key not in _tools:
            _tools.clear()
            _tools[key] = _find(load)(tools) if load else tools
        return _find(function)(_tools[key], payload)
    except PipelineError as error:
        return Refused(str(error))


def _name(function: Callable[..., Any]) -> str:
    """Name a function so that another process finds it: a stage that runs is called __main__."""
    module = sys.modules[function.__module__]
    name = module.__spec__.name if module.__spec__ else function.__module__
    return f"{name}:{function.__qualname__}"


def _find(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _smallest_node(ray: Any) -> int:
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return min([count for count in cores if count > 0], default=1)


def _reason(error: Exception) -> str:
    """Return the cause, or else the first line: behind it stands the other machine's trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = getattr(error, "cause", None)
    return f"{type(cause).__name__}: {cause}" if cause else (lines or [type(error).__name__])[0]
