"""tiles-export: an encoder -> ONNX and torch.export files that run without this package."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tiles_ecg.plain_console import Parser, failures_told, say

FORMATS = ("onnx", "torch")
PRECISIONS = ("float32", "bf16", "int8")


def main(argv: Sequence[str] | None = None) -> None:
    """Console entry point.

    Args:
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption.
    """
    arguments = _arguments(argv)
    with failures_told("tiles-export"):
        from tiles_ecg.export.folder import Wishes, export_encoder

        formats = tuple(dict.fromkeys(arguments.format)) or (FORMATS if arguments.precision != "int8" else ("onnx",))
        wishes = Wishes(formats, arguments.precision, arguments.calibration, arguments.accept_loss)
        files = export_encoder(arguments.model, arguments.output, wishes, arguments.trusted, say)
    say(f"written: {', '.join(map(str, files))}")


DESCRIPTION = """\
tiles-export: an encoder -> encoder.onnx and encoder.pt2, with any batch and any length, for real-time use.

MODEL is a run folder, a .ckpt or .safetensors, a model folder, or the name of a shipped model (tiles-ecg/NAME).
Input `signal` (batch, leads, time), float32: at the encoder's sample rate, filtered and normalised as `preprocessing`
in export.json and in the file's own metadata says. Output `embedding` (batch, D).

Before a file gets its name it is run again at other lengths and batch sizes, odd ones too, and compared with torch:
at most 1e-5 of an embedding's largest value may lie between them, or nothing is written.

--precision bf16 keeps large weights in bfloat16 (half the size, arithmetic in float32); int8 computes in 8-bit
integers (ONNX only; a third of the size). Both need --calibration STORE.h5: prepared windows like those that will be
embedded. A third of its subjects set the ranges, the others judge: the 5th percentile of the cosine to the float32
embeddings (less their mean) must be at least 0.99, and the nearest neighbour of 95 % of the windows must stay among
the nearest five; else it is refused, unless --accept-loss is given."""
EPILOG = """\
Common commands
  tiles-export outputs/my-run -o exported                            both formats, float32
  tiles-export tiles-ecg/resnet8 -o exported --format onnx           one format, of a model of the package
  tiles-export outputs/my-run -o exported --precision int8 --calibration my-data.h5
  tiles-export outputs/my-run -o exported --format torch --precision bf16 --calibration my-data.h5

Use, in a program that has NumPy and onnxruntime only (x: (batch, leads, time), preprocessed)
  import onnxruntime
  session = onnxruntime.InferenceSession("exported/encoder.onnx")
  print(session.get_modelmeta().custom_metadata_map["preprocessing"])   # rate, band, unit, normalisation
  x = (ecg_mv - subject_mean) / subject_std                             # at that rate, after that band-pass
  embedding = session.run(["embedding"], {"signal": x.astype("float32")})[0]

ONNX needs: pip install "tiles_ecg[export]"

Exit status: 0 done; 1 it failed; 2 a mistake in the command or the model; 130 interrupted."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("tiles-export", DESCRIPTION, EPILOG)
    parser.add_argument("model", metavar="MODEL", help="the encoder")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the files go; made if it is not there"
    )
    parser.add_argument(
        "--format", action="append", default=[], choices=FORMATS, help="may be given twice (default: both)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="(default: %(default)s)")
    parser.add_argument(
        "--calibration", type=Path, metavar="STORE", help="prepared windows, for a precision below float32"
    )
    parser.add_argument("--accept-loss", action="store_true", help="write a precision that does not hold")
    parser.add_argument(
        "--trusted",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="package of your own whose encoders may be built; importing it runs its code",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
