"""The objective: views by (seed, step), one validation over all windows."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiles_ecg.augmentation.crop import RandomCrop
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.objective.geometry import alignment, effective_rank, uniformity
from tiles_ecg.objective.nt_xent import nt_xent
from tiles_ecg.objective.simclr import SimCLR


class Encoder(nn.Sequential):
    embedding_dim = 6

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(20, 6))


class Noise(nn.Module):
    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        return signal + torch.randn_like(signal), beat


def simclr(**changed: Any) -> SimCLR:
    torch.manual_seed(0)
    arguments = {
        "encoder": Encoder(),
        "projector": partial(nn.Linear, out_features=4),
        "augmentation": Noise(),
        "optimizer": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5),
        "scheduler": partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        "temperature": 0.1,
    }
    return SimCLR(**(arguments | changed))


def batch(n: int = 8, seed: int = 1) -> EcgBatch:
    signal = torch.randn(n, 1, 20, generator=torch.Generator().manual_seed(seed))
    return EcgBatch(signal, torch.zeros(n, 20, dtype=torch.bool), torch.zeros(n).long(), torch.arange(n))


def at_step(module: SimCLR, step: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Stand in for a trainer at a step; what is logged ends up in the dict returned."""
    logged: dict[str, Tensor] = {}
    module._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1)  # type: ignore[assignment]
    monkeypatch.setattr(SimCLR, "trainer", property(lambda self: self._trainer))
    monkeypatch.setattr(SimCLR, "global_step", property(lambda self: step))
    monkeypatch.setattr(SimCLR, "global_rank", property(lambda self: 0))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value.detach()}))
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    return logged


def test_the_loss_is_nt_xent_of_two_views_drawn_for_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    module, given = simclr(), batch()
    logged = at_step(module, 5, monkeypatch)
    loss = module.training_step(given, 5)
    from tiles_ecg.seeding import seed_draws

    seed_draws(0, "views", 5, 0, 0)
    first, second = (module.projector(module.encoder(given.signal + torch.randn(8, 1, 20))) for _ in range(2))
    torch.testing.assert_close(loss, nt_xent(first, second, 0.1))
    assert torch.equal(logged["train/loss"], loss.detach())


def test_views_depend_on_seed_and_step_and_on_nothing_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(step: int, seed: int = 0) -> float:
        module = simclr(seed=seed)
        at_step(module, step, monkeypatch)
        torch.rand(step + 3)
        return float(module.training_step(batch(), step).detach())

    assert loss(5) == loss(5)
    assert len({loss(5), loss(6), loss(5, seed=1)}) == 3


def test_validation_metrics_are_over_all_windows_and_the_loss_over_batches_of_the_training_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = simclr(augmentation=nn.Identity())
    monkeypatch.setattr(module, "_views", lambda given: torch.cat([given.signal, given.signal.flip(-1)]))
    logged = at_step(module, 5, monkeypatch)
    parts = [batch(8, 1), batch(8, 2), batch(3, 3)]
    for number, part in enumerate(parts):
        module.validation_step(part, number)
    module.on_validation_epoch_end()
    embed = [[module.encoder(x) for x in (p.signal, p.signal.flip(-1))] for p in parts]
    project = [[module.projector(e) for e in pair] for pair in embed]
    first, second = (torch.cat([pair[view] for pair in project]) for view in (0, 1))
    expected = {
        "val/loss": sum(nt_xent(a, b, 0.1) for a, b in project[:2]) / 2,
        "val/alignment": alignment(first, second),
        "val/uniformity": uniformity(first),
        "val/effective_rank": effective_rank(torch.cat([e for pair in embed for e in pair])),
    }
    assert logged.keys() == expected.keys() == set(SimCLR.VALIDATED)
    for name, value in expected.items():
        torch.testing.assert_close(logged[name], value, rtol=1e-4, atol=1e-5)


def test_every_validation_draws_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    module, found = simclr(), []
    logged = at_step(module, 5, monkeypatch)
    for _ in range(2):
        torch.rand(7)
        module.validation_step(batch(), 0)
        module.on_validation_epoch_end()
        found.append(float(logged["val/loss"].detach()))
    assert found[0] == found[1]


def test_a_single_validation_window_is_no_measure_and_logs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = simclr()
    logged = at_step(module, 5, monkeypatch)
    module.validation_step(batch(1), 0)
    module.on_validation_epoch_end()
    assert logged == {}


def test_weights_are_decayed_and_biases_are_not() -> None:
    optimizer = simclr().configure_optimizers()["optimizer"]  # type: ignore[index,call-overload]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert [sorted(p.ndim for p in group["params"]) for group in optimizer.param_groups] == [[2, 2], [1, 1]]


def test_a_temperature_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature = 0"):
        simclr(temperature=0.0)


def test_windows_that_a_part_cannot_take_are_found_without_data_and_without_a_trace() -> None:
    module = simclr(encoder=ResNet1d(1, [4], [2], 3, 6))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.check(1, 20)
    assert module.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(ValueError, match=r"this encoder reads \(B, 1, T\)"):
        module.check(2, 20)
    with pytest.raises(ValueError, match=r"choose a crop of at most 0\.2 s"):
        simclr(augmentation=RandomCrop(0.5, 100.0)).check(1, 20)
