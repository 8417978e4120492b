"""A program: one step of every objective on the global batch, alone or shared by processes; its gradients to a file.

`python two_processes.py DEVICES STORE FILE` for one process, or where torchrun or srun starts it;
`python two_processes.py launcher STORE FILE` where our launcher is to start the second process, which is handed a file.
All cases are steps of one module, so that one pair of processes does for all; none has parameters of another. They are
computed in double precision: in single, what cancels within a gradient would leave rounding of 6e-6 of it.
"""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.config import config_directory, register_resolvers
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.datamodule import EcgDataModule
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.distributed.environment import cluster_plugins
from tiles_ecg.distributed.launcher import ConfigFileLauncher, end_processes, join
from tiles_ecg.objective.finetune import FineTune
from tiles_ecg.protocol import Protocol
from tiles_ecg.run_record import State
from tiles_ecg.source_part import end_with
from tiles_ecg.task.classification import Classification
from tiles_ecg.task.multilabel import MultiLabel
from tiles_ecg.task.regression import Regression
from tiles_ecg.task.verification import Verification

TONE = Classification("tone", "tone", ["low", "high"], "window")
CASES: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "views": ("simclr", None, ()),
    "transforms": ("transform_identification", None, ()),
    "rhythm": ("simclr_rhythm", None, ()),
    "classes": ("finetune", TONE, ()),
    "labels": ("finetune", MultiLabel("parts", "parts", ["low", "high", "odd"], "window"), ()),
    "number": ("finetune", Regression("pitch", "pitch", "window", metric="mae"), ()),
    "people": ("finetune", Verification("person"), ()),
    "probe": ("probe", TONE, ()),
    "fusion": ("fusion", TONE, ("objective.streams=[hint]",)),
}
"""Objective, task and overrides. Every file in `conf/objective/` has a case."""
UNEVEN = (0.2, 3.0, 1.5)
"""Weights of classes, so unequal that a mean of the processes' weighted means would be another number."""


class Encoder(nn.Sequential):
    """No batch norm: it would see the share of a process only."""

    embedding_dim = 6

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(1, 8, 9, 4), nn.Tanh(), nn.Conv1d(8, 6, 9, 4), nn.AdaptiveAvgPool1d(1), nn.Flatten())


class OtherView(nn.Module):
    """Reverses every second time that it is asked."""

    asked = 0

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return (signal.flip(-1), beat) if self.asked % 2 else (signal, beat)


class SomeReversed(nn.Module):
    """Reverses the windows that begin above zero, whichever process has them."""

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(signal[:, :1, :1] > 0, signal.flip(-1), signal), beat


class SomeBeats(OtherView):
    """R-peaks wherever the signal is high, none in windows that begin above zero: processes have unequal numbers."""

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        has_beats = signal[:, 0, :1] < 0
        signal, _ = super().forward(signal, beat)
        return signal, (signal[:, 0] > 1) & has_beats


VIEWS: dict[str, Any] = {
    "simclr": OtherView(),
    "simclr_rhythm": SomeBeats(),
    "transform_identification": Chain({"reverse": SomeReversed()}),
}
"""Views that are the same however the batch is shared, by objective."""


def objective_of(name: str, overrides: tuple[str, ...]) -> Any:
    """An objective as its YAML wires it, with a small encoder and given views."""
    given = [f"objective={name}", *overrides]
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        cfg = compose("train", overrides=given)
    torch.manual_seed(0)
    return instantiate(
        cfg.objective,
        encoder=Encoder(),
        augmentation=VIEWS.get(name) or instantiate(cfg.augmentation, _convert_="all"),
        optimizer=partial(torch.optim.SGD, lr=1.0),
        scheduler=partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        _convert_="all",
    )


class EveryObjective(LightningModule):
    """The sum of all losses: each parameter has the gradient of its own."""

    def __init__(self, cases: dict[str, Any]) -> None:
        super().__init__()
        self.cases = nn.ModuleDict(cases)
        for case in cases.values():
            case.log = lambda *_, **__: None

    def setup(self, stage: str) -> None:
        """Tell each its trainer."""
        for case in self.cases.values():
            case.trainer = self.trainer  # type: ignore[assignment]

    def training_step(self, batch: list[EcgBatch], batch_idx: int) -> Tensor:
        """All of them."""
        pairs: Any = zip(self.cases.values(), batch, strict=True)
        return torch.stack([case.training_step(own, batch_idx) for case, own in pairs]).sum()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the gradients: weights before and after the step would have lost digits."""
        self.gradient = {name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any."""
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=1.0)


class EveryBatch(LightningDataModule):
    """Batches of all cases, each rank its share."""

    def __init__(self, parts: list[Any]) -> None:
        super().__init__()
        self.parts = parts

    def train_dataloader(self) -> "EveryBatch":
        """Itself."""
        for part in self.parts:
            part.trainer = self.trainer
        return self

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[list[EcgBatch]]:
        return iter([[next(iter(part.train_dataloader())) for part in self.parts]])


def built(store: str) -> tuple[EveryObjective, EveryBatch]:
    """Module and data of all cases."""
    register_resolvers()
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]  # by which losses leave half precision
    cases: dict[str, Any] = {}
    parts: list[Any] = []
    for case, (name, task, overrides) in CASES.items():
        objective = objective_of(name, overrides)
        if task is None:
            parts.append(EcgDataModule(store, 16, 100.0, 2.0, 1, val_share=0.2))
        else:
            parts.append(TaskDataModule(store, task, Protocol(3, 4), 16, 100.0, 2.0, 1))
        if isinstance(objective, FineTune):
            objective.build_for(parts[-1])
            weight = objective.loss.class_weight
            weight.copy_(torch.tensor(UNEVEN * len(weight))[: len(weight)])
            objective.known.weight.mul_(torch.rand(len(objective.known.weight), generator=torch.manual_seed(1)))
        assert len(parts[-1].windows)  # opened and divided
        cases[case] = objective
    return EveryObjective(cases), EveryBatch(parts)


def main(devices: int, store: str, file: str, orders: Path | None = None, has_launcher: bool = False) -> None:
    objective, data = built(store)
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        plugins=cluster_plugins(),
        precision="64-true",
        max_steps=1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if has_launcher:
        replaced: Any = trainer.strategy.launcher
        given = {"store": store, "file": file}
        trainer.strategy._launcher = ConfigFileLauncher(
            replaced, given, Path(file).with_suffix(".processes"), (__file__,)
        )
    if orders is not None:
        join(orders)
    state: State = "failed"
    try:
        trainer.fit(objective, datamodule=data)
        state = "finished"
    finally:
        end_processes(trainer, state)
    if trainer.is_global_zero:
        torch.save(objective.gradient, file)


if __name__ == "__main__":
    if sys.argv[1].endswith(".json"):
        path = Path(sys.argv[1])
        handed = json.loads(path.read_text())
        end_with(handed["parent"])
        main(2, handed["store"], handed["file"], path)
    elif sys.argv[1] == "launcher":
        main(2, sys.argv[2], sys.argv[3], has_launcher=True)
    else:
        main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
