"""Shared fixtures: where the real recordings lie, and one thread a process."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # no torch is imported yet; sums over two threads differ in their last bits

REPOSITORY = Path(__file__).resolve().parents[1]


def _real_data() -> Path:
    return Path(os.environ.get("TILES_ECG_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, from TILES_ECG_DATA; the test is skipped, with the reason, where it is absent."""
    root = _real_data()
    if not root.is_dir():
        pytest.skip(f"no real recordings at {root}: set TILES_ECG_DATA to their folder")
    return root


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 synthetic subjects, two recordings each: 144 windows of 15 s at 100 Hz."""
    return synthetic_store(tmp_path_factory.mktemp("store") / "small.h5", n_subjects=6, session_h=1.0)


@pytest.fixture(scope="session")
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 3 other synthetic subjects: 36 windows."""
    return synthetic_store(tmp_path_factory.mktemp("store") / "other.h5", n_subjects=3, session_h=0.5, seed=7)


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Path]:
    """Prepares a synthetic cohort: path, and keyword arguments of `synthetic_store`."""
    return synthetic_store


def synthetic_store(path: Path, sample_rate: float = 100.0, **reader: Any) -> Path:
    """Prepare a synthetic cohort; keyword arguments are the reader's."""
    from tiles_ecg.ingest import prepare
    from tiles_ecg.preparation import Preparation
    from tiles_ecg.reader.synthetic import SyntheticReader

    preparation = {"sample_rate": sample_rate, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "step_s": 15.0}
    reader = {"sessions_per_subject": 2, **reader}
    config = {"reader": reader, "preparation": preparation}
    return prepare(SyntheticReader(**reader), Preparation(**preparation), path, config, n_jobs=1, show_progress=False)


@pytest.fixture
def tiles_train(small_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Runs `tiles-train` in this process on the small store with a tiny encoder; returns the run folder.

    Its arguments are the run folder's name and overrides; those given replace the defaults.
    """
    from tiles_ecg import console, train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("sys.argv", ["tiles-train"])

    def run(name: str, *overrides: str) -> Path:
        given = {text.partition("=")[0] for text in overrides}
        defaults = [f"dataset.store={small_store}", *TINY_RUN, f"hydra.run.dir={tmp_path / name}"]
        kept = [text for text in defaults if text.partition("=")[0] not in given]
        console.run(train.train, "train", [*kept, *overrides])
        return tmp_path / name

    return run


TINY_RUN = (
    "dataset.batch_size=16",
    "dataset.val_share=0.34",
    "encoder.widths=[8,16]",
    "encoder.strides=[2,4]",
    "encoder.embedding_dim=32",
    "trainer.accelerator=cpu",
    "trainer.max_steps=10",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
    "callback.checkpoint.every_n_train_steps=3",
    "callback.online_probe.n_windows=40",
    "callback.pictures=null",  # a second a run; tests/callback/test_pictures.py has them
    "logger=csv",
)


@pytest.fixture(scope="session")
def tone_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of two pitches in noise, to be told apart: 12 people, a recording of each pitch, 5 windows of 2 s each.

    Labels of a recording: `tone` (low, high), `pitch` (Hz), `parts` (the tone, and `odd` for every second person),
    `hint` (0 or 1 with the tone; missing for every third person) and `place` (nothing to do with it).
    """
    return tones(tmp_path_factory.mktemp("store") / "tones.h5")


def tones(path: Path, n_subjects: int = 12, seed: int = 0) -> Path:
    """Prepare the store of `tone_store`."""
    import numpy as np

    from tiles_ecg.ingest import prepare
    from tiles_ecg.preparation import Preparation
    from tiles_ecg.recording import LabelSpec, Recording, Source

    class Tones:
        labels = (
            LabelSpec("tone", "recording", "categorical", ("low", "high")),
            LabelSpec("pitch", "recording", "continuous", unit="Hz"),
            LabelSpec("parts", "recording", "multilabel", ("low", "high", "odd")),
            LabelSpec("hint", "recording", "continuous"),
            LabelSpec("place", "recording", "categorical", ("indoors", "outdoors")),
        )

        def sources(self) -> list[Source]:
            return [Source(f"person-{number:02d}") for number in range(n_subjects)]

        def read(self, source: Source) -> Any:
            number = int(source.key[-2:])
            draw = np.random.default_rng([seed, number])
            for which, (tone, pitch) in enumerate((("low", 4.0), ("high", 12.0))):
                pitch += draw.uniform(-1, 1)
                time_s = np.arange(1000) / 100
                wave = np.sin(2 * np.pi * (pitch * time_s + draw.uniform())) + draw.normal(0, 0.7, 1000)
                parts = (tone, "odd") if number % 2 else (tone,)
                labels = {"tone": tone, "pitch": pitch, "parts": parts, "place": ("indoors", "outdoors")[number % 2]}
                labels |= {"hint": float(which)} if number % 3 else {}
                yield Recording(
                    f"{source.key}/{tone}", wave.astype(np.float32)[None, None], 100.0, ("I",), source.key,
                    subject=source.key, labels=labels,
                )  # fmt: skip

    preparation = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 2.0, "step_s": 2.0}
    config = {"reader": {"seed": seed, "n_subjects": n_subjects}, "preparation": preparation}
    return prepare(Tones(), Preparation(**preparation), path, config, n_jobs=1, show_progress=False)


@pytest.fixture
def finetune(tone_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Runs `tiles-train objective=finetune` in this process, on the tones and with a tiny encoder.

    Its arguments are the run folder's name and overrides; those given replace the defaults.
    """
    from tiles_ecg import console, train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("sys.argv", ["tiles-train"])

    def run(name: str, *overrides: str) -> Path:
        given = {text.partition("=")[0] for text in overrides}
        defaults = [f"dataset.store={tone_store}", *TINY_TASK, f"hydra.run.dir={tmp_path / name}"]
        for part in {"task", "encoder"} & given:
            defaults = [text for text in defaults if not text.startswith(f"{part}.")]
        kept = [text for text in defaults if text.partition("=")[0] not in given]
        console.run(train.train, "train", [*kept, *overrides])
        return tmp_path / name

    return run


TINY_TASK = (
    "objective=finetune",
    "task=synthetic_stress",
    "task.name=tone",
    "task.label=tone",
    "task.classes=[low,high]",
    "protocol.folds=3",
    "dataset.window_s=2.0",
    "dataset.batch_size=16",
    "encoder.widths=[8,16]",
    "encoder.strides=[2,4]",
    "encoder.embedding_dim=32",
    "optimizer.lr=3e-3",
    "trainer.accelerator=cpu",
    "trainer.max_steps=12",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
    "callback.checkpoint.every_n_train_steps=3",
    "callback.pictures=null",  # a second a run; tests/callback/test_pictures.py has them
    "logger=csv",
)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """A Slurm job whose `scontrol` notes what it is asked; its arguments are what it answers, and its status."""
    noted = tmp_path / "asked.jsonl"

    def make(answer: str = "", status: int = 0, **environment: str) -> list[list[str]]:
        program = tmp_path / "bin" / "scontrol"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(noted)!r}, 'a').write(json.dumps(sys.argv[1:]) + chr(10))\n"
            f"print({answer!r})\nsys.exit({status})\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        for name, value in ({"SLURM_JOB_ID": "12"} | environment).items():
            monkeypatch.setenv(name, value)
        return Asked(noted)

    return make


class Asked(list[list[str]]):
    """What `scontrol` was asked so far."""

    def __init__(self, noted: Path) -> None:
        self.noted = noted

    def __eq__(self, other: object) -> bool:
        lines = self.noted.read_text().splitlines() if self.noted.exists() else []
        return [json.loads(line) for line in lines] == other

    __hash__ = None  # type: ignore[assignment]


ARCHITECTURE = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "widths": [4, 8],
    "strides": [2, 2],
    "kernel_size": 3,
    "embedding_dim": 16,
}
PREPROCESSING = {
    "sample_rate": 100.0,
    "low_hz": 0.5,
    "high_hz": 40.0,
    "window_s": 15.0,
    "unit": "mV",
    "normalise": "subject",
}


@pytest.fixture
def write_encoder(tmp_path: Path) -> Callable[..., Path]:
    """Writes an encoder with moved norms; keyword arguments replace entries of its description, None leaves them out.

    Those of `architecture` and `preprocessing` are added to what it would say.
    """

    def write(name: str = "encoder.safetensors", n_leads: int = 1, **changes: Any) -> Path:
        import torch

        from tiles_ecg.checkpoint_file import save_encoder
        from tiles_ecg.encoder.resnet import ResNet1d

        torch.manual_seed(1)
        network = ResNet1d(n_leads, [4, 8], [2, 2], 3, 16)
        network(torch.randn(8, n_leads, 200))
        about = {
            "encoder": {**ARCHITECTURE, "n_leads": n_leads, **changes.pop("architecture", {})},
            "preprocessing": {**PREPROCESSING, "n_leads": n_leads, **changes.pop("preprocessing", {})},
            "stores": ["0123"],
            "step": 7,
            **changes,
        }
        about["preprocessing"] = {key: value for key, value in about["preprocessing"].items() if value is not None}
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_encoder(path, network, {key: value for key, value in about.items() if value is not None})
        return path

    return write
