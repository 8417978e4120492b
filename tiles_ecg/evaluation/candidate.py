"""Candidates: the encoders to be judged side by side, and their untrained twins."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.held import HeldWindows
from tiles_ecg.dataset.windows import Normalise, Windows
from tiles_ecg.encoder.encoder_file import EncoderFile, EncoderFileError, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.evaluation.archive import file_stem
from tiles_ecg.evaluation.controls import FROM_SCRATCH, HEART_RATE, MAJORITY, UNTRAINED


@dataclass(frozen=True)
class Candidate:
    """An encoder, ready to embed.

    Attributes:
        name: For tables.
        encoder: (B, C, T) -> (B, D).
        windows: The stores, normalised as it needs.
        architecture: Config of its network, to build an untrained twin from.
        about: Where it comes from; None for one that was not read from a file.
        notes: What was converted on loading.
        is_control: Whether it is there to be judged against.
        seed: Of its first weights, for a control.
        strict: As it was opened with; see `PretrainedEncoder`.
        trusted: Likewise.
    """

    name: str
    encoder: nn.Module
    windows: Windows
    architecture: Mapping[str, Any]
    about: EncoderFile | None = None
    notes: tuple[str, ...] = field(default=())
    is_control: bool = False
    seed: int = 0
    strict: bool = True
    trusted: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Where it comes from, JSON-able."""
        described: dict[str, Any] = {"architecture": dict(self.architecture), "notes": list(self.notes)}
        if self.about is not None:
            described |= {
                "path": str(self.about.path),
                "step": self.about.step,
                "digest": self.about.digest,
                "preprocessing": self.about.preprocessing,
            }
        return described


class Opener:
    """Opens the stores once for each normalisation.

    Args:
        store: A store or a list of them.
        facts: `sample_rate`, `window_s` and `n_leads`, which must be the stores'.
    """

    def __init__(self, store: str | Sequence[str], **facts: Any) -> None:
        self._opened = cache(
            lambda normalise: HeldWindows(store, **facts, normalise=normalise, on_device=False).windows
        )

    def __call__(self, normalise: Normalise) -> Windows:
        """The windows, so normalised."""
        return self._opened(normalise)


def named_paths(encoders: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """Name -> path or config node. A path alone is named after its run folder.

    Raises:
        ConfigError: If two have one name.
    """
    if isinstance(encoders, Mapping):
        return dict(encoders)
    named: dict[str, Any] = {}
    for path in encoders or ():
        name = _name(Path(path))
        if name in named:
            raise ConfigError(
                f"encoders = {list(encoders or ())}: two would be called {name}; name them: encoders={{a:PATH,b:PATH}}"
            )
        named[name] = path
    return named


def all_named(encoders: Sequence[str] | Mapping[str, Any] | None, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> path or config node: the encoder of `encoder=pretrained`, if it is one, and those of `encoders`.

    Raises:
        ConfigError: If two have one name, or one too like another's or a control's to be told apart in file names.
    """
    first = dict.fromkeys(named_paths([plain["path"]]), plain) if plain.get("path") else {}
    others = named_paths(encoders)
    for one, other in combinations([MAJORITY, HEART_RATE, UNTRAINED, FROM_SCRATCH, *first, *others], 2):
        if file_stem(one).lower() == file_stem(other).lower():
            raise ConfigError(
                f"encoders: {other!r} is too like the name of another encoder or control, {one!r}; name them "
                "otherwise: encoders={a:PATH,b:PATH}"
            )
    return {**first, **others}


def _name(path: Path) -> str:
    if path.suffix not in (".ckpt", ".safetensors"):
        return path.resolve().name
    folder = path.resolve().parent
    return f"{folder.parent.name} {path.stem}" if folder.name == "checkpoints" else path.stem


def candidate_of(name: str, what: Any, open_windows: Opener, windows: Windows) -> Candidate:
    """An encoder from a path, from a node with one (and `strict` and `trusted`), or from the config of a network.

    Args:
        name: For tables.
        what: One of these.
        open_windows: Opens the stores.
        windows: They, normalised for an encoder that does not say what it was trained with.

    Raises:
        EncoderFileError: If it cannot be read.
        ConfigError: If it is none of these, or the stores were prepared otherwise than its input must be.
    """
    node = {"path": what} if isinstance(what, str) else what
    if not isinstance(node, Mapping) or not (node.get("path") or node.get("_target_")):
        raise ConfigError(f"encoders.{name} = {what}: give a run folder, a model folder, a .ckpt or a .safetensors")
    if not node.get("path"):
        return plain_candidate(name, node, windows)
    if node.get("fresh"):
        raise ConfigError("encoder.fresh = true: every encoder is judged untrained beside itself; leave fresh out")
    strict, trusted = bool(node.get("strict", True)), tuple(node.get("trusted", ()))
    return read_candidate(name, str(node["path"]), open_windows, windows.normalise, strict, trusted)


def read_candidate(
    name: str,
    path: str,
    open_windows: Opener,
    normalise: Normalise = "subject",
    strict: bool = True,
    trusted: tuple[str, ...] = (),
) -> Candidate:
    """An encoder from a run folder or file, checked against the stores.

    Args:
        name: For tables.
        path: See `read_encoder_file`.
        open_windows: Opens the stores.
        normalise: Of an encoder that does not say what it was trained with.
        strict: See `PretrainedEncoder`.
        trusted: See `PretrainedEncoder`.

    Raises:
        EncoderFileError: If it cannot be read.
        ConfigError: If the stores were prepared otherwise than its input must be.
    """
    about, _ = read_encoder_file(path)
    needed = about.preprocessing.get("normalise", normalise)
    if needed not in get_args(Normalise):
        raise EncoderFileError(f"{about.path}: normalise = {needed} of its input; give an encoder of tiles-train")
    windows = open_windows(needed)
    encoder = PretrainedEncoder(path, windows.shape[0], windows.sample_rate, strict=strict, trusted=trusted)
    notes = tuple(encoder.check(windows))
    return Candidate(name, encoder, windows, about.architecture, about, notes, strict=strict, trusted=trusted)


def plain_candidate(name: str, architecture: Mapping[str, Any], windows: Windows) -> Candidate:
    """An encoder that a config describes by itself."""
    from hydra.utils import instantiate

    return Candidate(name, instantiate(dict(architecture), _convert_="all"), windows, architecture)


def untrained_twins(candidates: Sequence[Candidate], n_seeds: int) -> list[Candidate]:
    """For every architecture among the candidates, the same network with its first weights, some draws of them."""
    twins: list[Candidate] = []
    seen: dict[str, str] = {}
    for candidate in candidates:
        key = json.dumps([candidate.architecture, candidate.windows.normalise], sort_keys=True, default=str)
        if key in seen:
            continue
        seen[key] = UNTRAINED if not seen else f"{UNTRAINED} (as {candidate.name})"
        for seed in range(n_seeds):
            encoder = _untrained(candidate, seed)
            twins.append(
                Candidate(seen[key], encoder, candidate.windows, candidate.architecture, is_control=True, seed=seed)
            )
    return twins


def _untrained(candidate: Candidate, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if candidate.about is None:
            return plain_candidate("", candidate.architecture, candidate.windows).encoder
        windows = candidate.windows
        path, (n_leads, _), trusted = str(candidate.about.path), windows.shape, candidate.trusted
        return PretrainedEncoder(path, n_leads, windows.sample_rate, fresh=True, trusted=trusted)
