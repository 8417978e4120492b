"""Published weights: the two encoders that the authors of WildECG gave away, under this package's names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiles_ecg.encoder.encoder_description import EncoderFileError
from tiles_ecg.encoder.s4 import S4
from tiles_ecg.encoder.wildecg import WildEcgResNet

SOURCE, LICENCE = "klean2050/tiles_ecg_model", "MIT"
FILES = ("wildecg_resnet_simclr.ckpt", "wildecg_s4_transform.ckpt")
VARIABLE = "TILES_ECG_PUBLISHED"
"""Environment variable with the folder of these files, as conf/encoder/wildecg_*.yaml read it."""
PREPROCESSING = {"sample_rate": 100.0, "n_leads": 1, "window_s": 10.0}
"""What is known of their input; their band and normalisation are not."""

RESNET: dict[str, Any] = {
    "n_leads": 1,
    "widths": [16, 16, 32, 32, 64, 64, 128, 128],
    "strides": [1, 2, 1, 2, 1, 2, 1, 2],
    "kernel_size": 3,
}
S4_SIZES: dict[str, Any] = {"n_leads": 1, "width": 128, "n_layers": 6, "n_states": 32, "embedding_dim": 128}
HEAD_SHAPES = {"resnet": {"0.weight": (128, 128), "2.weight": (128, 128)}}
HEAD_SHAPES["s4"] = {"0.weight": (128, 128), "2.weight": (8, 128)}

_RESNET_NAMES = {
    r"first_block_conv\.conv\.": "stem.",
    r"first_block_bn\.": "stem_norm.",
    r"basicblock_list\.(\d+)\.bn([12])\.": r"blocks.\1.norm\2.",
    r"basicblock_list\.(\d+)\.conv([12])\.conv\.": r"blocks.\1.conv\2.",
    r"final_bn\.": "last_norm.",
}
_S4_NAMES = {
    r"encoder\.": "enter.",
    r"decoder\.": "leave.",
    r"norms\.(\d+)\.": r"blocks.\1.norm.",
    r"s4_layers\.(\d+)\.output_linear\.0\.": r"blocks.\1.mix.",
    r"s4_layers\.(\d+)\.D$": r"blocks.\1.space.direct",
    r"s4_layers\.(\d+)\.kernel\.C$": r"blocks.\1.space.kernel.output",
    r"s4_layers\.(\d+)\.kernel\.log_dt$": r"blocks.\1.space.kernel.log_dt",
    r"s4_layers\.(\d+)\.kernel\.log_A_real$": r"blocks.\1.space.kernel.log_decay",
    r"s4_layers\.(\d+)\.kernel\.A_imag$": r"blocks.\1.space.kernel.frequency",
}
_UNUSED = {f"blocks.0.norm1.{part}": (16,) for part in ("weight", "bias", "running_mean", "running_var")}
_UNUSED_SHAPES: dict[str, tuple[int, ...]] = {**_UNUSED, "blocks.0.norm1.num_batches_tracked": ()}
"""In the residual network's file, and never applied: its first block has no norm before its first convolution."""


def is_published(state: Any) -> bool:
    """Whether a checkpoint's `state_dict` looks like one of the two, whole or not."""
    return isinstance(state, Mapping) and _kind(state) is not None


def translate(file: Path, content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description of a published encoder, and its weights under this package's names.

    Args:
        file: For errors.
        content: The checkpoint, whose `state_dict` `is_published`.

    Raises:
        EncoderFileError: If a tensor is missing, or one too many, or of another shape, or if the two copies of the
            encoder in it differ.
    """
    state, step = content["state_dict"], content.get("global_step")
    kind = _kind(state)
    network: nn.Module
    with torch.device("meta"):
        network = WildEcgResNet(**RESNET) if kind == "resnet" else S4(**S4_SIZES)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    unused = _UNUSED_SHAPES if kind == "resnet" else {}
    weights = _renamed(file, state, _RESNET_NAMES if kind == "resnet" else _S4_NAMES)
    _check_shapes(file, weights, expected | unused)
    _check_shapes(file, _part(state, "projector."), HEAD_SHAPES[str(kind)])
    _check_copies(file, state)
    target = "wildecg.WildEcgResNet" if kind == "resnet" else "s4.S4"
    about = {
        "encoder": {"_target_": f"tiles_ecg.encoder.{target}", **(RESNET if kind == "resnet" else S4_SIZES)},
        "preprocessing": dict(PREPROCESSING),
        "stores": [],
        "step": step if isinstance(step, int) else 0,
        "licence": LICENCE,
        "source": SOURCE,
    }
    return about, {name: value.clone() for name, value in weights.items() if name not in unused}


def read_published_head(path: str | Path) -> nn.Sequential:
    """The network that stood on a published encoder while it was trained: two linear layers, ReLU between, no bias.

    Args:
        path: Of one of the two files.

    Returns:
        (B, 128) -> (B, 128) projections of the residual network; (B, 128) -> (B, 8) logits of the S4: none, PR mask,
        QRS mask, permute, scale, time warp, invert, time reverse.

    Raises:
        EncoderFileError: If it cannot be read, or is no such file.
    """
    try:
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a missing, damaged or foreign file leads to
        raise EncoderFileError(f"{path}: cannot be read ({str(error).partition(chr(10))[0]})") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or (kind := _kind(state)) is None:
        raise EncoderFileError(f"{path}: none of the published checkpoints; give {' or '.join(FILES)}")
    weights = _part(state, "projector.")
    _check_shapes(Path(path), weights, HEAD_SHAPES[kind])
    (n_hidden, n_in), (n_out, _) = HEAD_SHAPES[kind].values()
    head = nn.Sequential(nn.Linear(n_in, n_hidden, bias=False), nn.ReLU(), nn.Linear(n_hidden, n_out, bias=False))
    head.load_state_dict(weights)
    return head.eval()


def where_to_get(path: Path) -> str | None:
    """What to do where a published file is not; None for a path of another name."""
    if path.name not in FILES:
        return None
    return f"set {VARIABLE} to the folder of {' and '.join(FILES)} (from {SOURCE}), or give its path as encoder.path"


def _kind(state: Mapping[str, Any]) -> str | None:
    names = [str(name) for name in state]
    if any(name.startswith("encoder.basicblock_list.") for name in names):
        return "resnet"
    return "s4" if any(name.startswith("encoder.s4_layers.") for name in names) else None


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {str(name).removeprefix(prefix): value for name, value in state.items() if str(name).startswith(prefix)}


def _renamed(file: Path, state: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Tensor]:
    found = {}
    for name, value in _part(state, "encoder.").items():
        matches = [re.sub(f"^{theirs}", ours, name) for theirs, ours in names.items() if re.match(theirs, name)]
        if not matches:
            raise _changed(file, f"encoder.{name}, which they do not have")
        found[matches[0]] = value
    return found


def _check_shapes(file: Path, weights: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    problems = [f"no {name}" for name in expected if name not in weights]
    problems += [f"{name}, which they do not have" for name in weights if name not in expected]
    problems += [
        f"{name} of shape {tuple(getattr(weights[name], 'shape', ()))}, not {shape}"
        for name, shape in expected.items()
        if name in weights and not (isinstance(weights[name], Tensor) and tuple(weights[name].shape) == shape)
    ]
    if problems:
        raise _changed(file, "; ".join(problems[:3]))


def _check_copies(file: Path, state: Mapping[str, Any]) -> None:
    """The files hold everything twice; a name that is in neither copy is one too many."""
    for first, second in (("encoder.", "model.0."), ("projector.", "model.1.")):
        one, other = _part(state, first), _part(state, second)
        if one.keys() != other.keys() or any(not torch.equal(one[name], other[name]) for name in one):
            raise _changed(file, f"{first}* and {second}*, which are the same in them, differ")
    copies = ("encoder.", "projector.", "model.0.", "model.1.")
    for name in state:
        if not str(name).startswith(copies):
            raise _changed(file, f"{name}, which they do not have")


def _changed(file: Path, problem: str) -> EncoderFileError:
    return EncoderFileError(
        f"{file}: like a published checkpoint of {SOURCE}, but not the same ({problem}); take the original file"
    )
