"""Encoder files: what a run leaves of its encoder, read without running anything that is in them."""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tiles_ecg.encoder.run_folder import RunFolderError, encoder_in, trained_on

ENCODER_FORMAT = "tiles_ecg encoder"
ENCODER_FORMAT_VERSION = "1"
KINDS = "a run folder, its .ckpt or .safetensors"
_KEYS = ("encoder", "preprocessing", "stores", "step")
_MORE = ("labelled",)
"""Key that a description may lack."""
_ZIP, _HDF5, _PICKLE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80"
_WHERE_IN_OLD = "encoder."
"""Prefix of the encoder's weights in a checkpoint that does not say it."""


class EncoderFileError(Exception):
    """An encoder cannot be loaded. The message names the file, what is wrong, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class EncoderFile:
    """What is known of an encoder that a run left.

    Attributes:
        path: The file that was read, within the run folder if one was given.
        architecture: Config of the network: `_target_` and its arguments.
        preprocessing: Config of the preparation (`sample_rate`, `low_hz`, `high_hz`, `window_s`, ...) with `unit`,
            `n_leads` and `normalise`. A checkpoint of before its format held them lacks the band and the unit.
        stores: Digests of the stores it was trained on, those of earlier runs that it went on from included.
        store_paths: Where the configs of these runs say that they lay; they may be gone, or others by now: compare
            their digests. Empty where no config is at hand.
        step: Of the training.
        digest: Hash of the weights.
        labelled: Those of `stores` whose labels it learned from.
    """

    path: Path
    architecture: dict[str, Any]
    preprocessing: dict[str, Any]
    stores: tuple[str, ...]
    store_paths: tuple[str, ...]
    step: int
    digest: str
    labelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportedEncoder:
    """What is kept of an encoder that wraps another: what its method `exported()` returns to a checkpoint.

    Attributes:
        network: Whose weights are kept, under its own names.
        architecture: Its config.
        sample_rate: Of its input, Hz; None for that of the stores.
        stores: Digests of what it was trained on before this run.
        labelled: Those of them whose labels it learned from.
    """

    network: nn.Module
    architecture: dict[str, Any]
    sample_rate: float | None = None
    stores: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()


def read_encoder_file(path: str | Path) -> tuple[EncoderFile, dict[str, Tensor]]:
    """Read an encoder's description and its weights.

    Checkpoints are read with `weights_only=True`, so that nothing in them can run.

    Args:
        path: A run folder (its `best.safetensors` if the run had a task, and so chose it on validation subjects; else
            its `last.safetensors`), a checkpoint of `tiles-train`, or the `.safetensors` beside it.

    Returns:
        What is known of it, and its weights by name, on the CPU.

    Raises:
        EncoderFileError: If there is no such file, or it is not one that `tiles-train` wrote, whole.
    """
    given = Path(path)
    try:
        file = encoder_in(given) if given.is_dir() else given
        with file.open("rb") as opened:
            head = opened.read(8)
    except RunFolderError as error:
        raise EncoderFileError(str(error)) from error
    except FileNotFoundError:
        raise EncoderFileError(f"{given}: no such file or folder; give {KINDS}") from None
    except OSError as error:
        raise EncoderFileError(f"{given}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise EncoderFileError(f"{file}: empty; give {KINDS}")
    if head == _HDF5:
        raise EncoderFileError(f"{file}: an HDF5 file, such as a store, and no encoder; give {KINDS}")
    about, weights = _from_checkpoint(file) if head.startswith(_ZIP) else _from_safetensors(file, head)
    bad = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise EncoderFileError(f"{file}: its weights {_few(bad)} hold NaN or infinity; its training failed")
    return _described(file, about, weights), weights


def _from_safetensors(file: Path, head: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            _check_format(file, metadata)
            about = {key: json.loads(metadata[key]) for key in _KEYS + _MORE if key in metadata}
            return about, {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if head.startswith(_PICKLE):  # the length that safetensors begin with may look like this too
            reason = "a bare pickle, which runs code when it is opened, so it was not"
            raise EncoderFileError(f"{file}: {reason}; give {KINDS}") from error
        if file.suffix != ".safetensors":
            raise EncoderFileError(f"{file}: neither a checkpoint nor safetensors; give {KINDS}") from error
        raise EncoderFileError(f"{file}: damaged, or no safetensors file ({error}); give {KINDS}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise EncoderFileError(f"{file}: damaged, its description cannot be read ({error})") from error


def _check_format(file: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != ENCODER_FORMAT:
        raise EncoderFileError(f"{file}: safetensors of another program, not of tiles-train; give {KINDS}")
    version = metadata.get("format_version")
    if version != ENCODER_FORMAT_VERSION:
        raise EncoderFileError(
            f"{file}: encoder format version {version}, this package reads version {ENCODER_FORMAT_VERSION}; use the "
            "package version that wrote it, or train again"
        )


def _from_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content = _unpickled(file)
    whole = content if isinstance(content, dict) else {}
    state, config = whole.get("state_dict"), whole.get("config")
    if not isinstance(state, dict) or not isinstance(config, dict):
        found = f"it has {_few(list(map(str, whole)))}" if whole else f"it holds a {type(content).__name__}"
        raise EncoderFileError(f"{file}: a checkpoint of another program, not of tiles-train ({found}); give {KINDS}")
    about = _about_checkpoint(whole, config)
    prefix = str(about["prefix"])
    weights = {
        str(name).removeprefix(prefix): value.clone()
        for name, value in state.items()
        if str(name).startswith(prefix) and isinstance(value, Tensor) and value.layout == torch.strided
    }
    if not weights:
        raise EncoderFileError(f"{file}: a checkpoint without an encoder (no weight's name begins with {prefix!r})")
    return about, weights


def _unpickled(file: Path) -> Any:
    try:
        return torch.load(str(file), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        asked = found[1] if found else "code"
        raise EncoderFileError(
            f"{file}: not a checkpoint of tiles-train: it asks for {asked} to be run, which was not done; give {KINDS}"
        ) from error
    except Exception as error:  # whatever a damaged or foreign archive leads to
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise EncoderFileError(f"{file}: damaged, or no checkpoint ({reason}); give {KINDS}") from error


def _about_checkpoint(content: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the encoder in a checkpoint; what its config tells, in one of before it held one."""
    kept = content.get("encoder")
    if isinstance(kept, dict) and "prefix" in kept:
        return {**kept, "encoder": kept.get("architecture"), "step": content.get("global_step"), "config": config}
    dataset, windows = config.get("dataset"), content.get("EcgDataModule")
    facts = dataset if isinstance(dataset, dict) else {}
    return {
        "encoder": config.get("encoder"),
        "preprocessing": {k: facts[k] for k in ("sample_rate", "window_s", "n_leads", "normalise") if k in facts},
        "stores": windows.get("stores", []) if isinstance(windows, dict) else [],
        "step": content.get("global_step"),
        "prefix": _WHERE_IN_OLD,
        "config": config,
    }


def _described(file: Path, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> EncoderFile:
    """Check the description, whatever it was read from."""
    architecture, preprocessing, stores, step = (about.get(key) for key in _KEYS)
    if not isinstance(architecture, dict) or not isinstance(architecture.get("_target_"), str):
        raise EncoderFileError(f"{file}: does not say what network its weights are of; give {KINDS}")
    if not isinstance(preprocessing, dict):
        raise EncoderFileError(f"{file}: does not say what input its encoder needs; give {KINDS}")
    rate, n_leads = preprocessing.get("sample_rate"), preprocessing.get("n_leads")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < float("inf"):
        raise EncoderFileError(f"{file}: sample_rate = {rate} of its input; it must be a positive number of Hz")
    if not isinstance(n_leads, int) or isinstance(n_leads, bool) or n_leads < 1:
        raise EncoderFileError(f"{file}: n_leads = {n_leads} of its input; it must be a whole number > 0")
    if not isinstance(stores, list) or not isinstance(step, int):
        raise EncoderFileError(f"{file}: does not say what its encoder was trained on, and how long; give {KINDS}")
    labelled = about.get("labelled", [])
    if not isinstance(labelled, list):
        raise EncoderFileError(f"{file}: does not say whose labels its encoder learned from; give {KINDS}")
    paths = trained_on(file, about.get("config"))
    digests, with_labels = (tuple(map(str, listed)) for listed in (stores, labelled))
    return EncoderFile(file, architecture, preprocessing, digests, paths, step, weights_digest(weights), with_labels)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """32 hex digits over names, types, shapes and values."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _few(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
