"""Encoder files: what is read from them, and that nothing in a bad one runs."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from tiles_ecg.encoder.architecture import build_network, build_with_weights
from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file, weights_digest

Write = Callable[..., Path]
EITHER = "give a run folder, its .ckpt or .safetensors"


class Evil:
    """Unpickled, it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def checkpoint_of(file: Path, **changes: Any) -> dict[str, Any]:
    """What a checkpoint of a plain encoder holds, as far as it is read."""
    about = read_encoder_file(file)[0].architecture
    return {
        "state_dict": {f"encoder.{name}": value for name, value in load_file(file).items()} | {"x": torch.ones(2)},
        "global_step": 7,
        "config": {"encoder": about, "dataset": {"sample_rate": 100.0, "n_leads": 1, "normalise": "subject"}},
        "EcgDataModule": {"stores": ["0123"]},
        **changes,
    }


def test_a_file_says_what_it_holds(write_encoder: Write) -> None:
    file = write_encoder()
    about, weights = read_encoder_file(file)
    assert (about.path, about.step, about.stores, about.store_paths) == (file, 7, ("0123",), ())
    assert about.architecture["_target_"] == "tiles_ecg.encoder.resnet.ResNet1d"
    assert about.preprocessing["high_hz"] == 40.0
    saved = load_file(file)
    assert weights.keys() == saved.keys()
    assert all(torch.equal(weights[name], saved[name]) for name in saved)


def test_the_digest_is_of_the_weights_alone(write_encoder: Write, tmp_path: Path) -> None:
    about, weights = read_encoder_file(write_encoder())
    assert read_encoder_file(write_encoder("other.safetensors", step=8))[0].digest == about.digest
    name = next(iter(weights))
    changed = weights[name].clone()
    changed.view(-1)[0] += 1e-6
    renamed = {("x" if key == name else key): value for key, value in weights.items()}
    digests = {weights_digest(each) for each in (weights, {**weights, name: changed}, renamed)}
    assert len(digests) == 3
    assert about.digest in digests
    assert weights_digest(dict(reversed(weights.items()))) == about.digest


def test_a_checkpoint_of_before_it_described_its_encoder_is_read_by_its_config(
    write_encoder: Write, tmp_path: Path
) -> None:
    file = write_encoder()
    torch.save(checkpoint_of(file), tmp_path / "last.ckpt")
    about, weights = read_encoder_file(tmp_path / "last.ckpt")
    whole, _ = read_encoder_file(file)
    assert about.digest == whole.digest
    assert about.architecture == whole.architecture
    assert about.preprocessing == {"sample_rate": 100.0, "n_leads": 1, "normalise": "subject"}
    assert (about.stores, about.step) == (("0123",), 7)
    assert weights.keys() == load_file(file).keys()


def run_folder(write: Write, name: str, config: dict[str, Any], *files: str) -> Path:
    for file in files:
        folder = write(f"{name}/checkpoints/{file}.safetensors", step={"last": 10, "best": 5}[file]).parents[1]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize(("config", "step"), [({}, 10), ({"task": None}, 10), ({"task": {"_target_": "x"}}, 5)])
def test_a_run_folder_stands_for_its_last_encoder_and_with_a_task_for_its_best(
    write_encoder: Write, config: dict[str, Any], step: int
) -> None:
    folder = run_folder(write_encoder, "run", config, "last", "best")
    assert read_encoder_file(folder)[0].step == step
    assert read_encoder_file(str(folder))[0].step == step


def test_a_run_folder_without_config_stands_for_its_last_encoder(write_encoder: Write) -> None:
    folder = run_folder(write_encoder, "run", {}, "last", "best")
    (folder / "config.yaml").unlink()
    assert read_encoder_file(folder)[0].step == 10


def test_stores_are_named_from_the_configs_of_the_run_and_of_those_it_went_on_from(
    write_encoder: Write, tmp_path: Path
) -> None:
    (tmp_path / "a.h5").touch()
    run_folder(write_encoder, "outputs/first", {"dataset": {"store": ["a.h5", "/gone/b.h5"]}}, "last")
    config = {"dataset": {"store": "c.h5"}, "encoder": {"path": "outputs/first"}}
    second = run_folder(write_encoder, "outputs/second", config, "last")
    assert read_encoder_file(second)[0].store_paths == ("c.h5", str(tmp_path / "a.h5"), "/gone/b.h5")


def test_runs_that_name_each_other_end_the_search_for_stores(write_encoder: Write) -> None:
    config = {"dataset": {"store": None}, "encoder": {"path": "run"}}
    assert read_encoder_file(run_folder(write_encoder, "run", config, "last"))[0].store_paths == ()


def test_a_folder_that_is_no_run_tells_what_is_in_it(write_encoder: Write, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        EncoderFileError, match=r"empty: no run folder with an encoder \(it is empty, no checkpoints/las"
    ):
        read_encoder_file(empty)
    (empty / "store.h5").touch()
    with pytest.raises(
        EncoderFileError, match=r"\(in it are store.h5, no checkpoints/last.safetensors\); give the fold"
    ):
        read_encoder_file(empty)
    run = run_folder(write_encoder, "sweep/0", {"task": {}}, "last")
    with pytest.raises(
        EncoderFileError, match=r"no checkpoints/best.safetensors, but checkpoints/last.safetensors; give"
    ):
        read_encoder_file(run)
    with pytest.raises(
        EncoderFileError, match=r"sweep: no checkpoints/last.*, but 0/checkpoints/last.safetensors; give"
    ):
        read_encoder_file(tmp_path / "sweep")
    with pytest.raises(EncoderFileError, match=r"but last.safetensors; give one of these"):
        read_encoder_file(run / "checkpoints")
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(EncoderFileError, match=r"config.yaml: cannot be read .*give the path of a .ckpt"):
        read_encoder_file(run)


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderFileError, match=f"gone.ckpt: no such file or folder; {EITHER}"):
        read_encoder_file(tmp_path / "gone.ckpt")


BAD = [
    (b"", "empty; give"),
    (b"an ordinary text\n" * 20, "give a run folder"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, such as a store, and no encoder; give"),
    (b"PK\x03\x04" + bytes(100), "damaged, or no checkpoint"),
    (pickle.dumps({"state_dict": {}}), "a bare pickle, which runs code when it is opened, so it was not"),
]


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors", "a.txt"])
@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EncoderFileError, match=rf"{name}: .*{message}"):
        read_encoder_file(tmp_path / name)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_file_that_was_cut_short_is_refused(write_encoder: Write, tmp_path: Path, share: float) -> None:
    file, whole = write_encoder(), tmp_path / "last.ckpt"
    torch.save(checkpoint_of(file), whole)
    for path in (file, whole):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(EncoderFileError, match=f"{path.name}: damaged, or no "):
            read_encoder_file(path)


def test_files_of_other_programs_are_refused(tmp_path: Path, write_encoder: Write) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(EncoderFileError, match=r"foreign.safetensors: safetensors of another program"):
        read_encoder_file(tmp_path / "foreign.safetensors")
    save_file(
        {"a": torch.ones(2)}, tmp_path / "newer.safetensors", {"format": "tiles_ecg encoder", "format_version": "2"}
    )
    with pytest.raises(
        EncoderFileError, match="format version 2, this package reads version 1; use the package version"
    ):
        read_encoder_file(tmp_path / "newer.safetensors")
    torch.save({"state_dict": {}, "epoch": 1, "hparams": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(
        EncoderFileError, match=r"another program, not of tiles-train \(it has state_dict, epoch, hparams\)"
    ):
        read_encoder_file(tmp_path / "foreign.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(EncoderFileError, match=r"another program, not of tiles-train \(it holds a list\)"):
        read_encoder_file(tmp_path / "list.ckpt")
    torch.save(checkpoint_of(write_encoder(), state_dict={"model.a": torch.ones(2)}), tmp_path / "headless.ckpt")
    with pytest.raises(EncoderFileError, match=r"without an encoder \(no weight's name begins with 'encoder.'\)"):
        read_encoder_file(tmp_path / "headless.ckpt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": None}, "does not say what its encoder was trained on"),
        ({"stores": "abc"}, "does not say what its encoder was trained on"),
        ({"encoder": [1]}, "does not say what network"),
        ({"encoder": {"widths": [8]}}, "does not say what network"),
        (
            {"preprocessing": {"sample_rate": None}},
            "sample_rate = None of its input; it must be a positive number of Hz",
        ),
        ({"preprocessing": {"sample_rate": -1}}, "sample_rate = -1 of its input"),
        ({"preprocessing": {"n_leads": 0}}, "n_leads = 0 of its input; it must be a whole number > 0"),
    ],
)
def test_a_file_with_a_part_of_its_description_is_refused(
    write_encoder: Write, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncoderFileError, match=f"encoder.safetensors: {message}"):
        read_encoder_file(write_encoder(**changes))


def test_a_description_that_is_no_json_is_refused(tmp_path: Path) -> None:
    metadata = {"format": "tiles_ecg encoder", "format_version": "1", "encoder": "{", "step": "1"}
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(EncoderFileError, match=r"a.safetensors: damaged, its description cannot be read"):
        read_encoder_file(tmp_path / "a.safetensors")


def test_weights_that_are_no_numbers_are_refused_by_name(write_encoder: Write, tmp_path: Path) -> None:
    content = checkpoint_of(write_encoder())
    content["state_dict"]["encoder.head.0.weight"][0] = torch.nan
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(EncoderFileError, match=r"its weights head.0.weight hold NaN or infinity"):
        read_encoder_file(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["evil.ckpt", "evil.safetensors", "run/checkpoints/last.safetensors"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_nothing_in_a_pickle_runs(tmp_path: Path, name: str, is_zip: bool) -> None:
    mark, file = tmp_path / "it ran", tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"state_dict": {"encoder.a": Evil(mark)}, "config": {}}
    if is_zip:
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    not_run = r"asks for posix.mkdir to be run, which was not done|a bare pickle.* so it was not|damaged, or no checkp"
    with pytest.raises(EncoderFileError, match=not_run):
        read_encoder_file(tmp_path / "run" if name.startswith("run") else file)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))  # the trap works
    assert mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "tiles_ecg.train.main",
        "antigravity.Encoder",
        "tiles_ecg.encoderx.Encoder",
        "tiles_ecg.encoder",
        "tiles_ecg.encoder..resnet.ResNet1d",
        "tiles_ecg.encoder.resnet.ResNet1d; import os",
        3,
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_network_from_elsewhere_is_refused_before_its_import(
    write_encoder: Write, target: Any, is_nested: bool
) -> None:
    node = {"_target_": target}
    good = {"_target_": "tiles_ecg.encoder.resnet.ResNet1d", "widths": [{"a": [node]}]}
    with pytest.raises(EncoderFileError, match=r"which is not in tiles_ecg.encoder; nothing of it was imported or run"):
        build_network(good if is_nested else node, "file")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tiles_ecg.encoder.resnet.torch.hub.load", "No module named"),
        ("tiles_ecg.encoder.gone.Encoder", "No module named 'tiles_ecg.encoder.gone'; install the version"),
        ("tiles_ecg.encoder.resnet.nn", "is no nn.Module defined there; nothing of it was run"),
        ("tiles_ecg.encoder.resnet.Tensor", "is no nn.Module defined there"),
        ("tiles_ecg.encoder.resnet.Gone", "is no nn.Module defined there"),
        ("tiles_ecg.encoder.encoder_file.read_encoder_file", "is no nn.Module defined there"),
        ("tiles_ecg.encoder.pretrained.PretrainedEncoder", "only points to another file; give that file"),
        (
            "tiles_ecg.encoder.resample.Resample",
            "missing a required argument: 'from_rate'; it takes from_rate, to_rate",
        ),
    ],
)
def test_a_name_that_is_no_encoder_is_refused(target: str, message: str) -> None:
    with pytest.raises(EncoderFileError, match=message):
        build_network({"_target_": target}, "file")


SMALL = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "n_leads": 1,
    "widths": [4],
    "strides": [1],
    "kernel_size": 3,
    "embedding_dim": 8,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 3}, "got an unexpected keyword argument 'depth'; it takes n_leads, widths.* another version"),
        ({"_partial_": True}, "unexpected keyword argument '_partial_'"),
        ({"widths": 3}, r"cannot be built from its arguments \("),
        ({"kernel_size": 4}, r"cannot be built from its arguments \(kernel_size = 4: choose an odd length"),
    ],
)
def test_arguments_that_the_network_does_not_take_are_named(changes: dict[str, Any], message: str) -> None:
    assert isinstance(build_network({**SMALL, "_convert_": "all"}, "file"), nn.Module)
    with pytest.raises(EncoderFileError, match=f"file: .*{message}"):
        build_network({**SMALL, **changes}, "file")


def test_a_config_that_asks_for_other_weights_is_refused_before_memory_is_taken() -> None:
    weights = build_network(SMALL, "file").state_dict()
    before = torch.get_rng_state()
    with pytest.raises(EncoderFileError, match=r"file: its weights are not those of its architecture, ResNet1d \(stem"):
        build_with_weights({**SMALL, "widths": [10**8]}, weights, "file")  # 120 PB of weights in its second convolution
    assert torch.equal(torch.get_rng_state(), before)
    network = build_with_weights(SMALL, weights, "file")
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_trusted_package_may_give_the_network_but_no_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_ecg.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    embedding_dim = 3\n"
        "class Bare(nn.Linear):\n"
        "    pass\n"
        "def load(): raise SystemExit\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    node = {"in_features": 2, "out_features": 3}
    with pytest.raises(
        EncoderFileError, match=r"my_ecg.Net, which is not in tiles_ecg.encoder.*encoder.trusted=\[PACKAGE"
    ):
        build_network({"_target_": "my_ecg.Net", **node}, "file")
    assert "my_ecg" not in sys.modules
    assert type(build_network({"_target_": "my_ecg.Net", **node}, "file", ["my_ecg"])).__name__ == "Net"
    with pytest.raises(EncoderFileError, match=r"no nn.Module defined there"):
        build_network({"_target_": "my_ecg.load"}, "file", ["my_ecg"])
    with pytest.raises(EncoderFileError, match="Bare is no encoder: it has no embedding_dim"):
        build_network({"_target_": "my_ecg.Bare", **node}, "file", ["my_ecg"])
