"""Chunks of work on a Ray cluster, and how often Ray tries them again.

Scheduling and transport are Ray's; a chunk whose worker dies in Ray's last try is begun again by the `scheduler`.

Not here: workers of this machine (`processes`), and what is next (`queue`).
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic

from spectail.errors import SettingError, first_line, naming_the_extra
from spectail.running.processes import Result, Start, Work, WorkerDied, with_own_errors
from spectail.running.queue import P, PieceReport


@dataclass(frozen=True)
class Resources:
    """What each run takes of the cluster.

    Attributes:
        cpus: cores; a run computes with so many threads.
        gpus: GPUs, fractions allowed: 0.25 puts four runs on one.
        retries: how often Ray begins a chunk again whose worker or node died.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 10

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus"):
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name}={getattr(self, name)!r} is not valid; expected a number of at least 0")
        if self.cpus == self.gpus == 0:
            raise SettingError("cpus=0 and gpus=0 leave nothing to compute with; expected one above 0")


class RayCluster(Generic[P]):
    """Does chunks on a cluster.

    Args:
        start: called in each process of the cluster that works.
        held: an object that an actor beside this driver holds, whose methods workers can call.
        address: of the cluster, such as "10.0.0.1:6379"; "" for the one that runs on this machine, or
            that RAY_ADDRESS names, or else a new one of all its cores.
        resources: what each run takes.

    Raises:
        SettingError: the cluster does not answer, or no node has the resources.
    """

    def __init__(
        self, start: Start[P], held: object = None, address: str = "", resources: Resources | None = None
    ) -> None:
        self.resources, self._start, self._driver = resources or Resources(), start, uuid.uuid4().hex
        self.ray = _import_ray()
        self._started = _connect(self.ray, address)
        if not self.slots:
            self._leave()
            raise SettingError(
                f"no node of the cluster has {self.resources.cpus:g} CPUs and {self.resources.gpus:g} GPUs"
            )
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=False
        )
        self._actor = self.ray.remote(DriverActor).options(num_cpus=0, scheduling_strategy=here).remote(held)
        self._do_chunk = self.ray.remote(_do_chunk).options(
            num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, max_retries=self.resources.retries
        )

    @property
    def slots(self) -> int:
        """How many chunks the nodes that are there now can do at once."""
        return sum(self._room(node["Resources"]) for node in self.ray.nodes() if node["Alive"])

    def submit(self, chunk: Sequence[P], report: Callable[[PieceReport], None]) -> Result:
        """Hand a chunk to Ray."""
        reference = self._do_chunk.remote(list(chunk), self._start, self._actor, self._driver, self.resources.cpus)
        raised = self.ray.exceptions.RayTaskError  # by the work itself; whatever else there is, the worker is gone
        return with_own_errors(reference.future(), lambda e: e.cause if isinstance(e, raised) else WorkerDied(str(e)))

    def stop(self) -> None:
        """Begin no further piece, and leave long ones where they are."""
        self._actor.stop.remote()

    def __enter__(self) -> RayCluster[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._started:
            self.ray.shutdown()

    def _room(self, has: dict[str, float]) -> int:
        wants = {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        return int(min(has.get(name, 0.0) / much for name, much in wants.items() if much))


@contextmanager
def connection(address: str) -> Iterator[None]:
    """Stay connected to a cluster while several pieces of work are handed to it, each to a `RayCluster` of its own.

    Args:
        address: as `RayCluster` takes it.

    Raises:
        SettingError: the cluster does not answer.
    """
    ray = _import_ray()
    started = _connect(ray, address)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


class DriverActor:
    """The actor beside the driver: holds an object for workers elsewhere, and the word to stop."""

    def __init__(self, held: object) -> None:
        self._held, self._stopping = held, False

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object."""
        return getattr(self._held, method)(*arguments)

    def stop(self) -> None:
        """Begin no further piece, and leave long ones where they are."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping


_workers: dict[str, Work[Any]] = {}  # of this worker process: one for the driver that it works for


def _do_chunk(chunk: list[Any], start: Start[Any], actor: Any, driver: str, cpus: float) -> list[PieceReport]:
    """A chunk, in a worker process of Ray."""
    import ray
    import torch

    if driver not in _workers:
        _workers.clear()
        torch.set_num_threads(max(1, int(cpus)))
        _workers[driver] = start(
            lambda: bool(ray.get(actor.stopping.remote())),
            lambda method, *arguments: ray.get(actor.call.remote(method, *arguments)),
        )
    return list(_workers[driver](chunk))


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with naming_the_extra("a cluster"):
        import ray
        import ray.util.scheduling_strategies
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Connect to a cluster, or start one; whether that was needed."""
    if ray.is_initialized():
        return False
    if address.startswith("ray://"):
        raise SettingError(
            f"ray={address!r} is the address of a Ray client; run the command on a node of the cluster, "
            "and give the cluster's own address, such as host:6379 or auto"
        )
    cluster_address = _address_that_ray_finds(address)
    host, _, port = cluster_address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            try:
                socket.create_connection((host, int(port)), timeout=10).close()
            except OSError:
                if address or os.environ.get("RAY_ADDRESS"):
                    raise
                address = "local"  # nobody named the one that was here last, and it is gone
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        named = f"RAY_ADDRESS={cluster_address!r}" if os.environ.get("RAY_ADDRESS") else f"ray={cluster_address!r}"
        raise SettingError(f"{named} does not answer: {first_line(error)}") from None
    return True


def _address_that_ray_finds(address: str) -> str:
    """The address that Ray uses: of its environment variable, the one given, or of the cluster started here last."""
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    if address not in ("", "auto"):
        return address
    last = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
    return last.read_text(encoding="utf-8").strip() if last.is_file() else address
