"""Watch the spectra of a network while it trains, and write them to a CSV file, a netCDF file and a page."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from spectail import SpectralMonitor, log_spaced
from spectail.monitor.loggers import to_csv

digits = load_digits()
x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
model = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

options = {"path": "monitor.nc", "existing": "replace", "on_measurement": to_csv("monitor.csv")}
with SpectralMonitor(model, optimizer, when=log_spaced(), **options) as monitor:
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

for event in monitor.events:
    print(event)
print("spectail report monitor.nc writes the page")
