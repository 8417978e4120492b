"""The objective: true labels, the loss and the AUROC by hand and by scikit-learn, runs that resume and learn."""

import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from tiles_ecg.augmentation.amplitude import Inversion
from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.augmentation.crop import RandomCrop
from tiles_ecg.augmentation.order import TimeReversal
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.objective.geometry import effective_rank
from tiles_ecg.objective.transform_identification import TransformIdentification, auroc_by_label
from tiles_ecg.projector.mlp import Mlp

Run = Callable[..., Path]
PUBLISHED = ("none", "pr_mask", "qrs_mask", "permute", "scale", "time_warp", "invert", "reverse")


class Encoder(nn.Sequential):
    embedding_dim = 6

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(20, 6))


def identification(**changed: Any) -> TransformIdentification:
    torch.manual_seed(0)
    arguments = {
        "encoder": Encoder(),
        "projector": partial(Mlp, hidden_dim=5, projection_dim=99),
        "augmentation": Chain({"invert": Inversion(p=0.5), "reverse": TimeReversal(p=0.5)}),
        "optimizer": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5),
        "scheduler": partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        "transforms": ["invert", "reverse"],
    }
    return TransformIdentification(**(arguments | changed))


def batch(n: int = 8, seed: int = 1) -> EcgBatch:
    signal = torch.randn(n, 1, 20, generator=torch.Generator().manual_seed(seed))
    return EcgBatch(signal, torch.zeros(n, 20, dtype=torch.bool), torch.zeros(n).long(), torch.arange(n))


def at_step(module: LightningModule, step: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Stand in for a trainer at a step; what is logged ends up in the dict returned."""
    logged: dict[str, Tensor] = {}
    module._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1)  # type: ignore[assignment]
    monkeypatch.setattr(TransformIdentification, "trainer", property(lambda self: self._trainer))
    monkeypatch.setattr(TransformIdentification, "global_step", property(lambda self: step))
    monkeypatch.setattr(TransformIdentification, "global_rank", property(lambda self: 0))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value.detach()}))
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    return logged


def truth(given: Tensor, view: Tensor) -> list[list[float]]:
    """none, invert, reverse of each window, from what became of it."""
    rows = []
    for before, after in zip(given[:, 0].tolist(), view[:, 0].tolist(), strict=True):
        turned = [-x for x in before]
        found = {str(before): (0, 0), str(turned): (1, 0), str(before[::-1]): (0, 1), str(turned[::-1]): (1, 1)}
        inverted, reversed_ = found[str(after)]
        rows.append([float(not inverted and not reversed_), float(inverted), float(reversed_)])
    return rows


def test_the_loss_is_the_binary_cross_entropy_of_true_labels_written_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    module, given, seen = identification(), batch(32), []
    logged = at_step(module, 5, monkeypatch)
    module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loss = module.training_step(given, 5)
    logit = module.projector(module.encoder(seen[0])).double()  # (32, 3)
    total = 0.0
    for row, labels in zip(logit.tolist(), truth(given.signal, seen[0]), strict=True):
        for z, y in zip(row, labels, strict=True):
            p = 1 / (1 + math.exp(-z))
            total -= y * math.log(p) + (1 - y) * math.log(1 - p)
    assert float(loss.detach()) == pytest.approx(total / (32 * 3), rel=1e-6)
    assert torch.equal(logged["train/loss"], loss.detach())


def test_views_depend_on_seed_and_step_and_on_nothing_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(step: int, seed: int = 0) -> float:
        module = identification(seed=seed)
        at_step(module, step, monkeypatch)
        torch.rand(step + 3)
        return float(module.training_step(batch(), step).detach())

    assert loss(5) == loss(5)
    assert len({loss(5), loss(6), loss(5, seed=1)}) == 3


def test_validation_metrics_are_those_of_all_windows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module, seen = identification(), []
    logged = at_step(module, 5, monkeypatch)
    module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    parts = [batch(16, 1), batch(16, 2), batch(5, 3)]
    for number, part in enumerate(parts):
        module.validation_step(part, number)
    module.on_validation_epoch_end()
    view = torch.cat(seen)
    label = torch.tensor(truth(torch.cat([part.signal for part in parts]), view))
    embedding = module.encoder(view)
    logit = module.projector(embedding)
    each = roc_auc_score(label.numpy(), logit.detach().numpy(), average=None)
    expected = {
        "val/loss": float(nn.BCEWithLogitsLoss()(logit.detach(), label)),
        "val/auroc": float(np.mean(each)),
        "val/effective_rank": float(effective_rank(embedding.detach())),
        **{f"val/auroc_{name}": float(x) for name, x in zip(("none", "invert", "reverse"), each, strict=True)},
    }
    assert tuple(logged) == module.VALIDATED
    assert {name: float(x.detach()) for name, x in logged.items()} == pytest.approx(expected, rel=1e-4)


def test_every_validation_draws_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    module, found = identification(), []
    logged = at_step(module, 5, monkeypatch)
    for _ in range(2):
        torch.rand(7)
        module.validation_step(batch(), 0)
        module.on_validation_epoch_end()
        found.append(float(logged["val/loss"].detach()))
    assert found[0] == found[1]


def test_the_auroc_is_scikit_learns_ties_included() -> None:
    draw = np.random.default_rng(0)
    label, logit = draw.random((200, 4)) < 0.3, draw.normal(size=(200, 4)).round(1)
    found = auroc_by_label(torch.tensor(label).float(), torch.tensor(logit))
    assert found.tolist() == pytest.approx(roc_auc_score(label, logit, average=None).tolist(), rel=1e-6)


def test_a_label_that_all_windows_have_or_none_is_left_out_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain({"invert": Inversion(p=0.5), "reverse": TimeReversal(p=0.0)})
    module = identification(augmentation=chain)
    logged = at_step(module, 5, monkeypatch)
    module.validation_step(batch(32), 0)
    module.on_validation_epoch_end()
    assert math.isnan(logged["val/auroc_reverse"])
    both = (logged["val/auroc_none"] + logged["val/auroc_invert"]) / 2
    torch.testing.assert_close(logged["val/auroc"], both)


def test_the_projector_ends_in_one_logit_a_label_whatever_its_config_says() -> None:
    assert identification().projector(torch.zeros(2, 6)).shape == (2, 3)
    assert identification(transforms=["reverse"]).projector(torch.zeros(2, 6)).shape == (2, 2)


def test_what_the_augmentation_leaves_out_is_no_label() -> None:
    steps = {"invert": Inversion(p=0.5), "reverse": TimeReversal(p=0.5)}
    assert identification(augmentation=Chain(steps, leave_out=["invert"])).labels == ("none", "reverse")
    with pytest.raises(ValueError, match="nothing is left to be told"):
        identification(augmentation=Chain(steps, leave_out=["invert", "reverse"]))


def test_by_default_every_step_but_the_crop_is_told() -> None:
    steps = {"crop": RandomCrop(0.1, 100.0), "invert": Inversion(p=0.5), "reverse": TimeReversal(p=0.5)}
    assert identification(augmentation=Chain(steps), transforms=None).labels == ("none", "invert", "reverse")
    chain = Chain(steps, leave_out=["invert"])
    assert identification(augmentation=chain, transforms=None).labels == ("none", "reverse")


def test_a_transformation_that_the_augmentation_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="no step scale is there to be told; there are invert, reverse"):
        identification(transforms=["scale"])


def test_weights_are_decayed_and_biases_are_not() -> None:
    optimizer = identification().configure_optimizers()["optimizer"]  # type: ignore[index,call-overload]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert [sorted(p.ndim for p in group["params"]) for group in optimizer.param_groups] == [[2] * 3, [1] * 3]


def test_windows_that_a_part_cannot_take_are_found_without_data_and_without_a_trace() -> None:
    module = identification(encoder=ResNet1d(1, [4], [2], 3, 6))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.check(1, 20)
    assert module.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(ValueError, match=r"this encoder reads \(B, 1, T\)"):
        module.check(2, 20)
    late = Chain({"invert": Inversion(p=0.5), "crop": RandomCrop(0.1, 100.0)})
    with pytest.raises(ValueError, match="crop changes the length after invert"):
        identification(augmentation=late, transforms=["invert"]).check(1, 20)


IDENTIFICATION = ("objective=transform_identification", "callback.online_probe=null")


def column(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_a_run_logs_an_auroc_of_each_published_label_and_leaves_an_encoder(tiles_train: Run) -> None:
    folder = tiles_train(
        "run", *IDENTIFICATION, "callback.checkpoint.monitor=val/auroc", "callback.checkpoint.mode=max"
    )
    for name in ("loss", "auroc", "effective_rank", *(f"auroc_{label}" for label in PUBLISHED)):
        assert len(column(folder, f"val/{name}")) == 3
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]["Checkpoint"]
    assert best["best"] == pytest.approx(max(column(folder, "val/auroc")), rel=1e-6)
    about, weights = read_encoder_file(folder)
    assert about.architecture["_target_"].endswith("ResNet1d")
    assert weights


def test_an_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiles_train("whole", *IDENTIFICATION)
    step = TransformIdentification.training_step

    class PowerCut(BaseException):
        """The run is over."""

    def cut(self: TransformIdentification, given: EcgBatch, batch_idx: int) -> Tensor:
        if self.global_step == 8:
            raise PowerCut
        return step(self, given, batch_idx)

    monkeypatch.setattr(TransformIdentification, "training_step", cut)
    with pytest.raises(PowerCut):
        tiles_train("cut", *IDENTIFICATION)
    monkeypatch.setattr(TransformIdentification, "training_step", step)
    folder = tiles_train("cut", *IDENTIFICATION, "resume=true")
    ours, theirs = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (folder, whole))
    assert ours["global_step"] == theirs["global_step"] == 10
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    assert str(ours["optimizer_states"]) == str(theirs["optimizer_states"])
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_compiled_run_learns_from_the_views_and_labels_of_an_uncompiled_one(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_eagerly(self: nn.Module, **given: Any) -> None:
        self._compiled_call_impl = torch.compile(self._call_impl, backend="eager", fullgraph=True, **given)

    monkeypatch.setattr(nn.Module, "compile", compile_eagerly)  # the graphs, without the code that is made of them
    torch.compiler.reset()
    whole, compiled = tiles_train("run", *IDENTIFICATION), tiles_train("c", *IDENTIFICATION, "objective.compile=true")
    assert (compiled / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_short_run_learns_to_tell_transformations(tiles_train: Run) -> None:
    folder = tiles_train(
        "run",
        *IDENTIFICATION,
        "dataset.batch_size=32",
        "dataset.val_share=0.5",
        "optimizer.lr=1e-2",
        "scheduler=constant",
        "trainer.max_steps=200",
        "trainer.val_check_interval=100",
        "callback.checkpoint.every_n_train_steps=100",
    )
    assert column(folder, "val/auroc")[-1] > 0.6
    assert max(column(folder, "val/auroc_invert")[-1], column(folder, "val/auroc_qrs_mask")[-1]) > 0.8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("objective.transforms=[pr_mask,permut]",),
            "objective.transforms = ['pr_mask', 'permut']: there is no step permut; there are crop, pr_mask, qrs_mask, "
            "permute, scale, time_warp, invert, reverse (did you mean permute?)",
        ),
        (("augmentation=tiles", "objective.transforms=[time_warp]"), "there is no step time_warp; there are crop, pr_"),
        (("augmentation=crop",), "nothing is left to be told; choose an augmentation of more than a crop"),
        (("objective.transforms=[crop]",), "crop changes the length of every window"),
        (("callback.checkpoint.monitor=val/auroc_inver",), "did you mean val/auroc_invert?"),
    ],
)
def test_a_mistake_ends_with_one_message_and_no_folder(
    tiles_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        tiles_train("run", *IDENTIFICATION, *overrides)
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert message in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
