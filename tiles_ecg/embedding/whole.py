"""Model and inputs -> one file of embeddings: complete or absent, and gone on with after whatever ended it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from tqdm import tqdm

from tiles_ecg.assembly import package_version
from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.embedding.columns import Columns, columns_of
from tiles_ecg.embedding.formats import FORMATS
from tiles_ecg.embedding.inputs import Input, fitting, recognise
from tiles_ecg.embedding.network import AT_ONCE, embed_windows
from tiles_ecg.embedding.parts import empty, kept_if_begun, open_parts, scratch_store
from tiles_ecg.embedding.raw import RawInput, compose_raw, prepare_raw, prepared_for
from tiles_ecg.embedding.rows import RowFile
from tiles_ecg.embedding.settings import EmbeddingError, Settings, check_output
from tiles_ecg.encoder.encoder_file import EncoderFile, read_encoder_file
from tiles_ecg.encoder.pretrained import PretrainedEncoder
from tiles_ecg.folder_lock import alone_in
from tiles_ecg.source_part import disk_full_explained
from tiles_ecg.store import NoWindowError, Store
from tiles_ecg.store_summary import count_of


def embed_all(model: str, words: Sequence[str], output: Path, settings: Settings, tell: Callable[[str], None]) -> str:
    """Embed stores and raw recordings.

    Args:
        model: Whatever `read_encoder_file` reads.
        words: Inputs; see `inputs.recognise`.
        output: The file to be; its suffix tells the format.
        settings: How.
        tell: Is given notes, a line each.

    Returns:
        A line on what was made.

    Raises:
        ConfigError: If the inputs, the options or the file to be have a mistake, or a store does not fit the encoder.
        EncoderFileError: If the model cannot be read.
        RecordingError: If raw recordings cannot be read.
        StoreError: If a store cannot be read, nothing is left of an input, or the disk is full.
        EmbeddingError: If an embedding is not finite.
    """
    began = time.monotonic()
    check_output(output, settings.overwrite)
    device = _device(settings.device)
    about, _ = read_encoder_file(model)
    inputs = recognise(words, settings.overrides)
    raws = _raws(inputs, about, settings)
    for given in inputs:  # what is there is checked before recordings are prepared for hours
        if given.store is not None:
            _encoder(model, about, given.store, settings, torch.device("cpu"))
    parts = output.with_name(f"{output.name}.parts")
    plan = {
        "model": about.digest,
        "needs": [about.architecture, about.preprocessing],
        "inputs": [asdict(given) for given in inputs],
        "raw": [raw.config for raw in raws if raw is not None],
        "batch": [device.type, AT_ONCE[device.type]],
        "package_version": package_version(),
    }
    open_parts(parts, plan, tell, output)
    with alone_in(parts, "-o"), kept_if_begun(parts), disk_full_explained(output):
        stores = list(_stores(inputs, raws, parts, settings.show_progress, tell))
        columns = columns_of(inputs, stores)
        rows = _embedded(model, about, stores, parts, settings, device, tell)
        scratch = parts / f"written{output.suffix}"
        FORMATS[output.suffix.lower()](scratch, rows, columns, _about(about, words))
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(scratch, output)
        empty(parts)
    return _summary(output, rows, columns, time.monotonic() - began)


def _device(wanted: str | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ConfigError("--device cuda: no GPU that this torch can use; leave it out, or give --device cpu")
    return torch.device(wanted or ("cuda" if has_gpu else "cpu"))


def _raws(inputs: Sequence[Input], about: EncoderFile, settings: Settings) -> list[RawInput | None]:
    """Those that are recordings, composed and checked; None for a store."""
    readers = [given.reader for given in inputs if given.store is None]
    wishes = {"--window-s": settings.window_s, "--step-s": settings.step_s}
    if not readers and (named := [name for name, value in wishes.items() if value is not None]):
        raise ConfigError(f"{named[0]}: is for raw recordings; the windows of a store are as they were prepared")
    if not readers and settings.overrides:
        raise ConfigError(f"{settings.overrides[0]}: is for raw recordings, and all inputs are stores; leave it out")
    prepared = prepared_for(about.preprocessing, settings.window_s, settings.step_s)
    return [
        None
        if given.store is not None
        else compose_raw(given, about, prepared, fitting(settings.overrides, given.reader, readers), settings.strict)
        for given in inputs
    ]


def _stores(
    inputs: Sequence[Input],
    raws: Sequence[RawInput | None],
    parts: Path,
    show_progress: bool,
    tell: Callable[[str], None],
) -> Iterator[Store]:
    for given, raw in zip(inputs, raws, strict=True):
        if raw is None:
            assert given.store is not None
            yield Store(given.store)
        else:
            store = scratch_store(parts, raw.config)
            try:
                for note in prepare_raw(raw, store, show_progress):
                    tell(f"{given.name}: {note}")
            except NoWindowError as error:  # what it names is a scratch store
                raise ConfigError(f"{given.name}: {error.reason}") from error
            yield Store(store)


def _encoder(
    model: str, about: EncoderFile, store: Path, settings: Settings, device: torch.device
) -> tuple[PretrainedEncoder, Windows, list[str]]:
    """The encoder for the windows of a store, those windows, and notes on how they fit."""
    windows = Windows([store], about.preprocessing.get("normalise", "subject"))
    n_leads, found = about.preprocessing["n_leads"], windows.shape[0]
    if found != n_leads:
        raise ConfigError(
            f"{store}: {count_of(found, 'lead')}, but {about.path} was trained on {n_leads}; choose as many where the "
            "recordings are read (reader.leads of WFDB records, reader.signal of signal files)"
        )
    encoder = PretrainedEncoder(
        model, n_leads, windows.sample_rate, strict=settings.strict, trusted=tuple(settings.trusted)
    )
    notes = encoder.check(windows)
    return encoder.to(device).eval(), windows, notes


def _embedded(
    model: str,
    about: EncoderFile,
    stores: Sequence[Store],
    parts: Path,
    settings: Settings,
    device: torch.device,
    tell: Callable[[str], None],
) -> RowFile:
    """All rows; those of an earlier call are not embedded again."""
    fitted = [_encoder(model, about, store.path, settings, device) for store in stores]
    for note in dict.fromkeys(note for _, _, notes in fitted for note in notes):
        tell(note)
    total = sum(map(len, stores))
    n_threads = settings.n_threads or joblib.cpu_count()
    rows = RowFile(parts, fitted[0][0].embedding_dim, [store.digest for store in stores])
    if rows.n_rows:
        tell(f"going on: {rows.n_rows:,} of {count_of(total, 'window')} are embedded")
    bar = tqdm(
        total=total,
        desc="embedding",
        unit=" windows",
        initial=rows.n_rows,
        mininterval=0.5,
        disable=not settings.show_progress,
    )
    with rows, bar:
        end = 0
        for encoder, windows, _ in fitted:
            begin, end = end, end + len(windows)
            for block in embed_windows(encoder, windows, max(rows.n_rows - begin, 0), device, n_threads):
                if not np.isfinite(block).all():
                    raise EmbeddingError(
                        f"{windows.stores[0].path}: an embedding of windows {rows.n_rows - begin} to "
                        f"{rows.n_rows - begin + len(block) - 1} is NaN or infinite; {about.path} cannot take them"
                    )
                rows.append(block)
                bar.update(len(block))
    return rows


def _about(about: EncoderFile, words: Sequence[str]) -> dict[str, Any]:
    return {
        "format": "tiles_ecg embeddings",
        "model": str(about.path),
        "model_digest": about.digest,
        "model_step": about.step,
        "architecture": about.architecture,
        "preprocessing": about.preprocessing,
        "inputs": list(words),
        "package_version": package_version(),
    }


def _summary(output: Path, rows: RowFile, columns: Columns, seconds: float) -> str:
    people = "1 person" if columns.n_subjects == 1 else f"{columns.n_subjects:,} people"
    recordings = count_of(columns.n_recordings, "recording")
    return f"{count_of(rows.n_rows, 'row')} of {rows.width}, {people}, {recordings}, {seconds:.1f} s: {output}"
