import pytest
import torch

from tiles_ecg.augmentation.crop import RandomCrop


def test_crops_are_stretches_of_their_window_and_reach_both_ends() -> None:
    torch.manual_seed(0)
    signal = torch.arange(20.0).expand(400, 2, 20)
    beat = torch.zeros(400, 20, dtype=torch.bool)
    beat[:, 9] = True
    cropped, beats = RandomCrop(crop_s=1.5, sample_rate=10.0)(signal, beat)
    start = cropped[:, 0, 0]
    assert set(start.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert torch.equal(cropped, start.view(-1, 1, 1) + torch.arange(15.0).expand(400, 2, 15))
    assert torch.equal(beats, cropped[:, 0] == 9)


def test_a_crop_as_long_as_the_window_keeps_all_of_it() -> None:
    signal, beat = torch.randn(3, 1, 20), torch.rand(3, 20) < 0.5
    cropped, beats = RandomCrop(crop_s=2.0, sample_rate=10.0)(signal, beat)
    assert torch.equal(cropped, signal)
    assert torch.equal(beats, beat)


def test_a_crop_longer_than_the_window_is_refused() -> None:
    crop = RandomCrop(crop_s=20.0, sample_rate=100.0)
    with pytest.raises(ValueError, match=r"augmentation: crop_s = 20.0 s is longer than the window \(15.0 s\)"):
        crop(torch.zeros(2, 1, 1500), torch.zeros(2, 1500, dtype=torch.bool))


@pytest.mark.parametrize(
    ("crop_s", "rate", "text"), [(0.0, 100.0, "crop_s = 0.0 must be"), (0.001, 100.0, "shorter"), (1.0, -1.0, "rate")]
)
def test_an_impossible_crop_is_refused(crop_s: float, rate: float, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RandomCrop(crop_s, rate)
