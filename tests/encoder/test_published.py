"""Published weights: they load without running anything, and reproduce what their authors' code gave."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.encoder.published import FILES, LICENCE, SOURCE, VARIABLE, read_published_head

RESNET, S4 = FILES
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of the published files, from TILES_ECG_PUBLISHED; skipped, with the reason, where they are absent."""
    folder = Path(os.environ.get(VARIABLE, REPOSITORY.parent / "shared" / "published"))
    if not (folder / RESNET).is_file():
        pytest.skip(f"no published weights at {folder}: set {VARIABLE} to the folder of {' and '.join(FILES)}")
    return folder


@pytest.fixture(scope="session")
def reference(published: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(published / "wildecg_reference_outputs.npz") as arrays:
        return {name: arrays[name] for name in arrays}


def outputs(file: Path, signal: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Embeddings, and what the head makes of them."""
    encoder = PretrainedEncoder(str(file), n_leads=1, sample_rate=100.0).eval()
    with torch.no_grad():
        embedding = encoder(torch.from_numpy(signal))
        return embedding, read_published_head(file)(embedding)


@pytest.mark.parametrize(
    ("name", "arrays"),
    [(RESNET, ("resnet_embedding", "resnet_projection")), (S4, ("s4_embedding", "s4_transform_logits"))],
)
def test_outputs_are_those_of_the_authors_code(
    published: Path, reference: dict[str, NDArray[np.float32]], name: str, arrays: tuple[str, str]
) -> None:
    for found, array in zip(outputs(published / name, reference["x"]), arrays, strict=True):
        np.testing.assert_allclose(found.numpy(), reference[array], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "step"), [(RESNET, 57850), (S4, 97300)])
def test_only_what_is_known_of_them_is_said(published: Path, name: str, step: int) -> None:
    about, _ = read_encoder_file(published / name)
    assert about.preprocessing == {"sample_rate": 100.0, "n_leads": 1, "window_s": 10.0}
    assert (about.step, about.stores, about.labelled) == (step, (), ())
    assert (about.licence, about.source) == (LICENCE, SOURCE) == ("MIT", "klean2050/tiles_ecg_model")


@pytest.fixture
def changed(published: Path, tmp_path: Path) -> Callable[..., Path]:
    """A published file of that name after a change of its `state_dict`."""

    def make(name: str, change: Callable[[dict[str, Any]], object]) -> Path:
        content = torch.load(published / name, map_location="cpu", weights_only=True)
        change(content["state_dict"])
        torch.save({"state_dict": content["state_dict"], "global_step": 1}, tmp_path / name)
        return tmp_path / name

    return make


def both(name: str, value: Tensor | None = None) -> Callable[[dict[str, Any]], object]:
    """Sets a tensor of the encoder in both copies, or takes it out."""

    def change(state: dict[str, Any]) -> None:
        for prefix in ("encoder.", "model.0."):
            state.pop(prefix + name, None)
            if value is not None:
                state[prefix + name] = value

    return change


CHANGES = [
    (RESNET, both("final_bn.bias"), r"no last_norm\.bias"),
    (RESNET, both("basicblock_list.8.bn1.bias", torch.ones(2)), r"blocks\.8\.norm1\.bias, which they do not have"),
    (RESNET, both("basicblock_list.0.bn1.bias"), r"no blocks\.0\.norm1\.bias"),
    (RESNET, both("shift", torch.ones(2)), r"encoder\.shift, which they do not have"),
    (RESNET, both("final_bn.bias", torch.ones(64)), r"last_norm\.bias of shape \(64,\), not \(128,\)"),
    (RESNET, lambda state: state.update(more=torch.ones(1)), "more, which they do not have"),
    (RESNET, lambda state: state.pop("model.0.final_bn.bias"), r"encoder\.\* and model\.0\.\*.*differ"),
    (S4, both("decoder.bias"), r"no leave\.bias"),
    (S4, both("s4_layers.3.D", torch.ones(128, 1)), r"blocks\.3\.space\.direct of shape \(128, 1\), not \(128,\)"),
    (
        S4,
        lambda state: state.update({"projector.2.weight": torch.ones(8, 128)}),
        r"projector\.\* and model\.1\.\*.*differ",
    ),
    (S4, lambda state: state.pop("projector.0.weight"), r"no 0\.weight"),
]


@pytest.mark.parametrize(("name", "change", "message"), CHANGES, ids=[message for *_, message in CHANGES])
def test_a_changed_file_is_refused(
    changed: Callable[..., Path], name: str, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(EncoderFileError, match=f"like a published checkpoint .*{message}.*take the original file"):
        read_encoder_file(changed(name, change))


class Evil:
    """Unpickled, it would make a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_no_pickled_code_runs(tmp_path: Path) -> None:
    file, mark = tmp_path / S4, tmp_path / "ran"
    state = {"encoder.s4_layers.0.D": torch.ones(128)}
    torch.save({"state_dict": state, "hyper_parameters": Evil(mark)}, file)
    with pytest.raises(EncoderFileError, match="mkdir to be run, which was not done"):
        read_encoder_file(file)
    with pytest.raises(EncoderFileError, match="cannot be read"):
        read_published_head(file)
    assert not mark.exists()


def test_where_the_files_are_missing_the_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderFileError, match=rf"no such file or folder; set {VARIABLE} to the folder of {RESNET}"):
        read_encoder_file(tmp_path / RESNET)


def test_a_head_is_read_from_no_other_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {"encoder.weight": torch.ones(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(EncoderFileError, match=rf"other.ckpt: none of the published checkpoints; give {RESNET} or"):
        read_published_head(tmp_path / "other.ckpt")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Runs `tiles-train` in this process with these overrides; returns the run folder."""
    from tiles_ecg import console, train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-train"])
    fixed = ["dataset.batch_size=8", "trainer.accelerator=cpu", "trainer.max_steps=2", "logger=csv"]

    def train_with(*overrides: str) -> Path:
        console.run(train.train, "train", [*fixed, f"hydra.run.dir={tmp_path / 'run'}", *overrides])
        return tmp_path / "run"

    return train_with


@pytest.mark.slow
def test_a_run_goes_on_from_the_published_weights_and_keeps_them_in_our_format(
    published: Path, tmp_path: Path, run: Callable[..., Path], small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(published / RESNET, elsewhere)
    monkeypatch.setenv(VARIABLE, str(elsewhere))
    small = ("dataset.val_share=0.34", "callback.online_probe.n_windows=20", "callback.pictures=null")
    folder = run("encoder=wildecg_resnet", f"dataset.store={small_store}", "optimizer.lr=1e-9", *small)
    before, after = read_encoder_file(elsewhere / RESNET), read_encoder_file(folder)
    assert after[0].architecture == before[0].architecture
    for name, value in before[1].items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(after[1][name], value, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_probe_stands_on_the_published_s4(published: Path, run: Callable[..., Path], tone_store: Path) -> None:
    tones = ("task=synthetic_stress", "task.name=tone", "task.label=tone", "task.classes=[low,high]")
    few = ("protocol.folds=3", "dataset.window_s=2.0", f"dataset.store={tone_store}")
    folder = run("objective=probe", "encoder=wildecg_s4", f"encoder.path={published / S4}", *tones, *few)
    found, kept = read_encoder_file(folder)[1], read_encoder_file(published / S4)[1]
    assert all(torch.equal(found[name], value) for name, value in kept.items())


def test_untrained_twins_have_other_weights(published: Path) -> None:
    trained, fresh = (PretrainedEncoder(str(published / S4), 1, 100.0, fresh=fresh) for fresh in (False, True))
    assert not torch.equal(trained.network.state_dict()["leave.weight"], fresh.network.state_dict()["leave.weight"])
