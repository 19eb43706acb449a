"""A model that several processes train in pieces, watched by all of them: each measures its share of the matrices.

    torchrun --nproc-per-node 2 examples/monitor_torchrun.py

On GPUs where there is one for each process, else on the CPU. Writes run.nc; `spectail report run.nc` makes its page.
"""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

from spectail import SpectralMonitor, log_spaced


def main() -> None:
    on_gpus = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpus else torch.device("cpu")
    if on_gpus:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpus else "gloo")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)).to(device)
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(dist.get_rank())  # each process has data of its own
    with SpectralMonitor(model, optimizer, when=log_spaced(), path="run.nc", existing="replace") as monitor:
        for _ in range(20):
            x = torch.randn(256, 100, device=device)
            optimizer.zero_grad()
            (model(x)[:, 0] - x[:, 0].tanh()).square().mean().backward()
            optimizer.step()
    if dist.get_rank() == 0:
        print(f"{monitor.recording.sizes['step']} steps of {monitor.recording.sizes['matrix']} matrices in run.nc")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
