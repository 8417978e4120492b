"""Draw a pre-training run: the views it learns from (views.png), and how loss, rank and probes went (curves.png).

python experiments/first-pretraining/draw.py --run outputs/first-pretraining --out experiments/first-pretraining
"""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.seeding import seed_draws

N_WINDOWS = 4
N_VIEWS = 4
INK, BEAT, GRID = "#1b1b1b", "#c1272d", "#dddddd"


def draw_views(run: Path, out: Path) -> None:
    """Original windows of several stores above two pairs of their views, R-peaks marked."""
    config = OmegaConf.load(run / "config.yaml")
    stores = config.dataset.store if not isinstance(config.dataset.store, str) else [config.dataset.store]
    augmentation = instantiate(config.augmentation, _convert_="all")
    windows = Windows(stores, config.dataset.normalise)
    rows = np.array([_typical(windows, number) for number in range(len(windows.stores))][:N_WINDOWS])
    batch = windows.gather(rows)
    drawn = [(batch.signal, batch.beat)]
    for number in range(N_VIEWS):
        seed_draws(config.seed, "picture", number)
        drawn.append(augmentation(batch.signal, batch.beat))
    figure, axes = plt.subplots(len(drawn), len(rows), figsize=(3.6 * len(rows), 1.25 * len(drawn)), sharey=True)
    for line, (signal, beat) in enumerate(drawn):
        for column, axis in enumerate(axes[line]):
            _trace(axis, signal[column, 0], beat[column], windows.sample_rate)
            if line == 0:
                axis.set_title(windows.stores[column].path.stem, fontsize=9)
            if column == 0:
                axis.set_ylabel("window" if line == 0 else f"view {line}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("s", fontsize=8)
    figure.tight_layout(h_pad=0.3)
    figure.savefig(out / "views.png", dpi=110)


def _typical(windows: Windows, number: int) -> int:
    """A window of a store whose quality is that of its upper quarter."""
    first, last = windows.first_row[number], windows.first_row[number + 1]
    quality = windows.quality[first:last]
    return int(first + np.argsort(np.abs(quality - np.quantile(quality, 0.75)), kind="stable")[0])


def _trace(axis: plt.Axes, signal: torch.Tensor, beat: torch.Tensor, sample_rate: float) -> None:
    time = np.arange(len(signal)) / sample_rate
    axis.plot(time, signal, color=INK, linewidth=0.7)
    axis.plot(time[beat.numpy()], signal[beat], "v", color=BEAT, markersize=3)
    axis.set_xlim(0, 15)
    axis.grid(color=GRID, linewidth=0.4)
    axis.tick_params(labelsize=7, length=2)


def draw_curves(run: Path, out: Path) -> None:
    """Loss, effective rank, alignment and uniformity, and the online probes over steps."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    probes = [key for key in rows[0] if key.startswith("probe/")]
    panels = [
        ["train/loss", "val/loss"],
        ["val/effective_rank"],
        ["val/alignment", "val/uniformity"],
        probes,
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3))
    for axis, keys in zip(axes, panels, strict=True):
        for key in keys:
            points = [(int(row["step"]) + 1, float(row[key])) for row in rows if row.get(key)]
            axis.plot(*zip(*points, strict=True), label=key, linewidth=1.2, marker="." if len(points) < 30 else None)
        axis.set_xlabel("step", fontsize=8)
        if keys == ["val/effective_rank"]:
            axis.set_ylim(0, 2 * axis.get_ylim()[1])
        axis.grid(color=GRID, linewidth=0.4)
        axis.legend(fontsize=7)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(out / "curves.png", dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    arguments = parser.parse_args()
    draw_views(arguments.run, arguments.out)
    draw_curves(arguments.run, arguments.out)
