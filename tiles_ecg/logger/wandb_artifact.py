"""Encoders as W&B artifacts: what a run leaves, and what it went on from, named alike so that both are one artifact."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiles_ecg.encoder.encoder_file import EncoderFile, EncoderFileError, read_encoder_file

log = logging.getLogger(__name__)

RUN_ID_FILE = "wandb_run_id.txt"
ENTRY = "encoder.safetensors"
"""Name of the file in every encoder's artifact: W&B knows an artifact's version by the names and hashes in it."""


@dataclass(frozen=True)
class EncoderArtifact:
    """An encoder file, as it is known in W&B.

    Attributes:
        file: The safetensors; a checkpoint where there are none beside it.
        run_id: Of the W&B run that made it; empty where that is not known.
        about: What is known of the encoder.
    """

    file: Path
    run_id: str
    about: EncoderFile

    @property
    def name(self) -> str:
        """Of the artifact: by the run that made it, or by its weights where a file was moved away from that."""
        return f"encoder-{self.run_id or self.about.digest}"

    def described(self) -> dict[str, Any]:
        """For a run's config: what it went on from, JSON-able."""
        return {"artifact": self.name, "run_id": self.run_id, "path": str(self.about.path), **self.metadata()}

    def metadata(self) -> dict[str, Any]:
        """For the artifact, JSON-able."""
        about = self.about
        return {
            "architecture": about.architecture,
            "preprocessing": about.preprocessing,
            "step": about.step,
            "stores": list(about.stores),
            "labelled": list(about.labelled),
            "weights_digest": about.digest,
            "sha256": hashlib.sha256(self.file.read_bytes()).hexdigest(),
        }

    def built(self) -> Any:
        """The `wandb.Artifact`, which has a copy of the file."""
        import wandb

        artifact = wandb.Artifact(self.name, "model", metadata=self.metadata())
        artifact.add_file(str(self.file), name=ENTRY if self.file.suffix == ".safetensors" else "encoder.ckpt")
        return artifact


def encoder_artifact(path: Path) -> EncoderArtifact:
    """The encoder of a run folder or file, with the W&B run that the folder around it names.

    Raises:
        EncoderFileError: If it cannot be read.
    """
    about, _ = read_encoder_file(path)
    beside, file = about.path.with_suffix(".safetensors"), about.path
    if beside != file and beside.is_file() and read_encoder_file(beside)[0].digest == about.digest:
        file = beside
    is_in_run = file.parent.name == "checkpoints"
    return EncoderArtifact(file, _run_id(file.parent.parent) if is_in_run else "", about)


def left_by(run_dir: Path) -> dict[str, EncoderArtifact]:
    """Encoders that a run left, by alias: `best` and `last`, as far as they are there."""
    found = {}
    for alias in ("best", "last"):
        file = run_dir / "checkpoints" / f"{alias}.safetensors"
        if file.is_file():
            try:
                found[alias] = encoder_artifact(file)
            except EncoderFileError as error:
                log.warning("W&B: no artifact of %s (%s)", file, error)
    return found


def went_on_from(config: Mapping[str, Any]) -> dict[str, EncoderArtifact]:
    """Encoders that a run begins with or judges, by name.

    Args:
        config: Resolved, of tiles-train or tiles-evaluate.
    """
    encoder = config.get("encoder")
    path = encoder.get("path") if isinstance(encoder, Mapping) and not encoder.get("fresh") else None
    encoders = config.get("encoders")
    if not isinstance(path, str) and not encoders:
        return {}
    from tiles_ecg.evaluation.candidate import named_paths  # takes a second that pre-training can do without

    named = dict(named_paths([path])) if isinstance(path, str) else {}
    named |= named_paths(encoders) if isinstance(encoders, list | Mapping) else {}
    found = {}
    for name, what in named.items():
        where = what.get("path") if isinstance(what, Mapping) else what
        if isinstance(where, str):
            found[name] = encoder_artifact(Path(where))
    return found


def declare(encoder: EncoderArtifact, run: Any) -> None:
    """Tell W&B, by its content, that a run begins with an encoder; that need not have been uploaded before."""
    artifact = encoder.built()
    if run.offline:  # what use_artifact does online with an artifact that is not uploaded; it refuses offline
        run._log_artifact(artifact, aliases=[], is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def leave(run_dir: Path, run: Any) -> None:
    """The encoders that a run left, and the checkpoint to train on from, as artifacts of its W&B run."""
    import wandb

    for alias, encoder in left_by(run_dir).items():
        run.log_artifact(encoder.built(), aliases=[alias])
    best = run_dir / "checkpoints" / "best.ckpt"
    if best.is_file():
        checkpoint = wandb.Artifact(f"checkpoint-{run.id}", "checkpoint", metadata=encoder_artifact(best).metadata())
        checkpoint.add_file(str(best), name=best.name)
        run.log_artifact(checkpoint, aliases=["best"])


def _run_id(folder: Path) -> str:
    try:
        return (folder / RUN_ID_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
