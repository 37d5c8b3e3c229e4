"""Ray nodes on this machine, for tests."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

OBJECT_STORE_BYTES = 200_000_000

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NO RAY: pip install -r requirements-cluster.lock",
)


class Nodes:
    """A head without cores, and workers of one core each."""

    def __init__(self, workers: int) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415

        head = {"num_cpus": 0, "include_dashboard": False}
        self._cluster = patiently(
            lambda: Cluster(
                initialize_head=True,
                head_node_args=head | {"object_store_memory": OBJECT_STORE_BYTES},
            )
        )
        self.workers = [self.add() for _ in range(workers)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        return patiently(
            lambda: self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
        )

    def kill(self, worker: Any) -> None:
        """End a node and all its processes as a power failure does."""
        self.workers.remove(worker)
        self._cluster.remove_node(worker, allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call,unused-ignore]


def patiently(start: Callable[[], Any]) -> Any:
    """Start a node; Ray gives one half a minute, which a busy machine may not have at once."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            fault = error
    raise fault
