"""Makes analysis.png and monitor.png of the README: pages of a small network that learns digits, in a browser.

`python docs/images/pages.py` in a clone, with the extra `dev` and Chromium.
"""

import subprocess
import tempfile
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from spectail import SpectralMonitor, analyze, log_spaced, write_page

HERE = Path(__file__).parent


def train(folder: Path) -> nn.Module:
    torch.manual_seed(0)
    digits = load_digits()
    images, labels = torch.tensor(digits.images, dtype=torch.float32).flatten(1) / 16, torch.tensor(digits.target)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with SpectralMonitor(model, optimizer, when=log_spaced(), path=folder / "run.nc", summary=False, alerts=None) as m:
        for _ in range(300):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    write_page(m.recording, folder / "monitor.html")
    return model


def photograph(page: Path, height: int) -> None:
    picture = HERE / f"{page.stem}.png"
    browser = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000"]
    subprocess.run([*browser, f"--window-size=1000,{height}", f"--screenshot={picture}", page.as_uri()], check=True)
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_page(
            analyze(train(folder)), folder / "analysis.html", command="spectail analyze digits.pt --out analysis"
        )
        photograph(folder / "analysis.html", 720)
        photograph(folder / "monitor.html", 720)
