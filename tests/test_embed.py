"""tiles-embed: stores and raw recordings -> embeddings in four formats, whole or absent, and what is refused."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from numpy.typing import NDArray

from tiles_ecg.checkpoint_file import save_encoder
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.embed import main
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.store import Store
from tiles_ecg.trained_encoder import load_encoder

NEEDS = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "unit": "mV", "normalise": "subject"}
NUMBERS = ("start_s", "wall_time_s", "quality")
TEXTS = ("input", "recording", "subject")
KILLED = """
import os, signal
from tiles_ecg.embed import main
from tiles_ecg.embedding import rows

def sync(self):
    if self.n_rows > 64:
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    whole_sync(self)

whole_sync, rows.RowFile.sync, rows.SYNC_S = rows.RowFile.sync, sync, 0
main()
"""
"""tiles-embed that dies with one batch of rows on the disk for sure, and another that is written but not relied on."""


def write_model(path: Path, widths: tuple[int, ...] = (4, 8), n_leads: int = 1, **needs: Any) -> Path:
    torch.manual_seed(1)
    arguments: dict[str, Any] = {"n_leads": n_leads, "widths": list(widths), "strides": [2] * len(widths)}
    arguments |= {"kernel_size": 3, "embedding_dim": 16}
    network = ResNet1d(**arguments)
    network(torch.randn(8, n_leads, 200))
    about = {
        "encoder": {"_target_": "tiles_ecg.encoder.resnet.ResNet1d", **arguments},
        "preprocessing": {**NEEDS, "n_leads": n_leads, **needs},
        "stores": ["0123"],
        "step": 7,
    }
    save_encoder(path, network, about)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.safetensors")


@pytest.fixture
def ecg(tmp_path: Path) -> Path:
    """A minute of synthetic ECG at 250 Hz, as a CSV file."""
    reader = SyntheticReader(n_subjects=1, sessions_per_subject=1, session_h=0.5)
    (recording,) = reader.read(reader.sources()[0])
    return write_csv(tmp_path / "ecg.csv", recording.signal[:4, 0].ravel())


def write_csv(path: Path, signal: NDArray[np.float32]) -> Path:
    path.write_text("\n".join(["ecg", *(f"{value:.9g}" for value in signal)]) + "\n")
    return path


def run(*arguments: object) -> None:
    main([*map(str, arguments), "--quiet", "--threads", "2"])


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a command that has a mistake."""
    with pytest.raises(SystemExit) as ending:
        run(*arguments)
    assert ending.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def by_a_loop(model: Path, store: Path, normalise: Any = "subject") -> NDArray[np.float32]:
    """The oracle: one window after another."""
    windows = Windows([store], normalise)
    encoder = PretrainedEncoder(str(model), 1, windows.sample_rate).eval()
    with torch.no_grad():
        rows = [encoder(windows.gather(np.array([row])).signal).numpy()[0] for row in range(len(windows))]
    return np.stack(rows)


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Any of the formats, by its own library."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return {name: file[name].asstr()[:] if name in TEXTS else file[name][:] for name in file}
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "about"}
    table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    found = {name: np.array(table[name].to_pylist()) for name in TEXTS}
    for name in NUMBERS:
        found[name] = np.array(table[name].to_pylist(), float)
    width = sum(name.startswith("embedding_") for name in table.column_names)
    found["quality"] = found["quality"].astype(np.float32)
    found["embedding"] = np.stack(
        [table[f"embedding_{number}"].to_numpy() for number in range(width)], 1, dtype=np.float32, casting="unsafe"
    )
    return found


def test_a_store_is_embedded_as_a_plain_loop_does_it(model: Path, small_store: Path, tmp_path: Path) -> None:
    run(model, small_store, "-o", tmp_path / "e.h5")
    found, store = read(tmp_path / "e.h5"), Store(small_store)
    np.testing.assert_allclose(found["embedding"], by_a_loop(model, small_store), atol=1e-6)
    np.testing.assert_array_equal(found["start_s"], store.read("window/start_s"))
    np.testing.assert_array_equal(found["wall_time_s"], store.read("window/wall_time_s"))
    np.testing.assert_array_equal(found["quality"], store.quality)
    assert found["subject"].tolist() == [store.subject_id[row] for row in store.subject]
    assert found["recording"].tolist() == store.read("recording/id")[store.recording].tolist()
    assert set(found["input"]) == {str(small_store)}
    assert not (tmp_path / "e.h5.parts").exists()


def test_the_last_line_counts_rows_people_and_recordings(
    model: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model, small_store, "-o", tmp_path / "e.h5")
    said = capsys.readouterr().out
    assert said.startswith("144 rows of 16, 6 people, 12 recordings, ")
    assert said.endswith(f" s: {tmp_path / 'e.h5'}\n")


def test_all_formats_hold_the_same(model: Path, ecg: Path, small_store: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"e{suffix}" for suffix in (".h5", ".npz", ".csv", ".parquet")]
    for path in paths:
        run(model, ecg, small_store, "-o", path, "reader.sample_rate=250")
    first, *others = map(read, paths)
    assert len(first["embedding"]) > 144
    assert np.isnan(first["wall_time_s"]).any()
    for other in others:
        assert set(other) == set(first)
        for name, column in first.items():
            np.testing.assert_array_equal(other[name], column)
    with h5py.File(paths[0]) as file, np.load(paths[1]) as archive:
        abouts = [
            json.loads(str(archive["about"])),
            json.loads(pyarrow.parquet.read_schema(paths[3]).metadata[b"about"]),
        ]
        for about in abouts:
            assert about["preprocessing"] == {**NEEDS, "n_leads": 1} == json.loads(file.attrs["preprocessing"])
            assert about["model_digest"] == file.attrs["model_digest"]
            assert about["package_version"] == file.attrs["package_version"]


def test_a_recording_and_the_store_that_is_prepared_of_it_have_the_same_embeddings(
    model: Path, ecg: Path, tmp_path: Path
) -> None:
    from tiles_ecg.ingest import prepare
    from tiles_ecg.preparation import Preparation
    from tiles_ecg.reader.files import FilesReader

    preparation = Preparation(100.0, 0.5, 40.0, 15.0, 15.0, 0.0, 0.5, 0.5)
    reader = FilesReader(str(ecg), sample_rate=250.0)
    store = prepare(
        reader, preparation, tmp_path / "s.h5", {"reader": {}, "preparation": {}}, n_jobs=1, show_progress=False
    )
    run(model, store, "-o", tmp_path / "of-store.npz")
    run(model, ecg, "-o", tmp_path / "of-csv.npz", "reader.sample_rate=250")
    of_store, of_csv = read(tmp_path / "of-store.npz"), read(tmp_path / "of-csv.npz")
    np.testing.assert_array_equal(of_csv["embedding"], of_store["embedding"])
    np.testing.assert_array_equal(of_csv["start_s"], [0, 15, 30, 45])
    assert set(of_csv["input"]) == {str(ecg)}


def test_a_recording_has_the_embeddings_that_load_encoder_gives_without_the_windows_that_cannot_be_used(
    ecg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.safetensors", min_quality=0.0, max_flat=0.8, max_clipped=0.8)
    signal = np.loadtxt(ecg, skiprows=1).astype(np.float32)
    signal[16 * 250 : 26 * 250] = 0.0  # two thirds of the second window: more than is usual, and not too much here
    signal[31 * 250 : 44 * 250] = 0.0
    run(model, write_csv(ecg, signal), "-o", tmp_path / "e.npz", "reader.sample_rate=250")
    assert "windows left out: 1 flat" in capsys.readouterr().err
    found = read(tmp_path / "e.npz")
    with pytest.warns(UserWarning, match="1 of 4 windows cannot be used"):
        expected = load_encoder(model)(signal, 250)
    np.testing.assert_array_equal(found["start_s"], [0, 15, 45])
    np.testing.assert_allclose(found["embedding"], expected[[0, 1, 3]], atol=1e-6)


def test_several_inputs_are_told_apart(model: Path, ecg: Path, other_store: Path, tmp_path: Path) -> None:
    npy = tmp_path / "two words, [and] more.npy"
    np.save(npy, np.loadtxt(ecg, skiprows=1)[: 250 * 30])
    run(model, ecg, other_store, npy, "-o", tmp_path / "e.npz", "reader.sample_rate=250", "reader.unit=mV")
    found = read(tmp_path / "e.npz")
    count = {str(name): int(n) for name, n in zip(*np.unique(found["input"], return_counts=True), strict=True)}
    assert count == {str(other_store): 36, str(ecg): 4, str(npy): 2}
    of_store = found["embedding"][found["input"] == str(other_store)]
    np.testing.assert_allclose(of_store, by_a_loop(model, other_store), atol=1e-6)


def test_windows_of_recordings_may_overlap(model: Path, ecg: Path, tmp_path: Path) -> None:
    command = (model, ecg, "-o", tmp_path / "e.npz", "reader.sample_rate=250")
    run(*command, "--window-s", 10, "--step-s", 5)
    np.testing.assert_array_equal(read(tmp_path / "e.npz")["start_s"], np.arange(0, 51, 5))


def test_a_folder_is_read_by_any_reader(model: Path, ecg: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,subject,sample_rate,unit\necg.csv,anna,250,mV\n")
    run(model, tmp_path, "-o", tmp_path / "a.npz", "reader=table")
    run(model, tmp_path / "manifest.csv", "-o", tmp_path / "b.npz", "reader=table")
    run(model, "-o", tmp_path / "c.npz", "reader=synthetic", "reader.n_subjects=1", "reader.session_h=0.2")
    assert set(read(tmp_path / "a.npz")["subject"]) == {"anna"} == set(read(tmp_path / "b.npz")["subject"])
    assert set(read(tmp_path / "c.npz")["input"]) == {"synthetic"}


def test_one_wfdb_record_is_read_of_its_folder(model: Path, real_data: Path, tmp_path: Path) -> None:
    run(model, real_data / "mitdb" / "101.hea", "-o", tmp_path / "e.npz")
    found = read(tmp_path / "e.npz")
    assert set(found["recording"]) == {"101"}
    assert set(found["input"]) == {str(real_data / "mitdb" / "101.hea")}


def test_a_store_of_another_rate_is_resampled(
    model: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "fast.h5", 125.0, n_subjects=1, session_h=0.2)
    run(model, store, "-o", tmp_path / "e.h5")
    assert "resampled from 125 Hz to the 100 Hz" in capsys.readouterr().err
    np.testing.assert_allclose(read(tmp_path / "e.h5")["embedding"], by_a_loop(model, store), atol=1e-6)


def test_another_band_is_refused_unless_it_is_accepted(
    small_store: Path, ecg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.safetensors", low_hz=1.0)
    said = mistake(capsys, model, small_store, "-o", tmp_path / "e.h5")
    assert "band 0.5 to 40 Hz" in said
    assert "encoder.strict=false" in said
    run(model, small_store, "-o", tmp_path / "e.h5", "encoder.strict=false")
    assert len(read(tmp_path / "e.h5")["embedding"]) == 144
    wanted = (ecg, "-o", tmp_path / "f.h5", "reader.sample_rate=250", "preparation.low_hz=0.5")
    assert "preparation.low_hz=0.5" in mistake(capsys, model, *wanted)
    assert not (tmp_path / "f.h5.parts").exists()


def test_mistakes_are_told_in_a_line(
    model: Path, small_store: Path, ecg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rate = tmp_path / "e.h5", "reader.sample_rate=250"
    (tmp_path / "empty").mkdir()
    flat = write_csv(tmp_path / "flat.csv", np.zeros(250 * 31, np.float32))
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["signal"] = np.zeros(3)
    two = write_model(tmp_path / "two.safetensors", n_leads=2)
    commands = {
        (model, small_store, "-o", tmp_path / "e.txt"): "unknown format '.txt'; choose one of .h5",
        (model, ecg, "-o", out): "does not tell its sample rate; give it, as reader.sample_rate=250",
        (model, ecg, "-o", out, "reader.sample_rat=250"): "did you mean reader.sample_rate",
        (model, ecg, "-o", out, "reader.sample_rate=0"): "sample_rate",
        (model, ecg, "-o", out, rate, "reader=tiles"): "reader=tiles: reads a folder",
        (two, small_store, "-o", out): "1 lead, but",
        (two, ecg, "-o", out, rate): "1 lead, but",
        (model, tmp_path / "foreign.h5", "-o", out): "not one that tiles-prepare wrote",
        (model, tmp_path / "gone.h5", "-o", out): "no such store",
        (model, tmp_path / "gone.csv", "-o", out): "no such file or folder",
        (model, tmp_path / "empty", "-o", out): "a folder; say how to read it",
        (model, tmp_path / "empty", "-o", out, "reader=files"): "holds no signal file",
        (model, flat, "-o", out, rate): f"{flat}: no window is left of 1 source (dropped: 2 flat",
        (model, model, "-o", out): "neither a store nor a signal file",
        (model, "-o", out): "no input is given",
        (small_store, small_store, "-o", out): "no encoder",
        (ecg, small_store, "-o", out): "neither a checkpoint nor safetensors",
        (model, small_store, "-o", out, "--window-s", 10): "--window-s: is for raw recordings",
        (model, small_store, "-o", out, rate): "all inputs are stores",
        (model, small_store, "-o", tmp_path): "unknown format",
        (model, small_store): "required: -o",
    }
    for command, expected in commands.items():
        assert expected in mistake(capsys, *command), command
    assert not out.exists()
    assert not (tmp_path / "e.h5.parts").exists()


def test_a_gpu_that_is_not_there_is_told_before_any_work(
    model: Path, ecg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = mistake(capsys, model, ecg, "-o", tmp_path / "e.h5", "reader.sample_rate=250", "--device", "cuda")
    assert "--device cuda: no GPU" in said
    assert not (tmp_path / "e.h5.parts").exists()


def test_a_file_is_only_replaced_when_told(
    model: Path, small_store: Path, other_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model, small_store, "-o", tmp_path / "e.npz")
    assert "replace it with --overwrite" in mistake(capsys, model, other_store, "-o", tmp_path / "e.npz")
    run(model, other_store, "-o", tmp_path / "e.npz", "--overwrite")
    assert len(read(tmp_path / "e.npz")["embedding"]) == 36


def test_another_model_starts_afresh(
    model: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiles_ecg.embedding.whole as whole

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(whole.FORMATS, ".h5", interrupt)  # type: ignore[arg-type]
        with pytest.raises(SystemExit) as ending:
            run(model, small_store, "-o", tmp_path / "e.h5")
    assert ending.value.code == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    other = write_model(tmp_path / "other.safetensors", (4, 4))
    run(other, small_store, "-o", tmp_path / "e.h5")
    assert "starting afresh" in capsys.readouterr().err
    np.testing.assert_allclose(read(tmp_path / "e.h5")["embedding"], by_a_loop(other, small_store), atol=1e-6)


def test_an_embedding_that_is_not_finite_is_told(
    model: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResNet1d, "forward", lambda self, signal: torch.full((len(signal), 16), torch.nan))
    assert "NaN or infinite" in mistake(capsys, model, small_store, "-o", tmp_path / "e.h5")


def test_a_killed_command_goes_on_and_gives_the_same_file(
    model: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model, small_store, "-o", tmp_path / "whole.h5")
    output = tmp_path / "killed.h5"
    done = subprocess.run([sys.executable, "-c", KILLED, model, small_store, "-o", output, "--quiet"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    capsys.readouterr()
    run(model, small_store, "-o", output)
    assert "going on: 64 of 144 windows" in capsys.readouterr().err
    assert output.read_bytes() == (tmp_path / "whole.h5").read_bytes()
