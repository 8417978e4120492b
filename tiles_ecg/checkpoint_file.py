"""Files of checkpoints: written whole or not at all, and read only if nothing in them has changed."""

import contextlib
import copy
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tiles_ecg.encoder.encoder_file import ENCODER_FORMAT, ENCODER_FORMAT_VERSION

LAST, PREVIOUS, DAMAGED, BEST = "last.ckpt", "previous.ckpt", "damaged.ckpt", "best.ckpt"


class CheckpointError(Exception):
    """A checkpoint cannot be written or read. The message names the file, why, and what can be done."""

    is_user_error = True


class DamagedCheckpointError(CheckpointError):
    """Something in a checkpoint is not as it was written."""


def snapshot(state: Any) -> Any:
    """A copy of a state that training does not change any more, its tensors in memory of the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        copied = copy.copy(state)  # keeps its class, and what a module's state dict says of versions
        for key, value in state.items():
            copied[key] = snapshot(value)
        return copied
    if type(state) in (list, tuple):
        return type(state)(snapshot(value) for value in state)
    return copy.deepcopy(state)


def write_scratch(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, and the encoder of it alone, to the disk beside their final names.

    Args:
        checkpoint: In plain types and tensors; `encoder` in it says which weights are the encoder's, and what of.
        path: The file to be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(path).open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        _sync(file.fileno())
    about = dict(checkpoint["encoder"])
    prefix, architecture = about.pop("prefix"), about.pop("architecture")
    weights = {
        name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)
    }
    metadata = {"encoder": architecture, "step": checkpoint["global_step"], **about}
    write_encoder(_scratch(_encoder_of(path)), weights, metadata)


def put_in_place(path: Path) -> None:
    """Give a written checkpoint and its encoder their names; the former `last.ckpt` becomes `previous.ckpt`.

    The checkpoint comes last: a crash before it leaves the former one, from which the run makes both again.
    """
    os.replace(_scratch(_encoder_of(path)), _encoder_of(path))
    if path.name == LAST and path.exists():
        put_beside(path, path.with_name(PREVIOUS))
    os.replace(_scratch(path), path)
    _sync_folder(path.parent)


def remove_scratch(path: Path) -> None:
    """Remove what was written of a checkpoint that is not to be."""
    for file in (path, _encoder_of(path)):
        with contextlib.suppress(OSError):
            _scratch(file).unlink()


def put_beside(path: Path, other: Path) -> None:
    """Give a file a second name, in place of the file that has it; by a copy where the file system has no links."""
    scratch = _scratch(other)
    scratch.unlink(missing_ok=True)
    try:
        os.link(path, scratch)
    except OSError:
        shutil.copyfile(path, scratch)
    os.replace(scratch, other)
    scratch.unlink(missing_ok=True)  # where both names were of one file already, nothing was renamed


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint after comparing all of it with its checksums.

    Raises:
        DamagedCheckpointError: If it is not as it was written.
        CheckpointError: If it cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
        if changed is not None:
            raise DamagedCheckpointError(f"{path}: damaged ({changed} in it has changed)")
        content = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(content["global_step"], int):
            raise DamagedCheckpointError(f"{path}: damaged (it does not say its step)")
    except CheckpointError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror})") from error
    except Exception as error:  # whatever a damaged archive leads to
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedCheckpointError(f"{path}: damaged ({reason})") from error
    return dict(content)


def save_encoder(path: Path, encoder: torch.nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write an encoder's weights as safetensors, whole or not at all.

    Args:
        path: The file to be.
        encoder: Its state dict is written.
        metadata: JSON-able; each value becomes a JSON text in the file's metadata.
    """
    write_encoder(_scratch(path), snapshot(encoder.state_dict()), metadata)
    os.replace(_scratch(path), path)


def write_encoder(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write an encoder's weights as safetensors where no other program looks yet: a crash may leave a part of it.

    Args:
        path: The file to be.
        weights: By the network's names.
        metadata: See `save_encoder`.
    """
    about = {"format": ENCODER_FORMAT, "format_version": ENCODER_FORMAT_VERSION}
    about |= {key: json.dumps(value) for key, value in metadata.items()}
    # as bytes: safetensors' own writing goes through a private file that a killed run leaves behind
    content = safetensors.torch.save({name: value.contiguous() for name, value in weights.items()}, about)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        _sync(file.fileno())


def _encoder_of(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _scratch(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _sync(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
