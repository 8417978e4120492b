"""tiles-import: any encoder file becomes a model folder that works wherever a run does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.import_model import Wishes, import_model, main
from tiles_ecg.trained_encoder import load_encoder

Write = Callable[..., Path]
Run = Callable[..., Path]
REPORT = Path(__file__).resolve().parents[1] / "experiments" / "first-evaluation" / "results.csv"


def test_the_command_leaves_a_model_that_embeds_as_the_file_did(
    write_encoder: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = write_encoder(), tmp_path / "deep" / "mine"
    main([str(file), "-o", str(folder), "--licence", "MIT"])
    assert f"model: {folder}" in capsys.readouterr().out
    signal = np.random.default_rng(0).normal(size=8000)
    assert np.array_equal(load_encoder(folder)(signal, 250), load_encoder(file)(signal, 250))
    about = read_encoder_file(folder)[0]
    assert (about.name, about.licence) == ("mine", "MIT")


def test_what_the_file_says_is_kept_unless_said_otherwise(write_encoder: Write, tmp_path: Path) -> None:
    first = import_model(write_encoder(licence="CC0-1.0", source="a drawer"), tmp_path / "first")
    same = read_encoder_file(import_model(first, tmp_path / "same"))[0]
    assert (same.name, same.licence, same.source) == ("first", "CC0-1.0", "a drawer")
    wishes = Wishes(name="second", licence="MIT", source="a shelf")
    other = read_encoder_file(import_model(tmp_path / "same", tmp_path / "other", wishes))[0]
    assert (other.name, other.licence, other.source) == ("second", "MIT", "a shelf")
    assert other.digest == same.digest


def test_a_report_and_remarks_go_into_the_card(write_encoder: Write, tmp_path: Path) -> None:
    remarks = tmp_path / "remarks.md"
    remarks.write_text("Trained on a rainy day.")
    wishes = Wishes(report=REPORT, report_name="simclr", remarks=remarks)
    card = (import_model(write_encoder(), tmp_path / "m", wishes) / "README.md").read_text()
    assert "Trained on a rainy day." in card
    assert "| **simclr, linear** | **0.900 [0.886, 0.913]** | 3144 |" in card


def test_weights_of_one_fold_get_no_numbers_of_all_folds(write_encoder: Write, tmp_path: Path) -> None:
    tuned = write_encoder(labelled=["0123"], protocol="ab12")
    with pytest.raises(EncoderFileError, match=r"labels of one fold \(protocol ab12\).* leave --report out"):
        import_model(tuned, tmp_path / "m", Wishes(report=REPORT, report_name="simclr"))
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_a_run_that_fine_tuned_says_its_protocol(finetune: Run, tmp_path: Path) -> None:
    run = finetune("tuned")
    files = [run / "checkpoints" / f"last.{kind}" for kind in ("ckpt", "safetensors")]
    hashes = {torch.load(files[0], weights_only=True)["protocol"]["hash"]}
    hashes |= {read_encoder_file(file)[0].protocol for file in (*files, import_model(run, tmp_path / "model"))}
    assert len(hashes) == 1
    assert "" not in hashes


@pytest.mark.slow
def test_a_run_goes_on_from_a_model_folder(tiles_train: Run, small_store: Path, tmp_path: Path) -> None:
    wishes = Wishes(licence="MIT", source="a drawer")
    folder = import_model(tiles_train("first", "trainer.max_steps=2"), tmp_path / "model", wishes)
    from tiles_ecg import console, train

    fixed = ["dataset.batch_size=16", "dataset.val_share=0.34", "trainer.accelerator=cpu", "trainer.max_steps=2"]
    fixed += ["callback.online_probe.n_windows=20", "callback.pictures=null", "logger=csv"]
    fixed += [f"dataset.store={small_store}", f"hydra.run.dir={tmp_path / 'second'}"]
    console.run(train.train, "train", [*fixed, "encoder=pretrained", f"encoder.path={folder}"])
    first, second = read_encoder_file(folder)[0], read_encoder_file(tmp_path / "second")[0]
    assert second.architecture == first.architecture
    assert second.digest != first.digest
    assert (second.source, second.licence) == ("a drawer (MIT)", "")  # the licence of the new weights is its maker's


def test_mistakes_end_with_status_2_and_a_line(
    write_encoder: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = write_encoder(), tmp_path / "model"
    odd = write_encoder("odd.safetensors", architecture={"widths": [4, 4]})
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    import_model(file, tmp_path / "there")
    for arguments, message in (
        (["nowhere", "-o", str(folder)], "nowhere: no such file or folder; give a run folder"),
        ([str(odd), "-o", str(folder)], "its weights are not those of its architecture"),
        ([str(file), "-o", str(tmp_path / "there")], "there: is there; choose another folder"),
        ([str(file)], "the following arguments are required: -o/--output; see tiles-import --help"),
        ([str(file), "-o", str(folder), "--report", "gone.csv"], "gone.csv: cannot be read (No such file"),
        (
            [str(file), "-o", str(folder), "--report", str(tmp_path / "plain.csv")],
            "plain.csv: no column task, protocol",
        ),
        (
            [str(file), "-o", str(folder), "--report", str(REPORT)],
            "no encoder 'model' in it; give --report-name, one of simclr",
        ),
        ([str(file), "-o", str(folder), "--remarks", "gone.md"], "gone.md: cannot be read"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not folder.exists()


def test_a_network_of_another_package_needs_to_be_trusted(write_encoder: Write, tmp_path: Path) -> None:
    file = write_encoder(architecture={"_target_": "os.path.Evil"})
    with pytest.raises(EncoderFileError, match="nothing of it was imported or run"):
        import_model(file, tmp_path / "model")


def test_a_model_folder_is_an_encoder_like_any_other(write_encoder: Write, tmp_path: Path) -> None:
    folder = import_model(write_encoder(), tmp_path / "model")
    encoder = PretrainedEncoder(str(folder), 1, 100.0).eval()
    signal = torch.randn(2, 1, 500)
    assert torch.equal(encoder(signal), PretrainedEncoder(str(write_encoder()), 1, 100.0).eval()(signal))
