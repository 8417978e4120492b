"""What must hold between the values of a config, and for values of others that state no range of their own."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Strict

from tiles_ecg.config_types import PositiveShare, ShareBelowOne

Values = Mapping[str, Any]
"""Resolved values by dotted key; plain numbers, texts, lists and mappings."""

_RANGES: dict[str, Any] = {  # keys of the root, and ends of the keys of torch and lightning
    "seed": NonNegativeInt,
    "resume": bool | str,
    "store": str,
    "on_error": Literal["skip", "raise"],
    "n_jobs": PositiveInt | None,
    "overwrite": bool,
    "dataset.store": str | list[str] | None,
    "encoders": list[str] | dict[str, Any] | None,
    "controls.untrained_seeds": NonNegativeInt,
    "controls.scratch_steps": NonNegativeInt,
    "label_efficiency.subjects": Literal["auto"] | list[PositiveInt],
    "label_efficiency.draws": PositiveInt,
    "audit.accept": list[Literal["pretraining", "labels", "duplicates", "overlap", "subjects"]],
    "audit.pretraining": list[str],
    "report": bool,
    "trainer.accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"],
    "trainer.devices": PositiveInt | list[NonNegativeInt] | Literal["auto", -1],
    "trainer.num_nodes": PositiveInt,
    "trainer.max_steps": PositiveInt,
    "trainer.precision": Literal["32-true", "bf16-mixed", "16-mixed"],  # the signals are float32
    "trainer.max_epochs": PositiveInt | Literal[-1] | None,
    "trainer.val_check_interval": PositiveInt | PositiveShare | None,
    "trainer.log_every_n_steps": PositiveInt,
    "trainer.accumulate_grad_batches": PositiveInt,
    "trainer.gradient_clip_val": PositiveFloat | None,
    "optimizer.lr": PositiveFloat,
    "optimizer.weight_decay": NonNegativeFloat,
    "optimizer.momentum": ShareBelowOne,
    "optimizer.eps": NonNegativeFloat,
    "optimizer.betas": Annotated[tuple[ShareBelowOne, ShareBelowOne], Strict(False)],
    "scheduler.factor": PositiveShare,
    "scheduler.total_iters": NonNegativeInt,
}


def expected_at(key: str) -> Any:
    """The type that a value at that dotted key must have, whatever its component says; None where none is known."""
    if "." not in key:
        return _RANGES.get(key)
    return next((expected for end, expected in _RANGES.items() if "." in end and f".{key}".endswith(f".{end}")), None)


def relations(values: Values) -> Iterator[tuple[str, str]]:
    """Every relation that does not hold, as its key and the line to print."""
    yield from _crops(values)
    yield from _left_out(values)
    yield from _told(values)
    yield from _blocks(values)
    yield from _batch(values)
    yield from _stores(values)
    yield from _preparation(values)
    yield from _resume(values)
    yield from _task(values)


def _number(values: Values, key: str) -> float | None:
    """The value if it is a number; a wrong type was told of already."""
    value = values.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _crops(values: Values) -> Iterator[tuple[str, str]]:
    window_s = _number(values, "dataset.window_s")
    for key in values:
        if window_s is not None and key.startswith("augmentation.") and key.endswith(".crop_s"):
            crop_s = _number(values, key)
            if crop_s is not None and crop_s > window_s:
                line = f"{key} = {crop_s}: longer than dataset.window_s = {window_s} s; choose at most {window_s} s"
                yield key, line


def _left_out(values: Values) -> Iterator[tuple[str, str]]:
    for key, names in values.items():
        owner, _, last = key.rpartition(".")
        is_chain = str(values.get(f"{owner}._target_", "")).endswith(".Chain")
        if last != "leave_out" or not is_chain or not isinstance(names, list):
            continue
        for name in [name for name in names if name not in _steps(values, owner)]:
            yield key, f"{key} = {names}: {_no_step(name, _steps(values, owner))}"


def _told(values: Values) -> Iterator[tuple[str, str]]:
    key = "objective.transforms"
    names = values.get(key)
    if not isinstance(names, list):
        return
    steps = _steps(values, "augmentation")
    for name in dict.fromkeys(map(str, names)):
        if name not in steps:
            yield key, f"{key} = {names}: {_no_step(name, steps)}"
        if names.count(name) > 1:
            yield key, f"{key} = {names}: {name} is named twice; name each step once"


def _steps(values: Values, chain: str) -> list[str]:
    """Names of the steps of the chain at a dotted key."""
    start = f"{chain}.steps."
    return list(dict.fromkeys(key.removeprefix(start).split(".")[0] for key in values if key.startswith(start)))


def _no_step(name: Any, steps: list[str]) -> str:
    near = get_close_matches(str(name), steps, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no step {name}; there are {', '.join(steps) or 'none'}{guess}"


def _blocks(values: Values) -> Iterator[tuple[str, str]]:
    for key, widths in values.items():
        owner, _, name = key.rpartition(".")
        strides = values.get(f"{owner}.strides")
        if name == "widths" and isinstance(widths, list) and isinstance(strides, list) and len(widths) != len(strides):
            there = f"{len(widths)} blocks, but {owner}.strides = {strides} has {len(strides)}"
            yield key, f"{key} = {widths}: {there}; give one of each for every block"


def _batch(values: Values) -> Iterator[tuple[str, str]]:
    key = "dataset.batch_size"
    size = _number(values, key)
    if size is None or size < 1 or size != int(size):
        return
    if str(values.get("objective._target_", "")).endswith((".SimCLR", ".SimCLRRhythm")) and size < 2:
        yield key, f"{key} = {size}: SimCLR needs the other windows of a batch as negatives; choose at least 2"
    devices = values.get("trainer.devices")
    n_devices = len(devices) if isinstance(devices, list) else _number(values, "trainer.devices") or 1
    n = max(1, int(n_devices)) * max(1, int(_number(values, "trainer.num_nodes") or 1))
    if size % n:
        lower, upper = int(size // n) * n, int(size // n + 1) * n
        choices = f"{lower} or {upper}" if lower else f"{upper}"
        yield key, f"{key} = {size}: cannot be dealt out evenly to {n} devices (trainer.devices); choose {choices}"


def _stores(values: Values) -> Iterator[tuple[str, str]]:
    key = "dataset.store"
    stores = values.get(key)
    given: set[str] = set()
    for store in stores if isinstance(stores, list) else [stores]:
        if not isinstance(store, str):
            continue
        if not os.path.isfile(store):
            yield key, f"{key} = {store}: {_absence(store)}"
        elif os.path.realpath(store) in given:
            yield key, f"{key} = {store}: given twice; its windows would be negatives of themselves; give it once"
        given.add(os.path.realpath(store))


def _absence(store: str) -> str:
    """What is wrong with a path that is no file, and which file may be meant."""
    if os.path.isdir(store):
        inside = _files(Path(store))
        return f"a folder; name the file, such as {inside[0]}" if inside else "a folder, and no .h5 file is in it"
    if store.startswith("~") and os.path.isfile(os.path.expanduser(store)):
        return f"the shell left the ~ as it is; write {os.path.expanduser(store)}"
    folder = Path(store).parent
    if not folder.is_dir():
        return f"there is no folder {folder}; tiles-prepare store={store} would write it"
    files = _files(folder)
    near = get_close_matches(store, files, n=1)
    if near:
        return f"no such file; tiles-prepare writes stores (did you mean {near[0]}?)"
    listed = f", in its folder are {', '.join(files[:5])}" if files else ""
    return f"no such file{listed}; tiles-prepare store={store} would write it"


def _files(folder: Path) -> list[str]:
    try:
        return sorted(str(folder / entry.name) for entry in folder.iterdir() if entry.suffix in {".h5", ".hdf5"})
    except OSError:
        return []


def _preparation(values: Values) -> Iterator[tuple[str, str]]:
    low, high = (_number(values, f"preparation.{name}") for name in ("low_hz", "high_hz"))
    rate = _number(values, "preparation.sample_rate")
    if high is not None and rate is not None and high >= rate / 2:
        nyquist = "half of preparation.sample_rate"
        key = "preparation.high_hz"
        yield key, f"{key} = {high}: not below {nyquist} = {rate / 2:g} Hz; choose less, or a higher sample rate"
    if low is not None and high is not None and low >= high:
        key = "preparation.low_hz"
        yield key, f"{key} = {low}: not below preparation.high_hz = {high} Hz; the pass band would be empty"


def _resume(values: Values) -> Iterator[tuple[str, str]]:
    resume = values.get("resume")
    if isinstance(resume, str) and not os.path.isdir(resume):
        yield "resume", f"resume = {resume}: no such folder; give true, or the path of a run folder below outputs/"


def _task(values: Values) -> Iterator[tuple[str, str]]:
    from tiles_ecg.config import config_directory  # which imports this file

    if str(values.get("dataset._target_", "")).endswith(".TaskDataModule") and values.get("dataset.task", "") is None:
        options = sorted(file.stem for file in (config_directory() / "task").glob("*.yaml"))
        line = f"task = null: fine-tuning needs to know what is predicted; give task=NAME, one of {', '.join(options)}"
        yield "dataset.task", line
