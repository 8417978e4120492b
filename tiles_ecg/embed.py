"""tiles-embed: a model and ECG, as stores or raw recordings -> a file of embeddings."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tiles_ecg.plain_console import Parser, failures_told

STRICT = {"encoder.strict=true": True, "encoder.strict=false": False}


def main(argv: Sequence[str] | None = None) -> None:
    """Console entry point.

    Args:
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption.
    """
    arguments = _arguments(argv)
    interrupted = f"interrupted; the same command goes on from here ({arguments.output}.parts)"
    with failures_told("tiles-embed", interrupted):
        line = _embed(arguments)
    print(line, flush=True)


def _embed(arguments: argparse.Namespace) -> str:
    from tiles_ecg.embedding.inputs import is_override
    from tiles_ecg.embedding.settings import Settings
    from tiles_ecg.embedding.whole import embed_all

    words = [word for word in arguments.inputs if not is_override(word)]
    overrides = [word for word in arguments.inputs if is_override(word)]
    strict = [STRICT[word] for word in overrides if word in STRICT]
    settings = Settings(
        overrides=[word for word in overrides if word not in STRICT],
        window_s=arguments.window_s,
        step_s=arguments.step_s,
        strict=strict[-1] if strict else True,
        trusted=arguments.trusted,
        device=arguments.device,
        n_threads=arguments.threads,
        overwrite=arguments.overwrite,
        show_progress=not arguments.quiet,
    )
    return embed_all(arguments.model, words, arguments.output, settings, _tell)


def _tell(note: str) -> None:
    print(f"tiles-embed: {note}", file=sys.stderr, flush=True)


DESCRIPTION = """\
tiles-embed: a model and ECG -> a file with an embedding for every window.

MODEL: a run folder of tiles-train, its .ckpt or .safetensors, a model folder, or the name of a shipped model.
INPUT: stores of tiles-prepare; signal files (.csv .txt .npy .npz .mat .edf .bdf, and .hea of WFDB); folders, with
reader=NAME. Recordings are resampled, filtered, cut and normalised as the model needs it; windows that cannot be used
(missing values, flat, clipped) are left out and counted.
OVERRIDES: settings of the reader and the preparation, KEY=VALUE as for tiles-prepare."""
EPILOG = """\
Common commands
  tiles-embed outputs/my-run cinc2017.h5 -o embeddings.h5                  a store
  tiles-embed MODEL night.csv -o night.parquet reader.sample_rate=250      a signal file
  tiles-embed MODEL a.edf b.edf -o ab.npz reader.signal=ECG                several; one of their signals or columns
  tiles-embed MODEL mitdb/100.hea store.h5 -o both.csv                     a WFDB record and a store
  tiles-embed MODEL mitdb -o mitdb.h5 reader=mitdb                         a folder, by any reader
  tiles-embed MODEL folder -o e.h5 reader=files 'reader.pattern="**/*.csv"' reader.sample_rate=250
  tiles-embed MODEL day.edf -o day.h5 --window-s 10 --step-s 5             other windows, that overlap
  tiles-embed MODEL wide-band.h5 -o e.h5 encoder.strict=false              a store of another pass band, all the same

Columns: embedding (in CSV and Parquet embedding_0, ...), input, recording, subject, start_s (from the start of the
recording), wall_time_s (since 1970, UTC; NaN or empty where unknown), quality (0 to 1).
HDF5: h5py.File(FILE)["embedding"][:], file["subject"].asstr()[:], and the model in file.attrs; NPZ: numpy.load(FILE).

FILE is complete or absent. What is done so far lies in FILE.parts: the same command goes on there.

Exit status: 0 done; 1 it failed; 2 a mistake in the command or the files; 130 interrupted."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    usage = "tiles-embed MODEL INPUT... -o FILE [OPTIONS] [OVERRIDES]"
    parser = Parser("tiles-embed", DESCRIPTION, EPILOG, usage)
    parser.add_argument("model", metavar="MODEL", help="the encoder")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="stores, signal files, folders; and KEY=VALUE")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=".h5, .hdf5, .npz, .csv or .parquet"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    parser.add_argument(
        "--window-s", type=_seconds, metavar="S", help="length of a window of recordings (default: as in training)"
    )
    parser.add_argument(
        "--step-s", type=_seconds, metavar="S", help="from one window to the next (default: the window's length)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU if there is one")
    parser.add_argument("--threads", type=_count, metavar="N", help="batches at once (default: one a core)")
    parser.add_argument(
        "--trusted", action="append", default=[], metavar="PACKAGE", help="whose encoders may be built, besides our own"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser.parse_intermixed_args(argv)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give a positive number of seconds")
    return number


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")
    return number


if __name__ == "__main__":
    main()
