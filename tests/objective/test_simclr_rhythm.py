"""The objective: NT-Xent and the rhythm of every view, over what is defined in the batch."""

import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.objective.geometry import alignment, effective_rank, uniformity
from tiles_ecg.objective.nt_xent import nt_xent
from tiles_ecg.objective.rhythm import rhythm_features, rhythm_targets
from tiles_ecg.objective.simclr_rhythm import SimCLRRhythm
from tiles_ecg.seeding import seed_draws


class Encoder(nn.Sequential):
    embedding_dim = 6

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(200, 6))


class Rolled(nn.Module):
    """Noise, and every window rolled by a drawn number of points, its beats with it."""

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        by = int(torch.randint(1, 100, ()))
        return signal.roll(by, -1) + torch.randn_like(signal), beat.roll(by, -1)


class Noise(nn.Module):
    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        return signal + 0.1 * torch.randn_like(signal), beat


def objective(**changed: Any) -> SimCLRRhythm:
    torch.manual_seed(0)
    arguments = {
        "encoder": Encoder(),
        "projector": partial(nn.Linear, out_features=4),
        "augmentation": Rolled(),
        "optimizer": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5),
        "scheduler": partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        "temperature": 0.1,
        "sample_rate": 100.0,
        "rhythm_weight": 0.7,
    }
    return SimCLRRhythm(**(arguments | changed))


def batch(n: int = 8, seed: int = 1, beat_p: float = 0.02) -> EcgBatch:
    draw = torch.Generator().manual_seed(seed)
    signal, beat = torch.randn(n, 1, 200, generator=draw), torch.rand(n, 200, generator=draw) < beat_p
    return EcgBatch(signal, beat, torch.zeros(n).long(), torch.arange(n))


def at_step(module: SimCLRRhythm, step: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Stand in for a trainer at a step; what is logged ends up in the dict returned."""
    logged: dict[str, Tensor] = {}
    module._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1)  # type: ignore[assignment]
    monkeypatch.setattr(SimCLRRhythm, "trainer", property(lambda self: self._trainer))
    monkeypatch.setattr(SimCLRRhythm, "global_step", property(lambda self: step))
    monkeypatch.setattr(SimCLRRhythm, "global_rank", property(lambda self: 0))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value.detach()}))
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    return logged


def mean_huber(guess: Tensor, target: Tensor) -> float:
    """Over what is defined, one number after the other."""
    pairs = zip(guess.flatten().tolist(), target.flatten().tolist(), strict=True)
    error = [abs(a - b) for a, b in pairs if not math.isnan(b)]
    return sum(0.5 * e**2 if e < 1 else e - 0.5 for e in error) / len(error)


def two(module: SimCLRRhythm, given: EcgBatch, *seed: Any) -> list[tuple[Tensor, Tensor]]:
    seed_draws(0, *seed)
    return [module.augmentation(given.signal, given.beat) for _ in range(2)]


def test_the_loss_is_nt_xent_and_the_rhythm_of_each_view_with_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    module, given = objective(), batch()
    logged = at_step(module, 5, monkeypatch)
    loss = module.training_step(given, 5)
    views = two(module, given, "views", 5, 0, 0)
    embedding = [module.encoder(signal) for signal, _ in views]
    contrastive = nt_xent(*(module.projector(e) for e in embedding), 0.1)
    target = torch.cat([rhythm_targets(rhythm_features(beat, 100.0)) for _, beat in views])
    assert 0 < int(target.isnan().sum()) < target.numel()
    rhythm = mean_huber(F.linear(torch.cat(embedding), module.rhythm.weight, module.rhythm.bias), target)
    torch.testing.assert_close(logged["train/contrastive"], contrastive.detach())
    assert float(logged["train/rhythm"]) == pytest.approx(rhythm, rel=1e-5)
    torch.testing.assert_close(loss, contrastive + 0.7 * rhythm)
    assert torch.equal(logged["train/loss"], loss.detach())


def test_windows_without_beats_leave_the_contrastive_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective()
    logged = at_step(module, 5, monkeypatch)
    loss = module.training_step(batch(beat_p=0.0), 5)
    assert torch.isnan(logged["train/rhythm"])
    loss.backward()
    assert torch.equal(loss.detach(), logged["train/contrastive"])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.encoder.parameters())


def test_a_validation_is_judged_over_all_windows_and_draws_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective()
    logged = at_step(module, 5, monkeypatch)
    parts = [batch(8, 1), batch(8, 2), batch(3, 3)]
    found = []
    for _ in range(2):
        for number, part in enumerate(parts):
            torch.rand(3)
            module.validation_step(part, number)
        module.on_validation_epoch_end()
        found.append(dict(logged))
    assert found[0] == found[1]
    views = [two(module, part, "validation", number) for number, part in enumerate(parts)]
    embed = [[module.encoder(signal) for signal, _ in pair] for pair in views]
    project = [[module.projector(e) for e in pair] for pair in embed]
    first, second = (torch.cat([pair[view] for pair in project]) for view in (0, 1))
    every = torch.cat([e for pair in embed for e in pair])
    target = torch.cat([rhythm_targets(rhythm_features(beat, 100.0)) for pair in views for _, beat in pair])
    contrastive = float(torch.stack([nt_xent(a, b, 0.1) for a, b in project[:2]]).mean().detach())
    rhythm = mean_huber(module.rhythm(every), target)
    expected = {
        "val/loss": contrastive + 0.7 * rhythm,
        "val/contrastive": contrastive,
        "val/rhythm": rhythm,
        "val/alignment": float(alignment(first, second).detach()),
        "val/uniformity": float(uniformity(first).detach()),
        "val/effective_rank": float(effective_rank(every).detach()),
    }
    assert tuple(logged) == tuple(expected) == SimCLRRhythm.VALIDATED
    assert {name: float(value.detach()) for name, value in logged.items()} == pytest.approx(expected, rel=1e-4)


def test_a_single_validation_window_is_no_measure_and_logs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective()
    logged = at_step(module, 5, monkeypatch)
    module.validation_step(batch(1), 0)
    module.on_validation_epoch_end()
    assert logged == {}


def test_it_learns_to_tell_the_rhythm_of_spikes_better_than_any_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    module = objective(encoder=ResNet1d(1, [16], [4], 15, 32), augmentation=Noise(), rhythm_weight=5.0)
    interval = torch.randint(15, 60, (64, 1))  # time points
    every = (torch.arange(200) + interval // 2) % interval == 0
    given = EcgBatch(every[:, None].float() * 5, every, torch.zeros(64).long(), torch.arange(64))
    logged = at_step(module, 0, monkeypatch)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(25):
        optimizer.zero_grad()
        module.training_step(given, 0).backward()
        optimizer.step()
    target = rhythm_targets(rhythm_features(every, 100.0))
    constant = target.nanmedian(0).values.expand_as(target)
    assert float(logged["train/rhythm"]) < 0.5 * mean_huber(constant, target)


def test_the_head_that_tells_the_rhythm_is_trained_too() -> None:
    module = objective()
    optimizer = module.configure_optimizers()["optimizer"]  # type: ignore[index,call-overload]
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in module.parameters()}


@pytest.mark.parametrize("name", ["temperature", "rhythm_weight"])
def test_a_number_that_must_be_positive_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} = 0"):
        objective(**{name: 0.0})


def test_windows_that_a_part_cannot_take_are_found_without_data_and_without_a_trace() -> None:
    module = objective(encoder=ResNet1d(1, [4], [2], 3, 6), augmentation=Rolled())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.check(1, 200)
    assert module.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(ValueError, match=r"this encoder reads \(B, 1, T\)"):
        module.check(2, 200)


def columns(folder: Path) -> dict[str, list[float]]:
    """What a run logged, by name."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def test_an_interrupted_and_resumed_run_ends_like_an_uninterrupted_one_and_logs_both_losses(
    tiles_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("objective=simclr_rhythm", "callback.online_probe=null")
    whole = tiles_train("whole", *given)
    step = SimCLRRhythm.training_step

    def cut(self: SimCLRRhythm, batch: EcgBatch, batch_idx: int) -> Tensor:
        if self.global_step == 8:
            raise KeyError("power")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SimCLRRhythm, "training_step", cut)
    with pytest.raises(KeyError, match="power"):
        tiles_train("cut", *given)
    monkeypatch.setattr(SimCLRRhythm, "training_step", step)
    folder = tiles_train("cut", *given, "resume=true")
    ours, theirs = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (folder, whole))
    assert ours["global_step"] == theirs["global_step"] == 10
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    logged = columns(folder)
    for phase, n_rows in (("train", 10), ("val", 3)):
        total, contrastive, rhythm = (logged[f"{phase}/{name}"] for name in ("loss", "contrastive", "rhythm"))
        assert len(total) == n_rows
        assert total == pytest.approx([a + 5 * b for a, b in zip(contrastive, rhythm, strict=True)], rel=1e-5)
        assert min(rhythm) > 0
    about, weights = read_encoder_file(folder)
    assert about.architecture["_target_"].endswith("ResNet1d")
    assert not any("rhythm" in name for name in weights)
