"""Facts that hold for every file in conf/augmentation/step, found by glob."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

STEPS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "augmentation" / "step").glob("*.yaml"))
Batch = tuple[Tensor, Tensor]
Build = Callable[..., nn.Module]


def apply(step: nn.Module, signal: Tensor, beat: Tensor, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    moved, beats = step(signal, beat)
    return moved, beats


def test_there_are_steps_to_test() -> None:
    assert len(STEPS) >= 18


@pytest.mark.parametrize("name", STEPS)
def test_shape_type_and_finiteness_are_kept(name: str, ecg: Batch, build_step: Build) -> None:
    signal, beat = apply(build_step(name, p=1.0), *ecg)
    n_points = 1000 if name == "crop" else 1500
    assert signal.shape == (16, 1, n_points)
    assert signal.dtype == torch.float32
    assert beat.shape == (16, n_points)
    assert beat.dtype == torch.bool
    assert signal.device == ecg[0].device
    assert signal.isfinite().all()


@pytest.mark.parametrize("name", STEPS)
def test_p_zero_leaves_the_batch_untouched(name: str, ecg: Batch, build_step: Build) -> None:
    if name == "crop":
        return  # a crop has no p: all views must be equally long
    signal, beat = apply(build_step(name, p=0.0), *ecg)
    assert torch.equal(signal, ecg[0])
    assert torch.equal(beat, ecg[1])


@pytest.mark.parametrize("name", STEPS)
def test_p_one_changes_every_window(name: str, ecg: Batch, build_step: Build) -> None:
    signal, _ = apply(build_step(name, p=1.0), *ecg)
    before = ecg[0][..., : signal.shape[2]]
    assert (signal != before).any(dim=2).all()


@pytest.mark.parametrize("name", STEPS)
def test_windows_are_chosen_one_by_one(name: str, ecg: Batch, build_step: Build) -> None:
    signal, beat = ecg[0][:1].expand(64, -1, -1), ecg[1][:1].expand(64, -1)
    result, _ = apply(build_step(name, p=0.5), signal, beat)
    if name != "crop":
        changed = (result != signal).any(dim=2).sum()
        assert 16 <= changed <= 48  # 32 expected, standard deviation 4
    assert not torch.equal(result, result[:1].expand_as(result))


@pytest.mark.parametrize("name", STEPS)
def test_parameters_are_drawn_for_each_window(
    name: str, ecg: Batch, build_step: Build, step_arguments: Callable[[str], dict[str, object]]
) -> None:
    if not step_arguments(name).keys() - {"_target_", "p"}:
        return  # nothing to draw but whether a window is chosen
    signal, beat = ecg[0][:1].expand(8, -1, -1), ecg[1][:1].expand(8, -1)
    result, _ = apply(build_step(name, p=1.0), signal, beat)
    assert len(result.unique(dim=0)) == 8


@pytest.mark.parametrize("name", STEPS)
def test_same_seed_gives_the_same_result_and_another_seed_another(name: str, ecg: Batch, build_step: Build) -> None:
    step = build_step(name, p=0.5)
    first, again, other = apply(step, *ecg, seed=1), apply(step, *ecg, seed=1), apply(step, *ecg, seed=2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("name", STEPS)
def test_input_is_left_untouched(name: str, ecg: Batch, build_step: Build) -> None:
    signal, beat = ecg[0].clone(), ecg[1].clone()
    apply(build_step(name, p=1.0), *ecg)
    assert torch.equal(signal, ecg[0])
    assert torch.equal(beat, ecg[1])


@pytest.mark.parametrize("name", STEPS)
def test_leads_change_together(
    name: str, ecg: Batch, build_step: Build, step_arguments: Callable[[str], dict[str, object]]
) -> None:
    signal = torch.cat([ecg[0], 2 * ecg[0], -ecg[0]], dim=1)
    result, _ = apply(build_step(name, p=1.0), signal, ecg[1])
    assert result.shape[:2] == (16, 3)
    if "snr_db" in step_arguments(name):  # noise comes to each lead by itself
        assert (result != signal).any(dim=2).all()
    else:  # the same linear map for all
        torch.testing.assert_close(result[:, 1], 2 * result[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(result[:, 2], -result[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STEPS)
def test_no_checkpoint_holds_anything_of_a_step(name: str, build_step: Build) -> None:
    assert not build_step(name).state_dict()


@pytest.mark.parametrize("name", STEPS)
def test_compiles_into_one_graph_that_gives_the_same(name: str, ecg: Batch, build_step: Build) -> None:
    step = build_step(name, p=0.5)
    expected = apply(step, *ecg)
    torch.compiler.reset()
    result = apply(torch.compile(step, backend="eager", fullgraph=True), *ecg)  # raises on a break or a host sync
    torch.testing.assert_close(result[0], expected[0])
    assert torch.equal(result[1], expected[1])


@pytest.mark.parametrize("name", STEPS)
def test_arguments_carry_no_defaults_of_their_own(name: str, build_step: Build) -> None:
    assert build_step(name).__init__.__defaults__ is None  # the YAML has them
