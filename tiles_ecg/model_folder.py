"""Model folders: an encoder and all that its use needs, laid out as on the Hugging Face hub."""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tiles_ecg.encoder.encoder_description import EncoderFile, EncoderFileError, weights_digest
from tiles_ecg.fingerprint import kept

MODEL_FORMAT = "tiles_ecg model"
MODEL_FORMAT_VERSION = "1"
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_PARTS = {CONFIG, WEIGHTS, CARD}
_RENAMED = {"encoder": "architecture", "preprocessing": "preprocessing"}
"""Keys of an encoder's description that have a name of their own in `config.json`; the rest is in `training`."""
_TRAINING = ("stores", "labelled", "sources", "labelled_sources", "protocol", "step")
_TEXTS = ("name", "licence", "source")


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is meant to be one: it has the description or the weights of a model, and is no run."""
    return any((folder / part).is_file() for part in (CONFIG, WEIGHTS)) and not (folder / "checkpoints").is_dir()


def write_model(
    folder: str | Path, about: EncoderFile, weights: Mapping[str, Tensor], card: str, overwrite: bool = False
) -> Path:
    """Write a model folder: `model.safetensors`, `config.json` and `README.md`. It is complete or absent.

    Args:
        folder: To be; the folders above it are made.
        about: What is known of the encoder. Its `path`, `store_paths` and `digest` are not written: the paths are of
            this machine, the digest is that of `weights`.
        weights: By the network's names.
        card: The model card, Markdown with a header of YAML; see `tiles_ecg.model_card.model_card`.
        overwrite: Whether a model folder that is there is replaced.

    Returns:
        The folder.

    Raises:
        EncoderFileError: If it is there and is not to be replaced, or cannot be written.
    """
    folder = Path(folder)
    check_free(folder, overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            made = Path(scratch) / "new"
            made.mkdir()
            _write_parts(made, about, weights, card)
            _put_in_place(made, folder, Path(scratch) / "old")
    except OSError as error:
        raise EncoderFileError(f"{folder}: cannot be written ({error.strerror or error}); see to the folder") from error
    return folder


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model folder says of its encoder, by the keys of an encoder's description, and the weights.

    Raises:
        EncoderFileError: If a part is missing, damaged, of another program or version, or not of the other.
    """
    config = _read_config(folder)
    file = folder / WEIGHTS
    try:
        weights = dict(load_file(file))
    except FileNotFoundError:
        raise EncoderFileError(f"{folder}: no {WEIGHTS} beside {CONFIG}; copy or download the whole folder") from None
    except (SafetensorError, OSError) as error:
        raise EncoderFileError(
            f"{file}: damaged, or no safetensors file ({error}); copy or download it again"
        ) from error
    expected = config.get("weights_digest")
    if weights_digest(weights) != expected:
        raise EncoderFileError(
            f"{file}: not the weights that {CONFIG} describes (digest {weights_digest(weights)}, not {expected}); copy "
            "or download the whole folder again"
        )
    training = config.get("training")
    if not isinstance(training, dict):
        raise EncoderFileError(f"{folder / CONFIG}: training = {training}; it must say stores, labelled and step")
    about = {ours: config.get(theirs) for ours, theirs in _RENAMED.items()}
    about |= {key: training[key] for key in _TRAINING if key in training}
    return about | {key: config[key] for key in _TEXTS if key in config}, weights


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderFileError(f"{folder}: no {CONFIG} beside {WEIGHTS}; copy or download the whole folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderFileError(f"{file}: damaged, no JSON ({error}); copy or download it again") from error
    if not isinstance(config, dict) or config.get("format") != MODEL_FORMAT:
        raise EncoderFileError(
            f"{file}: describes a model of another program, not of tiles_ecg; give a folder that tiles-import wrote"
        )
    version = config.get("format_version")
    if version != MODEL_FORMAT_VERSION:
        raise EncoderFileError(
            f"{file}: model format version {version}, this package reads version {MODEL_FORMAT_VERSION}; use the "
            f"package version that wrote it ({config.get('package_version', 'unknown')}), or a later one"
        )
    return config


def check_free(folder: Path, overwrite: bool) -> None:
    """Whether a model folder can be written there.

    Raises:
        EncoderFileError: If something is there that is not to be replaced.
    """
    if not (folder.exists() or folder.is_symlink()):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise EncoderFileError(f"{folder}: is there and no folder; choose another name")
    inside = {path.name for path in folder.iterdir()}
    others = sorted(inside - _PARTS)
    if others:
        raise EncoderFileError(
            f"{folder}: is there, and holds what is no part of a model ({', '.join(others[:5])}); choose another folder"
        )
    if inside and not overwrite:
        raise EncoderFileError(f"{folder}: is there; choose another folder, or replace it by --overwrite")


def _put_in_place(made: Path, folder: Path, former: Path) -> None:
    is_there = folder.exists()
    if is_there:
        os.rename(folder, former)
    try:
        os.rename(made, folder)
    except OSError:
        if is_there:
            os.rename(former, folder)
        raise


def _write_parts(folder: Path, about: EncoderFile, weights: Mapping[str, Tensor], card: str) -> None:
    from tiles_ecg.checkpoint_file import write_encoder

    training: dict[str, Any] = {"stores": list(about.stores), "labelled": list(about.labelled)}
    training |= {"sources": kept(about.sources), "labelled_sources": kept(about.labelled_sources)}
    training |= {"protocol": about.protocol, "step": about.step}
    texts = {"name": about.name, "licence": about.licence, "source": about.source}
    facts = {"architecture": about.architecture, "preprocessing": about.preprocessing}
    config = {
        "format": MODEL_FORMAT,
        "format_version": MODEL_FORMAT_VERSION,
        "package_version": _version(),
        **texts,
        **facts,
        "training": training,
        "weights_digest": weights_digest(weights),
    }
    # the weights say by themselves what they are, so that they can be used alone as well
    write_encoder(folder / WEIGHTS, weights, {"encoder": about.architecture, **facts, **training, **texts})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    for part in _PARTS:
        with (folder / part).open("rb") as file, contextlib.suppress(OSError):  # some file systems cannot
            os.fsync(file.fileno())


def _version() -> str:
    try:
        return metadata.version("tiles_ecg")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"
