"""The folder of an export: its files, proved, and `export.json`; written whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from tiles_ecg.encoder.architecture import build_with_weights
from tiles_ecg.encoder.encoder_file import EncoderFile, read_encoder_file
from tiles_ecg.export.description import description, known
from tiles_ecg.export.onnx_file import OnnxEncoder, check_packages, describe_onnx, narrow_weights, write_onnx
from tiles_ecg.export.program import NarrowWeights, export_program, load_program, write_program
from tiles_ecg.export.proof import (
    BATCHES,
    LARGEST_DIFFERENCE,
    LENGTHS,
    Embed,
    ExportError,
    check_shapes,
    largest_difference,
)
from tiles_ecg.export.quantise import (
    LEAST_COSINE,
    LEAST_NEIGHBOUR,
    Trial,
    embedded,
    in_torch,
    loss_between,
    trial_windows,
    write_int8,
)

ABOUT = "export.json"
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}


@dataclass(frozen=True)
class Wishes:
    """What to export.

    Attributes:
        formats: `onnx`, `torch`.
        precision: `float32`, `bf16` or `int8`.
        calibration: A store, for a precision below float32.
        accept_loss: Whether such a precision is written where it does not hold.
    """

    formats: Sequence[str] = ("onnx", "torch")
    precision: str = "float32"
    calibration: Path | None = None
    accept_loss: bool = False


def export_encoder(
    model: str | Path,
    folder: Path,
    wishes: Wishes | None = None,
    trusted: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> list[Path]:
    """Export an encoder, and prove each file before it gets its name.

    Args:
        model: See `read_encoder_file`.
        folder: Where the files go; those of an earlier export of the same weights stay beside them.
        wishes: What to export; both formats in float32 by default.
        trusted: Packages outside `tiles_ecg` whose encoders may be built; importing them runs their code.
        tell: Is given a line for each file.

    Returns:
        The files, `export.json` last.

    Raises:
        ExportError: If it cannot be exported, a file differs from torch, or the precision does not hold.
        EncoderFileError: If the model cannot be read.
    """
    wishes = wishes or Wishes()
    _check(wishes)
    about, weights = read_encoder_file(model)
    network = _network(about, weights, trusted)
    kept = _kept(folder, about, {f"{_stem(wishes)}{SUFFIXES[kind]}" for kind in wishes.formats})
    trial = None if wishes.calibration is None else trial_windows(wishes.calibration, about.preprocessing)
    with _scratch(folder) as scratch:
        export = _Export(about, network, wishes, trial, scratch, tell or (lambda _: None))
        entries = {path.name: entry for path, entry in export.files()}
        text = json.dumps(description(about, network, {**kept, **entries}), indent=2)
        (scratch / ABOUT).write_text(f"{text}\n", encoding="utf-8")
        for name in (*entries, ABOUT):
            os.replace(scratch / name, folder / name)
    return [folder / name for name in (*entries, ABOUT)]


@dataclass(frozen=True)
class _Export:
    about: EncoderFile
    network: nn.Module
    wishes: Wishes
    trial: Trial | None
    scratch: Path
    tell: Callable[[str], None]

    def files(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Each file, written and proved, with what `export.json` says of it."""
        exact = export_program(self.network, self._n_leads)
        for kind in self.wishes.formats:
            path = self.scratch / f"{_stem(self.wishes)}{SUFFIXES[kind]}"
            embed = self._onnx(exact, path) if kind == "onnx" else self._torch(exact, path)
            entry = {"format": kind, "precision": self.wishes.precision, **self._proved(path.name, embed)}
            content = path.read_bytes()
            yield path, {**entry, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def _onnx(self, exact: ExportedProgram, path: Path) -> Embed:
        base = self.scratch / "float32.onnx"
        write_onnx(exact, base, self._n_leads)
        if self.wishes.precision == "float32":
            os.replace(base, path)
        elif self.wishes.precision == "bf16":
            narrow_weights(base, path)
        else:
            assert self.trial is not None  # _check
            write_int8(base, path, self.trial.calibration)
        describe_onnx(path, {**known(self.about), "precision": self.wishes.precision})
        return OnnxEncoder(path)

    def _torch(self, exact: ExportedProgram, path: Path) -> Embed:
        is_narrow = self.wishes.precision == "bf16"
        program = export_program(NarrowWeights(self.network), self._n_leads) if is_narrow else exact
        write_program(program, path, {**known(self.about), "precision": self.wishes.precision})
        return in_torch(load_program(path))

    def _proved(self, name: str, embed: Embed) -> dict[str, Any]:
        window_s = self.about.preprocessing.get("window_s")
        rate = float(self.about.preprocessing["sample_rate"])
        own = (round(window_s * rate),) if isinstance(window_s, int | float) else ()
        checked = {"batches": list(BATCHES), "lengths": list(dict.fromkeys((*LENGTHS, *own)))}
        if self.trial is not None and self.wishes.precision != "float32":
            check_shapes(embed, self._n_leads, int(self.network.embedding_dim), own)  # type: ignore[arg-type]
            return {"checked": checked, "loss": self._loss(name, embed, self.trial)}
        difference = largest_difference(embed, self.network, self._n_leads, own)
        if not difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"{name} differs from torch by {difference:.1e} of the largest value of an embedding, more than the "
                f"{LARGEST_DIFFERENCE:g} of rounding: an operation means something else there; nothing was written"
            )
        self.tell(f"{name}: differs from torch by {difference:.1e} at most (of the largest value)")
        return {"checked": checked, "largest_difference": difference}

    def _loss(self, name: str, embed: Embed, trial: Trial) -> dict[str, float]:
        loss = loss_between(embedded(in_torch(self.network), trial.judged), embedded(embed, trial.judged))
        if not loss.holds and not self.wishes.accept_loss:
            raise ExportError(
                f"--precision {self.wishes.precision} does not hold: {name} keeps {loss}, and at least "
                f"{LEAST_COSINE:g} and {LEAST_NEIGHBOUR:.0%} are asked for; nothing was "
                "written. Give --accept-loss to have it all the same, or another precision"
            )
        self.tell(f"{name}: {loss}, over {len(trial.judged)} windows")
        return asdict(loss)

    @property
    def _n_leads(self) -> int:
        return int(self.about.preprocessing["n_leads"])


def _check(wishes: Wishes) -> None:
    if "onnx" in wishes.formats:
        check_packages()
    if wishes.precision == "int8" and tuple(wishes.formats) != ("onnx",):
        raise ExportError("--precision int8 is there in ONNX only; add --format onnx")
    if wishes.precision != "float32" and wishes.calibration is None:
        raise ExportError(
            f"--precision {wishes.precision} is judged on windows like those it will embed; add --calibration STORE.h5"
        )
    if wishes.precision == "float32" and (wishes.calibration is not None or wishes.accept_loss):
        raise ExportError(
            "--calibration and --accept-loss are for a precision below float32; add --precision int8 or bf16, or leave "
            "them out"
        )


def _network(about: EncoderFile, weights: dict[str, Tensor], trusted: Sequence[str]) -> nn.Module:
    network = build_with_weights(about.architecture, weights, about.path, trusted)
    return network.eval()


def _stem(wishes: Wishes) -> str:
    return "encoder" if wishes.precision == "float32" else f"encoder-{wishes.precision}"


def _kept(folder: Path, about: EncoderFile, written: set[str]) -> dict[str, Any]:
    """What `export.json` says of the files there that stay.

    Raises:
        ExportError: If they are of another encoder, so that the folder would hold two.
    """
    try:
        earlier = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        files, digest = dict(earlier["files"]), earlier["model"]["model_digest"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / ABOUT}: cannot be read ({error}); choose another folder with -o") from error
    kept = {name: entry for name, entry in files.items() if name not in written and (folder / name).is_file()}
    if kept and digest != about.digest:
        raise ExportError(
            f"{folder} holds {', '.join(kept)} of another encoder ({digest}, this one is {about.digest}); choose "
            "another folder with -o"
        )
    return kept


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for unproved files, within the one they are meant for; that one is not left behind empty."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise ExportError(f"-o {folder}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
