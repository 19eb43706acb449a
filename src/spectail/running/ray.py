"""Chunks of runs on a Ray cluster. Scheduling, retries and transport are Ray's."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import xarray as xr

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.running.processes import Kept, Result, WorkerDied
from spectail.running.queue import Chunk, Failure
from spectail.store.store import Store
from spectail.sweeps.worker import RemoteStore, Worker


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


class RayCluster:
    """Computes chunks on a cluster.

    Workers that see the store's folder, as on a cluster with a shared file system, write there
    themselves; the others send runs and checkpoints to an actor on the driver's node.

    Args:
        store: on this machine.
        address: of the cluster, such as "10.0.0.1:6379"; "" for the one that runs on this machine, or
            that RAY_ADDRESS names, or else a new one of all its cores.
        resources: what each run takes.
        device: where runs are computed; "cuda" where each has a GPU.
        shared: False to send all runs through the actor.

    Raises:
        ValueError: Ray is not installed, the cluster does not answer, or no node has the resources.
    """

    def __init__(
        self,
        store: Store,
        address: str = "",
        resources: Resources | None = None,
        device: str = "cpu",
        *,
        shared: bool = True,
    ) -> None:
        self.store, self.resources, self.device = store, resources or Resources(), device
        self.ray = _import_ray()
        self._started = _connect(self.ray, address)
        if device == "cpu" and self.resources.gpus:
            self.device = "cuda"
        self._token = store.root / f".sweep-{uuid.uuid4().hex}"
        if shared:
            store.root.mkdir(parents=True, exist_ok=True)
            self._token.touch()
        if not self.slots:
            self._leave()
            raise SettingError(
                f"no node of the cluster has {self.resources.cpus:g} CPUs and {self.resources.gpus:g} GPUs"
            )
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=False
        )
        actor = self.ray.remote(DriverActor).options(num_cpus=0, scheduling_strategy=here)
        self._office = actor.remote(store.root, store.checkpoint_seconds)
        self._work = self.ray.remote(_work).options(
            num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, max_retries=self.resources.retries
        )

    @property
    def slots(self) -> int:
        """How many chunks the nodes that are there now can compute at once."""
        return sum(self._room(node["Resources"]) for node in self.ray.nodes() if node["Alive"])

    def submit(self, chunk: Chunk, kept: Kept) -> Result:
        """Hand a chunk to Ray."""
        reference = self._work.remote(list(chunk), self._office, str(self._token), self.resources.cpus, self.device)
        result: Result = Future()

        def tell(done: Future[list[Failure]]) -> None:
            error = done.exception()
            if error is None:
                result.set_result(done.result())
            elif isinstance(error, self.ray.exceptions.RayTaskError):
                result.set_exception(error.cause)
            else:
                result.set_exception(WorkerDied(str(error)))

        reference.future().add_done_callback(tell)
        return result

    def stop(self) -> None:
        """Begin no further run, and leave long ones where they are."""
        self._office.stop.remote()

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._token.unlink(missing_ok=True)
        if self._started:
            self.ray.shutdown()

    def _room(self, has: dict[str, float]) -> int:
        wants = {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        return int(min(has.get(name, 0.0) / much for name, much in wants.items() if much))


class DriverActor:
    """The actor beside the driver: the store for workers that do not see it, and the word to stop."""

    def __init__(self, root: Path, checkpoint_seconds: float) -> None:
        self._store, self._stopping = Store(root, checkpoint_seconds), False

    def about(self) -> tuple[Path, float]:
        """The store's folder, and the seconds between checkpoints."""
        return self._store.root, self._store.checkpoint_seconds

    def holds(self, experiment: Experiment) -> bool:
        """Whether the run of an experiment is kept."""
        return experiment in self._store

    def put(self, run: xr.Dataset) -> None:
        """Keep a run."""
        self._store.put(run)

    def read_checkpoint(self, experiment: Experiment) -> bytes | None:
        """The state of an unfinished run."""
        return self._store.read_checkpoint(experiment)

    def write_checkpoint(self, experiment: Experiment, content: bytes) -> None:
        """Keep the state of an unfinished run."""
        self._store.write_checkpoint(experiment, content)

    def stop(self) -> None:
        """Begin no further run, and leave long ones where they are."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping


_workers: dict[str, Worker] = {}  # of this worker process: one for the sweep that it works for


def _work(chunk: list[Experiment], office: Any, token: str, cpus: float, device: str) -> list[Failure]:
    """A chunk, in a worker process of Ray."""
    import ray
    import torch

    if token not in _workers:
        _workers.clear()
        torch.set_num_threads(max(1, int(cpus)))
        root, seconds = ray.get(office.about.remote())
        keeper = Store(root, seconds) if Path(token).exists() else RemoteStore(office, ray.get, seconds)
        _workers[token] = Worker(keeper, device, lambda: bool(ray.get(office.stopping.remote())))
    return _workers[token](chunk)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise SettingError("Ray is not installed; pip install 'spectail[ray]' adds it") from None
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
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingError(f"ray={address!r} does not answer: {str(error).splitlines()[0]}") from None
    return True
