"""encoder=pretrained: the same encoder again, on input like that of its training."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.store import Store
from tiles_ecg.waveform import resample

Write = Callable[..., Path]
Run = Callable[..., Path]


@pytest.fixture
def go_on(tiles_train: Run, tmp_path: Path) -> Run:
    """Runs `tiles-train encoder=pretrained`: run folder, path of the encoder, further overrides."""
    from tiles_ecg import console, train

    def run(name: str, path: Path, store: Path, *overrides: str) -> Path:
        fixed = [
            "encoder=pretrained",
            f"encoder.path={path}",
            f"dataset.store={store}",
            "dataset.batch_size=8",
            "dataset.val_share=0.34",
            "trainer.accelerator=cpu",
            "trainer.max_steps=2",
            "trainer.log_every_n_steps=1",
            "callback.online_probe.n_windows=20",
            "logger=csv",
            f"hydra.run.dir={tmp_path / name}",
        ]
        console.run(train.train, "train", [*fixed, *overrides])
        return tmp_path / name

    return run


@pytest.fixture(scope="module")
def fast_store(tmp_path_factory: pytest.TempPathFactory, make_store: Callable[..., Path]) -> Path:
    """The other small store at 200 Hz."""
    path = tmp_path_factory.mktemp("store") / "fast.h5"
    return make_store(path, sample_rate=200.0, n_subjects=3, session_h=0.25, seed=7)


def network(file: Path) -> ResNet1d:
    """The encoder of a file, put together by hand."""
    plain = ResNet1d(1, [4, 8], [2, 2], 3, 16)
    plain.load_state_dict(load_file(file))
    return plain.eval()


def pretrained(file: Path) -> PretrainedEncoder:
    """The encoder of a file, for input as its training had."""
    needs = read_encoder_file(file)[0].preprocessing
    return PretrainedEncoder(str(file), needs["n_leads"], needs["sample_rate"])


def metadata(file: Path) -> dict[str, Any]:
    with safe_open(file, "pt") as opened:
        found = opened.metadata()
    return {key: json.loads(value) for key, value in found.items() if not key.startswith("format")}


def test_it_embeds_as_the_network_whose_weights_were_saved(write_encoder: Write) -> None:
    file = write_encoder()
    encoder = PretrainedEncoder(str(file), 1, 100.0)
    signal = torch.randn(3, 1, 700)
    assert encoder.training
    assert encoder.embedding_dim == 16
    assert torch.equal(encoder.eval()(signal), network(file)(signal))


def test_a_fresh_one_is_the_network_with_its_first_weights_and_of_no_pre_training(write_encoder: Write) -> None:
    file = write_encoder()
    torch.manual_seed(5)
    encoder = PretrainedEncoder(str(file), 1, 100.0, fresh=True).eval()
    torch.manual_seed(5)
    expected = ResNet1d(1, [4, 8], [2, 2], 3, 16).eval()
    signal = torch.randn(3, 1, 700)
    assert torch.equal(encoder(signal), expected(signal))
    assert not torch.equal(encoder(signal), network(file)(signal))
    assert encoder.exported().stores == ()


def test_input_of_another_rate_is_resampled_to_that_of_the_training(write_encoder: Write) -> None:
    file = write_encoder()
    encoder = PretrainedEncoder(str(file), 1, 250.0).eval()
    signal = torch.randn(3, 1, 3750)
    at_100_hz = torch.from_numpy(resample(signal.numpy(), 250.0, 100.0))
    torch.testing.assert_close(encoder(signal), network(file)(at_100_hz), rtol=1e-4, atol=1e-5)
    assert set(encoder.state_dict()) == {f"network.{name}" for name in load_file(file)}


def test_a_gradient_passes_through_the_resampling(write_encoder: Write) -> None:
    encoder = PretrainedEncoder(str(write_encoder()), 1, 250.0)
    signal = torch.randn(2, 1, 1000, requires_grad=True)
    encoder(signal).square().sum().backward()
    assert signal.grad is not None
    assert (signal.grad.abs().amax(2) > 0).all()


def test_the_layout_of_the_input_is_checked_before_it_is_resampled(write_encoder: Write) -> None:
    with pytest.raises(ValueError, match=r"signal has shape \(2, 3, 500\); this encoder reads \(B, 1, T\)"):
        PretrainedEncoder(str(write_encoder()), 1, 250.0)(torch.randn(2, 3, 500))


def test_another_number_of_leads_is_refused_with_both(write_encoder: Write) -> None:
    with pytest.raises(ValueError, match=r"n_leads = 3: .*encoder.safetensors was trained on 1"):
        PretrainedEncoder(str(write_encoder()), 3, 100.0)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            {"widths": [4, 4]},
            r"architecture, ResNet1d \(blocks.1.branch.0.weight of shape \(8, 4, 3\), not \(4, 4, 3\); ",
        ),
        ({"widths": [4, 8, 8], "strides": [2, 2, 1]}, r"\(no blocks.2.enter.0.weight; no blocks.2.*; and \d+ more\)"),
        ({"widths": [4], "strides": [2]}, r"\(blocks.1.branch.0.weight, which the network does not have; "),
    ],
)
def test_weights_of_another_network_are_named(write_encoder: Write, architecture: Any, message: str) -> None:
    with pytest.raises(EncoderFileError, match=message):
        PretrainedEncoder(str(write_encoder(architecture=architecture)), 1, 100.0)


def checked(write: Write, stores: list[Path], asked: Any = "subject", strict: bool = True, **about: Any) -> list[str]:
    windows = Windows(stores, asked)
    encoder = PretrainedEncoder(str(write(preprocessing=about)), 1, windows.sample_rate, strict=strict)
    return encoder.check(windows)


def test_a_store_like_that_of_the_training_needs_no_word(write_encoder: Write, small_store: Path) -> None:
    assert checked(write_encoder, [small_store]) == []


def test_another_normalisation_is_refused_with_the_override_that_mends_it(
    write_encoder: Write, small_store: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"dataset.normalise = window: .* trained with subject; give dataset.normalise=s"
    ):
        checked(write_encoder, [small_store], "window")


@pytest.mark.parametrize("band", [{"low_hz": 0.67}, {"high_hz": 30.0}, {"high_hz": 45.0}])
def test_another_band_is_refused_for_every_store_with_the_overrides_that_mend_it(
    write_encoder: Write, small_store: Path, other_store: Path, band: dict[str, float]
) -> None:
    low, high = band.get("low_hz", 0.5), band.get("high_hz", 40.0)
    with pytest.raises(ConfigError) as refused:
        checked(write_encoder, [small_store, other_store], **band)
    assert len(refused.value.problems) == 2
    for store, problem in zip((small_store, other_store), refused.value.problems, strict=True):
        assert f"{store}: band 0.5 to 40 Hz" in problem
        assert f"trained on {low:g} to {high:g} Hz" in problem
        assert f"prepare it again with preparation.low_hz={low:g} preparation.high_hz={high:g}" in problem


def test_strict_false_tells_of_band_and_normalisation_and_goes_on(write_encoder: Write, small_store: Path) -> None:
    notes = checked(write_encoder, [small_store], "none", strict=False, high_hz=30.0)
    assert [note.partition(":")[0] for note in notes] == ["dataset.normalise = none", f"dataset.store = {small_store}"]
    assert all(note.endswith("accepted, as encoder.strict=false") for note in notes)


def test_the_unit_matters_only_where_nothing_is_normalised(write_encoder: Write, small_store: Path) -> None:
    assert checked(write_encoder, [small_store], unit="a.u.") == []
    assert checked(write_encoder, [small_store], "none", normalise="none") == []
    for strict in (True, False):
        with pytest.raises(
            ConfigError, match=r"signal is in mV, but .* trained on a.u., not normalised; prepare it from"
        ):
            checked(write_encoder, [small_store], "none", strict, unit="a.u.", normalise="none")


def test_what_is_converted_or_accepted_or_unknown_is_told(write_encoder: Write, small_store: Path) -> None:
    notes = checked(write_encoder, [small_store], sample_rate=250.0, window_s=10.0, low_hz=None, normalise=None)
    patterns = [
        r"windows are resampled from 100 Hz to the 250 Hz that .* was trained at",
        r"windows of 15 s, where .* trained from 10 s: accepted, as it averages over time",
        r"encoder.safetensors does not say the band it was trained on: not compared",
        r"encoder.safetensors does not say how its input was normalised: taken as subject",
    ]
    assert len(notes) == len(patterns)
    assert all(re.search(pattern, note) for pattern, note in zip(patterns, notes, strict=True))


def test_a_store_that_does_not_say_its_band_is_told(
    write_encoder: Write, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "config", {"reader": {}})
    assert checked(write_encoder, [small_store]) == [
        f"{small_store} does not say its band: not compared with the encoder's"
    ]


def test_a_store_of_another_rate_or_lead_count_than_said_is_refused(write_encoder: Write, small_store: Path) -> None:
    windows = Windows([small_store])
    with pytest.raises(ConfigError, match=r"encoder.sample_rate = 250: .* has 100 Hz; give encoder.sample_rate=100"):
        PretrainedEncoder(str(write_encoder()), 1, 250.0).check(windows)
    with pytest.raises(ConfigError, match=r"encoder.n_leads = 3: .* has 1"):
        PretrainedEncoder(str(write_encoder("b.safetensors", n_leads=3)), 3, 100.0).check(windows)


def test_an_encoder_trained_further_loads_as_the_first_did_twice_over(
    tiles_train: Run, go_on: Run, other_store: Path, small_store: Path
) -> None:
    first = tiles_train("first", "trainer.max_steps=2")
    second = go_on("second", first, other_store)
    third = go_on("third", second / "checkpoints" / "last.ckpt", other_store)
    signal = torch.randn(4, 1, 1500)
    before, digests = pretrained(first).eval()(signal), set()
    for run in (second, third):
        trained = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        plain = ResNet1d(1, [8, 16], [2, 4], 3, 32)
        prefix = "encoder.network."
        plain.load_state_dict({k.removeprefix(prefix): v for k, v in trained.items() if k.startswith(prefix)})
        for path in (run, run / "checkpoints" / "last.ckpt", run / "checkpoints" / "last.safetensors"):
            encoder = pretrained(path)
            digests.add(encoder.about.digest)
            assert torch.equal(encoder.eval()(signal), plain.eval()(signal))
            assert encoder.architecture == pretrained(first).architecture
            assert encoder.about.stores == (Store(small_store).digest, Store(other_store).digest)
            assert encoder.about.store_paths == (str(other_store), str(small_store))
            assert encoder.about.preprocessing == pretrained(first).about.preprocessing
        assert not torch.allclose(plain(signal), before)
    assert len(digests) == 2


def test_an_encoder_trained_further_at_another_rate_still_reads_its_own(
    tiles_train: Run, go_on: Run, fast_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tiles_train("first", "trainer.max_steps=1")
    second = go_on("second", first, fast_store, "dataset.sample_rate=200.0", "trainer.max_steps=1")
    assert capsys.readouterr().err.count("windows are resampled from 200 Hz to the 100 Hz") == 1
    files = [second / "checkpoints" / f"last.{suffix}" for suffix in ("ckpt", "safetensors")]
    assert [read_encoder_file(file)[0].preprocessing["sample_rate"] for file in files] == [100.0, 100.0]
    assert metadata(files[1])["preprocessing"]["high_hz"] == 40.0
    trained = torch.load(files[0], weights_only=True)["state_dict"]
    windows = Windows([fast_store])
    signal = windows.gather(np.arange(4)).signal
    encoder = PretrainedEncoder(str(second), 1, 200.0).eval()
    assert all(torch.equal(value, trained[f"encoder.{name}"]) for name, value in encoder.state_dict().items())
    at_100_hz = torch.from_numpy(resample(signal.numpy(), 200.0, 100.0))
    torch.testing.assert_close(pretrained(second).eval()(at_100_hz), encoder(signal), rtol=1e-3, atol=1e-4)


def test_a_resumed_run_goes_on_with_its_own_weights_and_needs_the_path_still(
    write_encoder: Write, go_on: Run, other_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_encoder()
    steps = ("scheduler=constant", "trainer.max_steps=4")
    whole = go_on("whole", first, other_store, *steps)
    go_on("cut", first, other_store, "scheduler=constant", "trainer.max_steps=2")
    cut = go_on("cut", first, other_store, *steps, "resume=true")
    assert read_encoder_file(cut)[0].digest == read_encoder_file(whole)[0].digest
    first.rename(first.with_name("moved"))
    with pytest.raises(SystemExit) as end:
        go_on("cut", first, other_store, "scheduler=constant", "trainer.max_steps=6", "resume=true")
    assert end.value.code == 2
    assert f"{first}: no such file or folder; give a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encoder.path=???"], "encoder.path = ???: missing; give it as encoder.path="),
        (["encoder.path=gone"], "gone: no such file or folder; give a run folder, its .ckpt or .safetensors"),
        (["encoder.paht=x"], "encoder.paht"),
        (["dataset.n_leads=2"], "n_leads = 2: "),
        (["dataset.normalise=window"], "dataset.normalise = window: "),
    ],
)
def test_a_mistake_in_the_command_ends_it_with_status_2(
    go_on: Run,
    write_encoder: Write,
    other_store: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        go_on("run", write_encoder(), other_store, *overrides)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
