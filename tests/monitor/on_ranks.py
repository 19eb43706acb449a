"""What two processes that train one model do in tests of monitors: each function runs on both, in one program."""

import json
import os
import traceback
import warnings
import weakref
from collections import OrderedDict
from datetime import timedelta
from functools import partial
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.utils import prune

from spectail import SpectralMonitor, budget, every
from spectail.monitor import monitor as monitor_module
from spectail.monitor import process_group as ranks_module
from spectail.monitor import sharing
from spectail.monitor.process_group import Ranks


class Experts(nn.Module):
    """A stack of experts, each of which sees all."""

    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(4, 20, 24) / 5)

    def forward(self, x):
        stack = self.w1.full_tensor() if isinstance(self.w1, DTensor) else self.w1
        return x + torch.einsum("...d,ehd->...eh", x, stack).tanh().mean((-1, -2))[..., None]


def model():
    torch.manual_seed(0)
    first = nn.utils.parametrizations.weight_norm(nn.Linear(24, 20))
    net = nn.Sequential(nn.Embedding(31, 24), first, nn.Tanh(), nn.Linear(20, 24), Experts(), nn.Linear(24, 31))
    net[5].weight = net[0].weight
    return net


def sharded(net, *options, **more):
    for layer in (net[1], net[3], net[4]):
        fully_shard(layer, *options, **more)
    return fully_shard(net, *options, **more)


def fsdp(net):
    return sharded(net)


def hsdp(net):
    return sharded(
        net, mesh=init_device_mesh("cpu", (dist.get_world_size() // 2, 2), mesh_dim_names=("copies", "pieces"))
    )


def two_dimensional(net):  # tensor parallel inside of FSDP2: a piece of a piece
    mesh = init_device_mesh("cpu", (dist.get_world_size() // 2, 2), mesh_dim_names=("pieces", "parallel"))
    parallelize_module(net[3], mesh["parallel"], ColwiseParallel(output_layouts=Replicate()))
    return sharded(net, mesh=mesh["pieces"])


def mixed(net):  # computes in bfloat16, on weights that wait on the CPU
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    return sharded(net, mp_policy=policy, offload_policy=CPUOffloadPolicy(pin_memory=False))


def compiled(net):
    return torch.compile(mixed(net), backend="eager")


def parallel(net):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    parallelize_module(net[3], mesh, RowwiseParallel(input_layouts=Replicate()))
    net[4].w1 = nn.Parameter(distribute_tensor(net[4].w1.detach(), mesh, [Shard(0)]))
    return net


def ddp(net):
    return nn.parallel.DistributedDataParallel(net)


def train(net, optimizer, steps):
    """Two batches a step, and a look at the loss, which leaves the outermost module of FSDP2 gathered."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        for last in (False, True):
            if hasattr(net, "set_requires_gradient_sync"):
                net.set_requires_gradient_sync(last)
            net(torch.randint(0, 31, (6, 4), generator=generator)).square().mean().backward()
        if len({getattr(parameter, "device_mesh", None) for parameter in net.parameters()}) == 1:
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            net(torch.zeros(2, 3, dtype=torch.int64))


def whole(net):
    """All parameters as they are on one process."""
    for module in net.modules():
        if hasattr(module, "reshard"):
            module.reshard()
    of = [p.full_tensor() if isinstance(p, DTensor) else p for p in net.parameters()]
    return [p.detach().clone() for p in of]


def watch_alone(*arguments, **options):
    with mock.patch.object(monitor_module, "join", return_value=Ranks()):
        return SpectralMonitor(*arguments, **options)


class Told:
    """What was measured here, and how many matrices that were gathered were still there when the next one was."""

    def __init__(self):
        self.names, self.most, self._alive = [], 0, []

    def __enter__(self):
        measure_all, received = sharing.measure_all, sharing._Sender.received

        def measuring(matrices, *others):
            self.names += [one.name for one in matrices]
            return measure_all(matrices, *others)

        def receiving(sender, task):
            self.most = max(self.most, sum(one() is not None for one in self._alive))
            rows = received(sender, task)
            self._alive = [weakref.ref(one) for one in rows.values()]
            return rows

        self._patches = [mock.patch.object(sharing, "measure_all", measuring)]
        self._patches.append(mock.patch.object(sharing._Sender, "received", receiving))
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *error):
        for one in self._patches:
            one.stop()


def watched(way, folder, steps=2, **options):
    """Train with a monitor and without, and let one process measure alone, which is given the weights of each step."""
    net, bare, plain = way(model()), way(model()), model()
    optimizer, other = (torch.optim.AdamW(one.parameters(), lr=1e-2) for one in (net, bare))
    options |= {"tensors": "updates"}
    alone = watch_alone(plain, None, when=every(1), path=folder / f"alone-{dist.get_rank()}.nc", **options)
    with Told() as told, SpectralMonitor(net, optimizer, when=every(1), path=folder / "shared.nc", **options):
        for _ in range(steps):
            train(net, optimizer, 1)
            for parameter, value in zip(plain.parameters(), whole(net), strict=True):
                parameter.data.copy_(value)
            with mock.patch.object(sharing, "measure_all", measure_all):
                alone.step()
    alone.close()
    for _ in range(steps):
        train(bare, other, 1)
    same = [torch.equal(a, b) for a, b in zip(whole(net), whole(bare), strict=True)]
    return {"measured": told.names, "most": told.most, "same training": all(same)}


measure_all = sharing.measure_all


def case_fsdp(folder):
    return watched(fsdp, folder, 3, nulls="gaussian")


case_mixed, case_compiled, case_parallel, case_ddp, case_hsdp, case_two_dimensional = (
    partial(watched, make, nulls="none") for make in (mixed, compiled, parallel, ddp, hsdp, two_dimensional)
)


def case_applied(folder):
    """Norms of what was applied to one matrix at the first step, as recorded, and as they are."""
    net = fsdp(model())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    before = whole(net)
    tensors = ["gradients", "updates", "momentum"]
    with SpectralMonitor(net, optimizer, when=every(1), nulls="none", tensors=tensors) as monitor:
        train(net, optimizer, 1)
    parameter = net[3].weight
    momentum, gradient = optimizer.state[parameter]["exp_avg"].full_tensor(), parameter.grad.full_tensor()
    names = [name for name, _ in net.named_parameters()]
    change = parameter.full_tensor() - before[names.index("3.weight")]
    true = {"gradient": gradient, "update": change, "momentum": momentum}
    if dist.get_rank():
        return None
    rows = monitor.recording.sel(step=1)
    return {
        name: [float(rows.frobenius_norm.sel(matrix=f"3.weight ({name})")), float(values.double().norm())]
        for name, values in true.items()
    }


class Lora(nn.Module):
    """A layer with an adapter, as PEFT has it."""

    def __init__(self):
        super().__init__()
        self.base_layer = nn.Linear(20, 30)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(20, 4, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(4, 30, bias=False)})
        self.scaling = {"default": 2.0}


def case_computed(folder):
    """Weights that are computed of what lies in pieces, and parameters that hold several matrices."""
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        net = nn.ModuleDict({"adapted": Lora(), "lstm": nn.LSTM(20, 12), "attention": nn.MultiheadAttention(24, 2)})
        net["conv"], net["pruned"] = nn.Conv2d(20, 12, 3), nn.Linear(20, 30)
        net["old"], net["older"] = nn.utils.spectral_norm(nn.Linear(20, 30)), nn.utils.weight_norm(nn.Linear(20, 12))
        net["new"] = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 30))
        prune.l1_unstructured(net["pruned"], "weight", 0.5)
        nets.append(net)
    for layer in nets[0].values():
        fully_shard(layer)
    monitors = [watch(net, nulls="none") for watch, net in zip((SpectralMonitor, watch_alone), nets, strict=True)]
    for monitor in monitors:
        monitor.detach()
    return [None if one.latest is None else repr(one.latest.rows) for one in monitors]


def case_rules(folder):
    """Rules that go by a clock or by what a process knows: all processes measure when the first one says so."""
    rank, steps = dist.get_rank(), []
    net = fully_shard(nn.Linear(20, 30))
    monitor = SpectralMonitor(net, when=lambda step, clocks: rank == 1 or step in (2, 5), nulls="none")
    for _ in range(6):
        monitor.step()
        steps.append(monitor._last_step)
    monitor.close()
    asked = []
    say = Ranks.numbers_from_first
    with mock.patch.object(Ranks, "numbers_from_first", lambda *a: asked.append(1) or say(*a)):
        monitor = SpectralMonitor(net, when=budget(1e-9 if rank == 0 else 1.0), nulls="none")
        for _ in range(300):
            monitor.step()
        monitor.close()
    return {"last": steps, "measured": monitor._last_step, "asked": len(asked)}


def case_refusals(folder):
    """What is wrong on the first process alone, as a file that exists, is told on all."""
    sentences = []
    if dist.get_rank() == 0:
        (folder / "run.nc").write_bytes(b"something")
    for options in ({"path": folder / "run.nc"}, {"layers": "nothing" if dist.get_rank() else None}):
        try:
            SpectralMonitor(nn.Linear(20, 30), nulls="none", **options).detach()
        except (OSError, ValueError) as error:
            sentences.append(f"{type(error).__name__}: {error}")
    return sentences


def case_copies_that_differ(folder):
    """Parameters of one name and other values on each process, as experts that are divided by hand."""
    torch.manual_seed(dist.get_rank())
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 20))
    with Told() as told, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = SpectralMonitor(net, when=every(1), nulls="none")
        monitor.step()
        monitor.close()
    return {"measured": told.names, "told": [str(one.message) for one in caught]}


def case_partial_values(folder):
    """A parameter whose values are sums over processes, and one that no process has all pieces of."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    torch.manual_seed(0)
    values = torch.randn(30, 20)
    net = nn.Linear(20, 30, bias=False)
    half = values / dist.get_world_size()
    net.weight = nn.Parameter(DTensor.from_local(half, mesh, [Partial()], run_check=False))
    monitor = SpectralMonitor(net, nulls="none")
    monitor.detach()
    if monitor.latest is None:
        return None
    return [monitor.latest.rows[0]["frobenius_norm"], float(values.norm())]


def case_no_memory(folder):
    """A matrix that the process it falls to has no memory for has a row that says so, and all others are measured."""
    net = fully_shard(nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20)))
    room = (lambda sizes: -1.0) if dist.get_rank() == 1 else sharing._room
    with mock.patch.object(sharing, "_room", room):
        monitor = SpectralMonitor(net, nulls="none")
        monitor.detach()
    return [] if monitor.latest is None else [row["note"] for row in monitor.latest.rows]


def case_no_monitor(folder):
    """The second process makes its monitor only when the first one waits no longer."""
    results = []
    for net in (nn.Linear(20, 30), fully_shard(nn.Linear(20, 30))):
        if dist.get_rank() == 1:
            dist.barrier()
        few = timedelta(seconds=0.2 if dist.get_rank() == 0 else 60)
        with (
            mock.patch.multiple(ranks_module, ALONE_AFTER=few, PATIENCE=few),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            try:
                with SpectralMonitor(net, when=every(1), nulls="none") as monitor:
                    monitor.step()
                results.append(monitor.recording.sizes["step"])
            except ValueError as error:
                results.append(str(error))
        results += [str(one.message) for one in caught]
        if dist.get_rank() == 0:
            dist.barrier()
    return results


def case_changes(folder):
    """A layer that is replaced, and a training that goes on in its file."""
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 20))
    with SpectralMonitor(net, when=every(1), nulls="none", path=folder / "run.nc") as monitor:
        monitor.step()
        net[1] = nn.Linear(30, 12)
        monitor.step()
    more = {"nulls": "none", "path": folder / "run.nc", "existing": "resume", "initial_step": 2}
    with SpectralMonitor(net, when=every(1), **more) as again:
        again.step()
    return [str(event) for event in monitor.events]


def case_checkpoints(folder):
    """Checkpoints of torch beside a monitor: to make a state that can be loaded into is no step."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict

    net = fsdp(model())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    monitor = SpectralMonitor(net, optimizer, when=every(1), nulls="none", path=folder / "run.nc")
    for step in range(3):
        if step:
            train(net, optimizer, 1)
        state, of_optimizer = get_state_dict(net, optimizer)
        dcp.save({"model": state, "optim": of_optimizer}, checkpoint_id=folder / "series" / f"step-{step}")
    monitor.close()
    return monitor.steps


def case_pipeline(folder):
    """Two stages of a pipeline: each process has layers of its own, and nobody has all."""
    from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

    def stage():
        torch.manual_seed(0)
        layers = {f"layer{at}": nn.Linear(24, 24) for at in range(4)}
        return nn.Sequential(OrderedDict([*layers.items()][2 * dist.get_rank() :][:2]))

    def train_stage(net):
        part = PipelineStage(net, dist.get_rank(), 2, torch.device("cpu"))
        schedule = ScheduleGPipe(part, n_microbatches=2, loss_fn=nn.functional.mse_loss)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        x = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
        yield optimizer
        for _ in range(2):
            optimizer.zero_grad()
            schedule.step(x) if dist.get_rank() == 0 else schedule.step(target=x)
            optimizer.step()

    net, bare = stage(), stage()
    training = train_stage(net)
    with SpectralMonitor(net, next(training), when=every(1), nulls="none", path=folder / "run.nc"):
        list(training)
    list(train_stage(bare))
    same = [torch.equal(a, b) for a, b in zip(net.parameters(), bare.parameters(), strict=True)]
    norms = [torch.linalg.matrix_norm(layer.weight.detach().double(), 2).item() for layer in net]
    return {"same training": all(same), "norms": norms}


def case_failure(folder):
    """One process cannot measure: it says why, the first one that it is gone, and both train on."""
    net = nn.Linear(20, 30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = SpectralMonitor(net, when=every(1), nulls="none", path=folder / "run.nc")
        monitor.step()
        with mock.patch.object(Ranks, "to_first", mock.Mock(side_effect=ValueError("of a test"))):
            monitor.step() if dist.get_rank() == 1 else None
        monitor.step() if dist.get_rank() == 0 else None
        monitor.step()
        monitor.close()
    return [str(one.message) for one in caught]


def case_one_that_is_killed(folder):
    """The last of all: the other process goes on, and its file is whole."""
    monitor = SpectralMonitor(nn.Linear(20, 30), when=every(1), nulls="none", path=folder / "run.nc")
    monitor.step()
    if dist.get_rank() == 1:
        os._exit(9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.step()
        monitor.close()
    return [str(one.message) for one in caught]


def run(rank, size, folder, cases):
    """All cases, one after the other; what each returns is put into a file."""
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size)
    results = {}
    for case in cases:
        (folder / case).mkdir(exist_ok=True)
        try:
            results[case] = globals()[f"case_{case}"](folder / case)
        except Exception:
            results[case] = traceback.format_exc()
        (folder / f"{rank}.json").write_text(json.dumps(results))
    if "one_that_is_killed" not in cases:
        dist.destroy_process_group()
