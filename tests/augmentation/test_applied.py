"""Which steps changed which window, against loops over windows and points."""

from collections.abc import Callable

import hydra
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from tiles_ecg.augmentation.amplitude import Inversion, Scaling
from tiles_ecg.augmentation.applied import AppliedSteps
from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.augmentation.crop import RandomCrop
from tiles_ecg.augmentation.mask import BeatMask
from tiles_ecg.augmentation.order import Permutation, TimeReversal

TRANSFORMS = ["pr_mask", "qrs_mask", "permute", "scale", "time_warp", "invert", "reverse"]
Batch = tuple[Tensor, Tensor]
QRS = BeatMask((-50.0, 50.0), beat_p=1.0, fill="line", sample_rate=100.0, p=1.0)


@pytest.fixture(scope="module")
def chain(compose: Callable[..., DictConfig]) -> Chain:
    """As `conf/augmentation/transforms.yaml` says."""
    built: Chain = hydra.utils.instantiate(compose("+augmentation=transforms").augmentation, _convert_="all")
    return built


def test_the_shipped_chain_tells_the_published_transformations_in_their_order(chain: Chain) -> None:
    assert list(chain.steps) == ["crop", *TRANSFORMS]


def test_labels_equal_a_loop_over_windows_steps_and_points(chain: Chain, ecg: Batch) -> None:
    torch.manual_seed(3)
    _, found = AppliedSteps(chain, TRANSFORMS)(*ecg)
    torch.manual_seed(3)
    signals, (signal, beat) = [], chain.steps["crop"](*ecg)
    for name in TRANSFORMS:
        moved, beat = chain.steps[name](signal, beat)
        signals.append((signal.tolist(), moved.tolist()))
        signal = moved
    for window in range(len(found)):
        for number, (before, after) in enumerate(signals):
            pairs = zip(before[window][0], after[window][0], strict=True)
            assert bool(found[window, number]) == any(a != b for a, b in pairs)
    assert found.any(0).sum() >= 5  # of the 7, in 16 windows
    assert not found.all()


def test_the_views_are_those_of_the_chain(chain: Chain, ecg: Batch) -> None:
    torch.manual_seed(3)
    view, _ = AppliedSteps(chain, ["invert"])(*ecg)
    torch.manual_seed(3)
    assert torch.equal(view, chain(*ecg)[0])


def test_every_label_is_as_common_as_the_others(chain: Chain, ecg: Batch) -> None:
    torch.manual_seed(0)
    steps = AppliedSteps(chain, TRANSFORMS)
    applied = torch.cat([steps(*ecg)[1] for _ in range(125)])
    share = torch.cat([~applied.any(1, keepdim=True), applied], 1).float().mean(0)
    assert ((share > 0.16) & (share < 0.24)).all(), share  # 0.2 of 2,000: standard deviation 0.009


def test_a_window_without_beats_is_not_labelled_as_masked(ecg: Batch) -> None:
    signal, beat = ecg[0], ecg[1].clone()
    beat[::2] = False
    view, found = AppliedSteps(Chain({"qrs_mask": QRS}), ["qrs_mask"])(signal, beat)
    assert found[:, 0].tolist() == [False, True] * 8
    assert torch.equal(view[::2], signal[::2])


def test_a_permutation_that_leaves_the_order_is_not_labelled() -> None:
    torch.manual_seed(0)
    signal = torch.arange(100.0).expand(200, 1, -1)
    steps = AppliedSteps(Chain({"permute": Permutation((2, 2), p=1.0)}), ["permute"])
    view, found = steps(signal, torch.zeros(200, 100, dtype=torch.bool))
    is_ordered = torch.tensor([window == sorted(window) for window in view[:, 0].tolist()])
    assert torch.equal(found[:, 0], ~is_ordered)
    assert 70 <= is_ordered.sum() <= 130  # two segments: half of the time


def test_of_a_flat_window_nothing_is_told_and_of_a_symmetric_one_no_reversal() -> None:
    symmetric = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])
    signal = torch.stack([torch.zeros(5), symmetric]).unsqueeze(1)
    chain = Chain({"reverse": TimeReversal(p=1.0), "invert": Inversion(p=1.0), "scale": Scaling((2.0, 2.0), p=1.0)})
    _, found = AppliedSteps(chain, list(chain.steps))(signal, torch.zeros(2, 5, dtype=torch.bool))
    assert found.tolist() == [[False, False, False], [False, True, True]]


def test_a_change_of_one_lead_is_a_change() -> None:
    signal = torch.zeros(2, 3, 8)
    signal[1, 2] = 1.0
    _, found = AppliedSteps(Chain({"invert": Inversion(p=1.0)}), ["invert"])(signal, torch.zeros(2, 8).bool())
    assert found.tolist() == [[False], [True]]


def test_steps_that_are_not_told_are_applied_alike(ecg: Batch) -> None:
    chain = Chain({"scale": Scaling((2.0, 2.0), p=1.0), "invert": Inversion(p=1.0)})
    view, found = AppliedSteps(chain, ["invert"])(*ecg)
    torch.testing.assert_close(view, -2 * ecg[0])
    assert found.shape == (16, 1)
    assert AppliedSteps(chain, [])(*ecg)[1].shape == (16, 0)


def test_labels_stand_in_the_order_of_the_names(ecg: Batch) -> None:
    chain = Chain({"scale": Scaling((2.0, 2.0), p=0.0), "invert": Inversion(p=1.0)})
    assert AppliedSteps(chain, ["invert", "scale"])(*ecg)[1][0].tolist() == [True, False]
    assert AppliedSteps(chain, ["scale", "invert"])(*ecg)[1][0].tolist() == [False, True]


def test_a_crop_cannot_be_told_and_cannot_come_after_what_is(ecg: Batch) -> None:
    crop, invert = RandomCrop(10.0, 100.0), Inversion(p=1.0)
    assert AppliedSteps(Chain({"crop": crop, "invert": invert}), ["invert"])(*ecg)[1].all()
    with pytest.raises(ValueError, match="crop changes the length of every window, which is nothing to be told"):
        AppliedSteps(Chain({"crop": crop}), ["crop"])(*ecg)
    with pytest.raises(ValueError, match=r"crop changes the length after invert, and might cut away .* put it first"):
        AppliedSteps(Chain({"invert": invert, "crop": crop}), ["invert"])(*ecg)


def test_names_that_are_no_steps_or_come_twice_are_refused() -> None:
    chain = Chain({"scale": Scaling((2.0, 2.0), p=1.0), "invert": Inversion(p=1.0)})
    with pytest.raises(ValueError, match="no step invrt is there to be told; there are scale, invert"):
        AppliedSteps(chain, ["invrt"])
    with pytest.raises(ValueError, match="invert is to be told twice"):
        AppliedSteps(chain, ["invert", "invert"])


def test_the_walk_compiles_into_one_graph_that_gives_the_same(chain: Chain, ecg: Batch) -> None:
    steps = AppliedSteps(chain, TRANSFORMS)
    torch.manual_seed(1)
    expected = steps(*ecg)
    torch.compiler.reset()
    torch.manual_seed(1)
    view, found = torch.compile(steps, backend="eager", fullgraph=True)(*ecg)  # raises on a break or a host sync
    torch.testing.assert_close(view, expected[0])
    assert torch.equal(found, expected[1])
