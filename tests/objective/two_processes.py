"""A program: one SimCLR step on the global batch, alone or shared by two processes; the weights after it to a file.

Run by `test_simclr.py` as `python two_processes.py DEVICES FILE`; lightning starts the second process by itself.
"""

import sys
from functools import partial

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.loader import TrainLoader
from tiles_ecg.objective.simclr import SimCLR


class Encoder(nn.Sequential):
    """No batch norm: it would see the share of a process only."""

    embedding_dim = 6

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 6))


class OtherView(nn.Module):
    """Reverses every second time that it is asked."""

    asked = 0

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return (signal.flip(-1), beat) if self.asked % 2 else (signal, beat)


class Data(LightningDataModule):
    """64 windows of noise; the global batch of 16 is shared by the processes."""

    def train_dataloader(self) -> TrainLoader:
        signal = torch.randn(64, 1, 20, generator=torch.Generator().manual_seed(5))

        def gather(rows: NDArray[np.int64]) -> EcgBatch:
            index = torch.from_numpy(rows.copy())
            return EcgBatch(signal[index], torch.zeros(len(rows), 20, dtype=torch.bool), index, index)

        trainer = self.trainer
        assert trainer is not None
        rows = np.arange(64)
        return TrainLoader(rows, 16, 1, 0, gather, rank=trainer.global_rank, world_size=trainer.world_size)


def main(devices: int, file: str) -> None:
    torch.manual_seed(0)
    objective = SimCLR(
        Encoder(),
        partial(nn.Linear, out_features=4),
        OtherView(),
        partial(torch.optim.SGD, lr=1.0),
        partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        temperature=0.1,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    before = {name: p.detach().clone() for name, p in objective.named_parameters()}
    trainer.fit(objective, datamodule=Data())
    if trainer.is_global_zero:
        torch.save({name: before[name] - p.detach() for name, p in objective.named_parameters()}, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
