from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue
from torch import Tensor, nn

from tiles_ecg.augmentation.amplitude import Inversion, Scaling
from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.augmentation.crop import RandomCrop
from tiles_ecg.augmentation.mask import BeatMask
from tiles_ecg.augmentation.order import Permutation, TimeReversal
from tiles_ecg.augmentation.warp import TimeWarp

CHAINS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "augmentation").glob("*.yaml"))
Compose = Callable[..., DictConfig]
MOVES: dict[str, nn.Module] = {
    "crop": RandomCrop(10.0, 100.0),
    "permute": Permutation((10, 10), p=1.0),
    "reverse": TimeReversal(p=1.0),
    "warp": TimeWarp(0.3, 4, p=1.0),
}


@pytest.fixture
def spikes() -> tuple[Tensor, Tensor]:
    """A 1 at every R-peak, 0 elsewhere."""
    beat = torch.zeros(16, 1500, dtype=torch.bool)
    for window in range(16):
        beat[window, 40 + window :: 85] = True
    return beat.float().unsqueeze(1), beat


@pytest.mark.parametrize("order", list(permutations(MOVES)), ids="-".join)
def test_beats_sit_on_the_r_peaks_in_whatever_order_the_window_is_moved(
    order: tuple[str, ...], spikes: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(0)
    signal, beat = Chain({name: MOVES[name] for name in order})(*spikes)
    assert signal.shape == (16, 1, 1000)
    assert (beat.sum(dim=1) >= 10).all()
    nearby = nn.functional.max_pool1d(signal, 3, stride=1, padding=1)
    assert (signal[:, 0][beat] > 0.3).all()  # cubic convolution keeps 0.37 of a spike 0.65 points away
    torch.testing.assert_close(signal[:, 0][beat], nearby[:, 0][beat])
    off_beat = signal.masked_fill(nn.functional.max_pool1d(beat.float().unsqueeze(1), 3, 1, 1) > 0, 0)
    assert not (off_beat > 0.8).any()  # a point as near to a spike as its beat holds at most 0.76; a cut may part them


@pytest.mark.parametrize("order", list(permutations(["crop", "permute", "reverse"])), ids="-".join)
def test_a_mask_finds_every_spike_wherever_it_stands(order: tuple[str, ...], spikes: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    for place in range(4):
        steps = [(name, MOVES[name]) for name in order]
        steps.insert(place, ("mask", BeatMask((0.0, 0.0), beat_p=1.0, fill="zero", sample_rate=100.0, p=1.0)))
        signal, beat = Chain(dict(steps))(*spikes)
        assert not signal.any()
        assert beat.any(dim=1).all()


def test_steps_are_applied_in_their_order() -> None:
    signal, beat = torch.ones(2, 1, 10), torch.zeros(2, 10, dtype=torch.bool)
    chain = Chain({"scale": Scaling((2.0, 2.0), p=1.0), "invert": Inversion(p=1.0)})
    assert list(chain.steps) == ["scale", "invert"]
    torch.testing.assert_close(chain(signal, beat)[0], -2 * signal)


def test_a_chain_without_steps_changes_nothing() -> None:
    signal, beat = torch.randn(2, 1, 10), torch.rand(2, 10) < 0.5
    result = Chain({})(signal, beat)
    assert torch.equal(result[0], signal)
    assert torch.equal(result[1], beat)


def test_a_step_that_is_no_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"steps.scale = None is no module"):
        Chain({"scale": None})  # type: ignore[dict-item]


def test_a_step_that_is_left_out_is_not_applied() -> None:
    chain = Chain({"scale": Scaling((2.0, 2.0), p=1.0), "invert": Inversion(p=1.0)}, leave_out=["invert"])
    signal, beat = torch.ones(2, 1, 8), torch.zeros(2, 8, dtype=torch.bool)
    assert torch.equal(chain(signal, beat)[0], 2 * signal)
    assert list(chain.steps) == ["scale"]


def test_a_step_that_is_not_there_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match=r"leave_out = \[permut\]: no such step; there are permute"):
        Chain({"permute": Permutation((10, 10), p=1.0)}, leave_out=["permut"])


@pytest.mark.parametrize("name", CHAINS)
def test_every_chain_composes_builds_and_runs(
    name: str, compose: Compose, noise_root: Path, ecg: tuple[Tensor, Tensor]
) -> None:
    cfg = compose(f"+augmentation={name}")
    if "recorded_noise" in cfg.augmentation.steps:
        cfg.augmentation.steps.recorded_noise.root = str(noise_root)
    chain = hydra.utils.instantiate(cfg.augmentation, _convert_="all")
    assert isinstance(chain, Chain)
    assert list(chain.steps) == list(cfg.augmentation.steps)
    signal, beat = chain(*ecg)
    assert signal.shape == (16, 1, 1500 if name == "none" else 1000)
    assert beat.shape == (16, signal.shape[2])
    assert signal.isfinite().all()


def test_tiles_is_the_published_recipe_in_its_order(compose: Compose) -> None:
    steps = compose("+augmentation=tiles").augmentation.steps
    assert {name: step.get("p") for name, step in steps.items()} == {
        "crop": None,
        "pr_mask": 0.4,
        "qrs_mask": 0.4,
        "scale": 0.4,
        "permute": 0.6,
        "gaussian_noise": 0.6,
        "invert": 0.2,
        "reverse": 0.2,
    }
    names = ["crop", "pr_mask", "qrs_mask", "scale", "permute", "gaussian_noise", "invert", "reverse"]
    assert list(steps) == names
    assert steps.crop.crop_s == 10.0


def test_a_command_line_changes_drops_and_adds_steps(compose: Compose) -> None:
    steps = compose(
        "+augmentation=tiles",
        "augmentation.steps.permute.p=0",
        "~augmentation.steps.reverse",
        "+augmentation/step@augmentation.steps.time_warp=time_warp",
    ).augmentation.steps
    assert steps.permute.p == 0
    assert "reverse" not in steps
    assert "time_warp" in steps


def test_real_noise_asks_for_its_folder(compose: Compose) -> None:
    with pytest.raises(MissingMandatoryValue, match="root"):
        _ = compose("+augmentation=real_noise").augmentation.steps.recorded_noise.root


def test_two_views_of_the_same_windows_differ(compose: Compose, ecg: tuple[Tensor, Tensor]) -> None:
    chain = hydra.utils.instantiate(compose("+augmentation=tiles").augmentation, _convert_="all")
    assert (chain(*ecg)[0] != chain(*ecg)[0]).any(dim=2).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CHAINS)
def test_every_chain_is_captured_in_a_cuda_graph_and_draws_anew(
    name: str, compose: Compose, noise_root: Path, ecg: tuple[Tensor, Tensor]
) -> None:
    cfg = compose(f"+augmentation={name}")
    if "recorded_noise" in cfg.augmentation.steps:
        cfg.augmentation.steps.recorded_noise.root = str(noise_root)
    chain = hydra.utils.instantiate(cfg.augmentation, _convert_="all").cuda()
    signal, beat = ecg[0].cuda(), ecg[1].cuda()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            chain(signal, beat)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        view, moved = chain(signal, beat)
    graph.replay()
    first = view.clone()
    graph.replay()
    assert view.device == signal.device
    assert moved.device == beat.device
    assert view.isfinite().all()
    assert name == "none" or not torch.equal(first, view)
