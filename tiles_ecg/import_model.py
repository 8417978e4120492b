"""tiles-import: an encoder file, ours or one that others published -> a model folder with its card."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tiles_ecg.plain_console import Parser, failures_told

DESCRIPTION = """\
tiles-import: an encoder file -> a model folder (weights, description, model card), as the Hugging Face hub has them.

MODEL is a run folder, its .ckpt or .safetensors, a model folder, or one of the published WildECG checkpoints. Nothing
in it is run. The folder loads anywhere: load_encoder(FOLDER), tiles-embed FOLDER, encoder.path=FOLDER."""
EPILOG = """\
Common commands
  tiles-import outputs/my-run -o my-model --licence MIT
  tiles-import outputs/my-run -o my-model --report outputs/report/results.csv --report-name mine
  tiles-import wildecg_resnet_simclr.ckpt -o wildecg-resnet

The card (README.md) says what the encoder is, the input it needs, how to use it, what it was trained on; with --report
its numbers beside those of all controls, and where it is behind.

Exit status: 0 done; 1 it failed; 2 a mistake in the command or a file; 130 interrupted."""


@dataclass(frozen=True)
class Wishes:
    """What an imported model shall be called and say.

    Attributes:
        name: Empty takes the file's, or else the folder's.
        licence: As SPDX spells it; empty takes the file's.
        source: Where the weights come from; empty takes the file's.
        report: A `results.csv` of tiles-report.
        report_name: What the report calls this encoder; empty takes the name.
        remarks: A file of Markdown for the card.
        overwrite: Whether a model folder that is there is replaced.
        trusted: Packages outside `tiles_ecg` whose encoders may be built; importing them runs their code.
    """

    name: str = ""
    licence: str = ""
    source: str = ""
    report: Path | None = None
    report_name: str = ""
    remarks: Path | None = None
    overwrite: bool = False
    trusted: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> None:
    """Console entry point.

    Args:
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption.
    """
    given = _arguments(argv)
    wishes = Wishes(
        given.name, given.licence, given.source, given.report, given.report_name, given.remarks, given.overwrite,
        tuple(given.trusted),
    )  # fmt: skip
    with failures_told("tiles-import"):
        folder = import_model(given.model, given.output, wishes)
    print(f"model: {folder} (load_encoder({str(folder)!r}), tiles-embed {folder}, encoder.path={folder})")


def import_model(model: str | Path, folder: Path, wishes: Wishes | None = None) -> Path:
    """Write an encoder as a model folder, after its weights were loaded into its network.

    Args:
        model: See `read_encoder_file`.
        folder: To be.
        wishes: What it shall be called and say.

    Returns:
        The folder.

    Raises:
        EncoderFileError: If the model, the report or the remarks cannot be read, the report is of other weights, or the
            folder cannot be written.
    """
    from tiles_ecg.encoder.architecture import build_with_weights
    from tiles_ecg.encoder.encoder_file import EncoderFileError, read_encoder_file
    from tiles_ecg.model_card import model_card
    from tiles_ecg.model_folder import check_free, write_model

    wishes = wishes or Wishes()
    check_free(folder, wishes.overwrite)
    about, weights = read_encoder_file(model)
    network = build_with_weights(about.architecture, weights, about.path, wishes.trusted)
    about = replace(
        about,
        name=wishes.name or about.name or folder.resolve().name,
        licence=wishes.licence or about.licence,
        source=wishes.source or about.source,
    )
    if wishes.report and about.protocol:
        raise EncoderFileError(
            f"{about.path}: was trained on labels of one fold (protocol {about.protocol}); the numbers of its report "
            "are of all folds, each with weights of its own: leave --report out"
        )
    results = _results(wishes.report, wishes.report_name or about.name, about.digest) if wishes.report else ""
    card = model_card(about, int(network.embedding_dim), results, _remarks(wishes.remarks))  # type: ignore[arg-type]
    return write_model(folder, about, weights, card, wishes.overwrite)


def _results(report: Path, encoder: str, digest: str) -> str:
    from tiles_ecg.model_results import read_results, results_text

    return results_text(read_results(report), encoder, digest, report)


def _remarks(file: Path | None) -> str:
    from tiles_ecg.encoder.encoder_file import EncoderFileError

    try:
        return "" if file is None else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise EncoderFileError(f"{file}: cannot be read ({error})") from error


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("tiles-import", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("model", metavar="MODEL", help="run folder, .ckpt, .safetensors, model folder, or published checkpoint")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    add("--name", default="", help="of the model (default: what the file says, else the folder's)")
    add("--licence", "--license", default="", metavar="SPDX", help="of the weights, such as MIT")
    add("--source", default="", metavar="TEXT", help="where weights that others trained come from")
    add("--report", type=Path, metavar="CSV", help="results.csv of tiles-report: its numbers go into the card")
    add("--report-name", default="", metavar="NAME", help="what the report calls this encoder (default: the name)")
    add("--remarks", type=Path, metavar="MD", help="Markdown that goes into the card")
    add("--overwrite", action="store_true", help="replace a model folder that is there")
    add("--trusted", action="append", default=[], metavar="PACKAGE", help="of your own, whose encoders may be built")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
