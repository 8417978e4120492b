"""Raw recordings -> a store, prepared as an encoder needs it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError, register_resolvers
from tiles_ecg.console_overrides import check_command
from tiles_ecg.console_resume import quoted
from tiles_ecg.embedding.inputs import Input
from tiles_ecg.encoder.encoder_file import EncoderFile
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import Reader, Recording, RecordingError, Source
from tiles_ecg.store import Store
from tiles_ecg.store_summary import count_of

_PREPARED = ("sample_rate", "low_hz", "high_hz", "window_s", "min_quality", "max_flat", "max_clipped")
"""What an encoder's description says of its preparation."""


class ChosenSources:
    """Some of the sources of a reader.

    Args:
        reader: Whose they are.
        keys: Those of them.
        where: What they are looked for in, for errors.
    """

    def __init__(self, reader: Reader, keys: Sequence[str], where: str) -> None:
        self.reader, self.keys, self.where = reader, tuple(keys), where
        self.labels = reader.labels

    def sources(self) -> list[Source]:
        """Those chosen.

        Raises:
            RecordingError: If the reader does not list one of them.
        """
        found = {source.key: source for source in self.reader.sources()}
        if missing := [key for key in self.keys if key not in found]:
            raise RecordingError(f"{self.where}: no record {', '.join(missing)}; there are {', '.join([*found][:10])}")
        return [found[key] for key in self.keys]

    def read(self, source: Source) -> Iterator[Recording]:
        """The recordings of a source."""
        return self.reader.read(source)


@dataclass(frozen=True)
class RawInput:
    """Recordings that can be prepared: what is checked of them before any work.

    Attributes:
        reader: Of them.
        preparation: As the encoder needs it.
        config: Both, as `ingest.prepare` keeps it in the store.
        on_error: See `ingest.prepare`.
        n_jobs: See there.
    """

    reader: Reader
    preparation: Preparation
    config: Mapping[str, Any]
    on_error: Any
    n_jobs: int | None


def prepared_for(preprocessing: Mapping[str, Any], window_s: float | None, step_s: float | None) -> list[str]:
    """Overrides that prepare recordings as an encoder needs them.

    Args:
        preprocessing: Of the encoder.
        window_s: Length of a window, s; None for that of the encoder's training.
        step_s: From one window to the next, s; None for the length of a window.
    """
    facts = {key: preprocessing[key] for key in _PREPARED if preprocessing.get(key) is not None}
    if window_s is not None:
        facts["window_s"] = window_s
    facts["step_s"] = step_s if step_s is not None else facts.get("window_s")
    return [f"preparation.{key}={value}" for key, value in facts.items() if value is not None]


def compose_raw(
    given: Input, about: EncoderFile, prepared: Sequence[str], overrides: Sequence[str], strict: bool
) -> RawInput:
    """Compose `conf/prepare.yaml` for an input, check all of it, and list its sources.

    Args:
        given: Raw recordings.
        about: The encoder.
        prepared: Overrides of the preparation.
        overrides: Of the command; they win.
        strict: Whether they may not ask for another band than that of the encoder.

    Raises:
        ConfigError: With every mistake in the config.
        RecordingError: If there is nothing to read.
    """
    register_resolvers()
    own = [f"reader={given.reader}", "store=embedded.h5", *prepared]
    if isinstance(given.root, str):
        own.append(f"reader.root={quoted(given.root)}")
    elif given.root is not None:
        own.append(f"reader.root=[{','.join(map(quoted, given.root))}]")
    if given.reader == "table" and given.root is not None and given.name != given.root:
        own.append(f"reader.manifest={quoted(Path(given.name).name)}")
    if given.names:
        own.append("on_error=raise")  # each was named
    others = [text for text in overrides if not text.startswith("reader=")]
    (cfg,) = check_command("prepare", [*own, *others], is_multirun=False).configs.values()
    for key in ("low_hz", "high_hz"):
        trained, asked = about.preprocessing.get(key), cfg.preparation[key]
        if strict and trained is not None and not math.isclose(trained, asked):
            raise ConfigError(
                f"preparation.{key}={asked:g}: {about.path} was trained with {trained:g}; leave it out, or give "
                "encoder.strict=false to embed such recordings all the same"
            )
    return _built(cfg, given)


def _built(cfg: DictConfig, given: Input) -> RawInput:
    reader: Reader = instantiate(cfg.reader, _convert_="all")
    config: dict[str, Any] = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("reader", "preparation")}
    if given.names and given.reader != "files":
        reader = ChosenSources(reader, list(given.names), given.name)
        config["reader"] = {**config["reader"], "chosen": sorted(given.names)}
    n_jobs = 1 if len(reader.sources()) == 1 else cfg.n_jobs  # processes take seconds to start
    return RawInput(reader, instantiate(cfg.preparation, _convert_="all"), config, cfg.on_error, n_jobs)


def prepare_raw(raw: RawInput, store: Path, show_progress: bool) -> Iterator[str]:
    """Prepare recordings; what was prepared by an earlier call is not prepared again.

    Args:
        raw: They.
        store: The file to be.
        show_progress: Whether there is a bar.

    Yields:
        What was left out, and what to beware of.

    Raises:
        RecordingError: If a recording that was named cannot be read.
        NoWindowError: If no window is left.
    """
    prepare(raw.reader, raw.preparation, store, raw.config, raw.on_error, raw.n_jobs, True, show_progress)
    summary = Store(store).summary
    if dropped := [f"{n:,} {reason}" for reason, n in summary["dropped"].items() if n]:
        yield f"windows left out: {', '.join(dropped)}"
    if summary["failed_sources"]:
        yield f"{count_of(summary['failed_sources'], 'source')} could not be read"
    yield from (note for note in summary["notes"] if not note.endswith("sides of a split"))  # none is made here
