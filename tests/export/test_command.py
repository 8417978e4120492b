"""tiles-export: the command, its folder, and the files in a program without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiles_ecg.encoder.architecture import build_network, load_weights
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.export import folder as export_folder
from tiles_ecg.export_model import main

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of it fails
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
print(session.get_modelmeta().custom_metadata_map["preprocessing"])
x = np.load(sys.argv[2])
np.save(sys.argv[3], session.run(["embedding"], {"signal": x})[0])
"""


@pytest.fixture
def has_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f'{package} is not installed: pip install "tiles_ecg[export]"')


def test_the_onnx_file_embeds_in_a_program_that_cannot_import_torch(
    has_onnx: None, small_encoder: Path, tmp_path: Path
) -> None:
    main([str(small_encoder), "-o", str(tmp_path / "out"), "--format", "onnx"])
    signal = np.random.default_rng(0).standard_normal((3, 1, 777)).astype(np.float32)
    np.save(tmp_path / "x.npy", signal)
    files = [str(tmp_path / "out" / "encoder.onnx"), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *files], capture_output=True, text=True, check=True)
    about, weights = read_encoder_file(small_encoder)
    network = build_network(about.architecture, small_encoder).eval()
    load_weights(network, weights, small_encoder)
    expected = network(torch.from_numpy(signal)).detach().numpy()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5 * np.abs(expected).max())
    assert json.loads(done.stdout) == about.preprocessing


def test_export_json_says_what_the_files_take_and_how_they_were_checked(small_encoder: Path, tmp_path: Path) -> None:
    main([str(small_encoder), "-o", str(tmp_path), "--format", "torch"])
    said = json.loads((tmp_path / "export.json").read_text())
    assert said["input"]["shape"] == ["batch", 1, "time"]
    assert said["model"]["licence"] == "MIT"
    assert said["preprocessing"]["high_hz"] == 40.0
    assert said["files"]["encoder.pt2"]["largest_difference"] <= 1e-5
    assert {512, 997, 1000, 1503, 1500} == set(said["files"]["encoder.pt2"]["checked"]["lengths"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.pt2", "export.json"]
    assert str(Path(__file__).parents[2]).encode() not in (tmp_path / "encoder.pt2").read_bytes()


def test_a_file_that_differs_from_torch_is_refused_and_what_was_there_stays(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "encoder.pt2").write_bytes(b"an earlier one")
    real = export_folder.load_program

    def wrong(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
        program = real(path)
        return lambda x: program(x) * (1 + 2e-5)

    monkeypatch.setattr(export_folder, "load_program", wrong)
    with pytest.raises(SystemExit, match="2"):
        main([str(small_encoder), "-o", str(tmp_path), "--format", "torch"])
    assert "encoder.pt2 differs from torch by 2.0e-05" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.pt2"]
    assert (tmp_path / "encoder.pt2").read_bytes() == b"an earlier one"


def test_a_folder_with_a_file_of_another_encoder_is_refused(
    write_encoder: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"of another")
    about = {"model": {"model_digest": "0123"}, "files": {"encoder.onnx": {}}}
    (tmp_path / "export.json").write_text(json.dumps(about))
    with pytest.raises(SystemExit, match="2"):
        main([str(write_encoder(2)), "-o", str(tmp_path), "--format", "torch"])
    assert "holds encoder.onnx of another encoder (0123" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--precision", "int8", "--format", "torch"], "int8 is there in ONNX only"),
        (["--precision", "bf16", "--format", "torch"], "add --calibration STORE.h5"),
        (["--calibration", "store.h5", "--format", "torch"], "are for a precision below float32"),
        (["--accept-loss", "--format", "torch"], "are for a precision below float32"),
    ],
)
def test_a_precision_that_cannot_be_had_or_judged_is_refused(
    small_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(small_encoder), "-o", str(tmp_path / "out"), *arguments])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_the_extra_onnx_is_refused_with_the_command_that_installs_it(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tiles_ecg.export.onnx_file.PACKAGES", ("no_such_package",))
    with pytest.raises(SystemExit, match="2"):
        main([str(small_encoder), "-o", str(tmp_path / "out"), "--format", "onnx"])
    assert 'needs no_such_package: pip install "tiles_ecg[export]"' in capsys.readouterr().err
