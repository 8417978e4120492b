"""Descriptions of encoders: what is known of one, whatever file it was read from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiles_ecg.encoder.run_folder import trained_on

KINDS = "a run folder, its .ckpt or .safetensors, or a model folder"
REQUIRED = ("encoder", "preprocessing", "stores", "step")
OPTIONAL = ("labelled", "sources", "labelled_sources", "protocol", "licence", "name", "source")
"""Keys of a description; those that it may lack."""
_TEXTS = OPTIONAL[1:]  # all but `labelled`, which is a list


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
        sources: Fingerprints of the files that the stores were made from; see `tiles_ecg.fingerprint`. Empty where they
            are not known.
        labelled_sources: Those whose labels it learned from.
        protocol: Hash of the protocol by whose folds it was trained; empty where it learned without labels.
        licence: Of the weights, as SPDX spells it; empty where nobody said.
        name: What its makers call it, or empty.
        source: Where weights that this package did not train come from, or empty.
    """

    path: Path
    architecture: dict[str, Any]
    preprocessing: dict[str, Any]
    stores: tuple[str, ...]
    store_paths: tuple[str, ...]
    step: int
    digest: str
    labelled: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()
    labelled_sources: frozenset[str] = frozenset()
    protocol: str = ""
    licence: str = ""
    name: str = ""
    source: str = ""


@dataclass(frozen=True)
class ExportedEncoder:
    """What is kept of an encoder that wraps another: what its method `exported()` returns to a checkpoint.

    Attributes:
        network: Whose weights are kept, under its own names.
        architecture: Its config.
        sample_rate: Of its input, Hz; None for that of the stores.
        stores: Digests of what it was trained on before this run.
        labelled: Those of them whose labels it learned from.
        sources: Fingerprints of the files that those stores were made from.
        labelled_sources: Those whose labels it learned from.
        source: Where weights that this package did not train came from, with their licence; or empty.
    """

    network: nn.Module
    architecture: dict[str, Any]
    sample_rate: float | None = None
    stores: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()
    labelled_sources: frozenset[str] = frozenset()
    source: str = ""


def described(file: Path, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> EncoderFile:
    """Check a description, whatever it was read from.

    Args:
        file: For errors, and `EncoderFile.path`.
        about: By key of REQUIRED and OPTIONAL; and `config`, of its run, where that is known.
        weights: Of the encoder.

    Raises:
        EncoderFileError: If something is missing or not of its type.
    """
    architecture, preprocessing, stores, step = (about.get(key) for key in REQUIRED)
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
    texts = {key: about.get(key, "") for key in _TEXTS}
    odd = [key for key, text in texts.items() if not isinstance(text, str)]
    if odd:
        raise EncoderFileError(f"{file}: {odd[0]} = {texts[odd[0]]} in its description; it must be a text")
    digest = weights_digest(weights)
    sources, with_labels_of = (frozenset(texts.pop(key).split()) for key in ("sources", "labelled_sources"))
    return EncoderFile(
        file, architecture, preprocessing, digests, paths, step, digest, with_labels, sources, with_labels_of, **texts
    )


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """32 hex digits over names, types, shapes and values."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
