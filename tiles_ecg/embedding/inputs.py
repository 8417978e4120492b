"""What a command line calls inputs: stores, and raw recordings with the reader that reads them."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tiles_ecg.config import ConfigError, config_directory
from tiles_ecg.reader.signal_file import SUFFIXES

_HDF5 = b"\x89HDF\r\n\x1a\n"
MOST_LOOKED_AT = 10_000
"""Entries of a folder from which its reader is guessed, for an error."""
_OVERRIDE = re.compile(r"[+~]{0,2}[\w.@/]+=")


@dataclass(frozen=True)
class Input:
    """What becomes, or is, one store.

    Attributes:
        name: What it is called in the column `input`.
        store: The store itself; None for raw recordings.
        reader: Option of `conf/reader`, of raw recordings.
        root: What that reader reads; None where the overrides say it.
        names: Of some recordings out of several inputs: what each is called, by the key of its source.
    """

    name: str
    store: Path | None = None
    reader: str = ""
    root: str | list[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def is_override(word: str) -> bool:
    """Whether a word of the command is an override, and no file of that name."""
    return _OVERRIDE.match(word) is not None and not Path(word).exists()


def recognise(words: Sequence[str], overrides: Sequence[str]) -> list[Input]:
    """Tell stores, records, signal files and folders apart.

    Signal files are read together; so are WFDB records of the same folder.

    Args:
        words: Paths, as given.
        overrides: `reader=NAME` among them tells how folders are read.

    Raises:
        ConfigError: If one is not there, cannot be read, or a folder comes without a reader.
    """
    reader = next((text.partition("=")[2] for text in reversed(overrides) if text.startswith("reader=")), "")
    if not words:
        if reader:
            return [Input(reader, reader=reader)]
        raise ConfigError("no input is given; give a store, signal files, or a folder with reader=NAME")
    inputs, problems = [], []
    files: list[str] = []
    records: dict[Path, dict[str, str]] = {}
    for word in dict.fromkeys(words):
        path = Path(word)
        if path.is_dir():
            inputs.append(Input(word, reader=reader, root=word))
            problems += [] if reader else [_which_reader(path)]
        elif path.suffix.lower() in (".h5", ".hdf5") or _is_hdf5(path):
            inputs.append(Input(word, store=path))
        elif not path.is_file():
            problems.append(f"{word}: no such file or folder; give a store, signal files, or a folder with reader=NAME")
        elif path.suffix == ".hea":
            records.setdefault(path.parent, {})[path.stem] = word
        elif reader == "table":
            inputs.append(Input(word, reader="table", root=str(path.parent)))
        elif word.lower().endswith(SUFFIXES):
            files.append(word)
        else:
            problems.append(f"{word}: neither a store nor a signal file ({', '.join(SUFFIXES)}, .hea)")
    if problems:
        raise ConfigError(problems)
    wfdb = reader if reader in _options("tiles_ecg.reader.wfdb.WfdbReader") else "wfdb"
    inputs += [Input(str(folder), None, wfdb, str(folder), names) for folder, names in records.items()]
    if files:
        inputs.append(Input(files[0], None, "files", files, {file: file for file in files}))
    used = {given.reader for given in inputs if given.store is None}
    if reader and used and reader not in used:
        raise ConfigError(
            f"reader={reader}: reads a folder; leave it out for {', '.join([*files, *records_in(records)])}"
        )
    return inputs


def records_in(records: Mapping[Path, Mapping[str, str]]) -> Iterator[str]:
    """The records as they were given."""
    for names in records.values():
        yield from names.values()


def fitting(overrides: Sequence[str], reader: str, readers: Sequence[str]) -> list[str]:
    """Overrides for one of several readers: without the `reader.KEY` that only others of them know.

    Args:
        overrides: Of the command.
        reader: Option of `conf/reader`.
        readers: All that the command uses.
    """
    known = {name: _keys(name) for name in {reader, *readers}}
    return [
        text
        for text in overrides
        if not (key := re.match(r"[+~]{0,2}reader\.(\w+)", text))
        or key[1] in known[reader]
        or not any(key[1] in keys for keys in known.values())
    ]


def _keys(reader: str) -> set[str]:
    file = config_directory() / "reader" / f"{reader}.yaml"
    return set(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else set()


def _options(target: str) -> list[str]:
    """Options of `conf/reader` that build a class."""
    files = (config_directory() / "reader").glob("*.yaml")
    return sorted(file.stem for file in files if f"_target_: {target}\n" in file.read_text(encoding="utf-8"))


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError:
        return False


def _which_reader(folder: Path) -> str:
    names = [path.name.lower() for path in itertools.islice(folder.rglob("*"), MOST_LOOKED_AT)]
    if (folder / "manifest.csv").is_file():
        guess = "its manifest.csv is read by reader=table"
    elif any(name.endswith(".hea") for name in names):
        guess = "its WFDB records are read by reader=wfdb"
    elif any(name.endswith(SUFFIXES) for name in names):
        guess = "its signal files are read by reader=files reader.sample_rate=250"
    else:
        options = sorted(file.stem for file in (config_directory() / "reader").glob("*.yaml"))
        guess = f"choose one of {', '.join(options)}"
    return f"{folder}: a folder; say how to read it: {guess}"
