"""One evaluation, step by step; each leaves its part in the run folder."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Normalise
from tiles_ecg.evaluation.archive import file_stem
from tiles_ecg.evaluation.candidate import (
    Candidate,
    Opener,
    all_named,
    candidate_of,
    plain_candidate,
    untrained_twins,
)
from tiles_ecg.evaluation.controls import FROM_SCRATCH, HEART_RATE, majority
from tiles_ecg.evaluation.embedding import ALL_ALIKE, embed, is_constant
from tiles_ecg.evaluation.embedding_map import embedding_map
from tiles_ecg.evaluation.gallery import gallery
from tiles_ecg.evaluation.heart_rate import heart_rate_features
from tiles_ecg.evaluation.label_efficiency import numbers_of_subjects
from tiles_ecg.evaluation.low_label import few_labels
from tiles_ecg.evaluation.planning import plan_for
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.pretraining import audit_encoder
from tiles_ecg.evaluation.probe import probe
from tiles_ecg.evaluation.scratch import network_overrides, scratch_command, train_from_scratch
from tiles_ecg.protocol import Protocol
from tiles_ecg.task.target import Task

log = logging.getLogger(__name__)


class EvaluationRun:
    """Encoders and controls under one plan.

    Args:
        run_dir: Where results go.
        open_windows: Opens the stores.
        normalise: For encoders that do not say what they were trained with.
        min_quality: Windows of less quality are not used.
        task: What is predicted.
        protocol: How subjects are divided.
        subjects: Numbers of subjects of the label-efficiency curve; None: as `numbers_of_subjects` says.
        draws: Of those subjects.

    Attributes:
        plan: Who is trained on, chosen by and judged on.
        checks: What the leak audit found so far.

    Raises:
        ConfigError: If the stores are not what the config says.
        TaskError: If the task cannot be judged on them.
    """

    def __init__(
        self,
        run_dir: Path,
        open_windows: Opener,
        normalise: Normalise,
        min_quality: float,
        task: Task,
        protocol: Protocol,
        subjects: Sequence[int] | None,
        draws: int,
    ) -> None:
        self.run_dir = run_dir
        self.open_windows = open_windows
        self.windows = open_windows(normalise)
        self.plan, self.checks = plan_for(self.windows, task, protocol, min_quality)
        self.numbers = numbers_of_subjects(self.plan, subjects)
        self.draws = draws
        self._encoders: dict[str, Any] = {}
        target = self.plan.target
        log.info(
            "%s: %s windows, %s examples (%s), %s subjects; protocol %s",
            target.name,
            f"{len(target.row):,}",
            f"{len(target.value):,}",
            target.level,
            f"{len(np.unique(self.plan.group)):,}",
            self.plan.hash,
        )

    def candidates(
        self, encoders: Sequence[str] | Mapping[str, Any] | None, plain: Mapping[str, Any], pretraining: Sequence[str]
    ) -> list[Candidate]:
        """Load the encoders that are to be judged, and audit what they were pre-trained on.

        Args:
            encoders: Paths, or name -> path or config of an encoder.
            plain: Config of one more, if it is a pre-trained one.
            pretraining: Stores of pre-training, where they are no longer where a run says.
        """
        found = []
        for name, what in all_named(encoders, plain).items():
            candidate = candidate_of(name, what, self.open_windows, self.windows)
            for note in candidate.notes:
                log.info("%s: %s", name, note)
            self.checks = [*self.checks, *audit_encoder(candidate, pretraining, self.windows, self.plan)]
            self._encoders[name] = candidate.described()
            found.append(candidate)
        return found

    def untrained(self, candidates: Sequence[Candidate], plain: Mapping[str, Any], n_seeds: int) -> list[Candidate]:
        """The same networks with their first weights; without candidates, the plain architecture."""
        return untrained_twins(candidates or [plain_candidate("", plain, self.windows)], n_seeds)

    def judge_controls(self) -> None:
        """Majority or mean, and the probe on heart-rate features."""
        if predictions := majority(self.plan):
            self._save([predictions])
        features = heart_rate_features(self.windows, self.plan.target.row)
        self._save(self._probed(features, Method(HEART_RATE, "linear", "control"), 0))

    def judge(self, candidate: Candidate) -> None:
        """Embed once; then both heads, with fewer labels too, the map, and the best and worst windows."""
        target = self.plan.target
        embedding = embed(candidate.encoder, candidate.windows, target.row, candidate.name)
        for head in ("linear", "k-NN"):
            method = Method(candidate.name, head, "control" if candidate.is_control else "encoder")
            found = self._probed(embedding, method, candidate.seed)
            if is_constant(embedding):
                found = [replace(predictions, notes=(*predictions.notes, ALL_ALIKE)) for predictions in found]
            self._save(found)
            if head == "linear" and not candidate.is_control:
                gallery(found[0], target, self.windows).save(self.run_dir / "gallery")
        if candidate.seed == 0:
            embedding_map(candidate.name, embedding, target).save(self.run_dir / "embedding")
        if not candidate.is_control:
            self._save_embedding(candidate.name, embedding)

    def _save_embedding(self, name: str, embedding: NDArray[np.float32]) -> None:
        target = self.plan.target
        np.savez_compressed(
            self.run_dir / "embedding" / f"{file_stem(name)}.npz",
            embedding=embedding,
            row=target.row,
            example=target.example,
            example_id=np.array(target.example_id),
        )

    def _probed(self, x: NDArray[np.float32], method: Method, seed: int) -> list[Predictions]:
        """Predictions with all labels first; for the linear head, then with fewer."""
        found = [probe(x, self.plan, method, seed=seed)]
        if method.head != "linear" or seed:
            return found
        for n_subjects in self.numbers:
            for draw in range(self.draws):
                folds = [few_labels(self.plan, fold, n_subjects, draw) for fold in range(len(self.plan.folds))]
                found.append(probe(x, self.plan, replace(method, n_subjects=n_subjects, draw=draw), folds))
        return found

    def train_from_scratch(self, candidates: Sequence[Candidate], overrides: Sequence[str], n_steps: int) -> None:
        """The same networks, trained by tiles-train on the labels of each fold.

        Args:
            candidates: What is judged.
            overrides: Of this command; those that mean the same to tiles-train are passed on.
            n_steps: Most training steps of a fold.

        Raises:
            ScratchError: If training fails.
        """
        for number, (name, network) in enumerate(network_overrides(overrides, candidates).items()):
            folder = self.run_dir / (f"from-scratch-{number}" if number else "from-scratch")
            command = scratch_command(overrides, network, len(self.plan.folds), n_steps, folder)
            title = f"{FROM_SCRATCH} (as {name})" if number else FROM_SCRATCH
            for found in train_from_scratch(command, folder, len(self.plan.folds)):
                if found.protocol != self.plan.hash:
                    raise ConfigError(f"{folder}: trained under protocol {found.protocol}, not {self.plan.hash}")
                self._save([replace(found, method=replace(found.method, encoder=title))])

    def _save(self, found: Sequence[Predictions]) -> None:
        for predictions in found:
            predictions.save(self.run_dir / "predictions")

    def about(self) -> dict[str, Any]:
        """What was agreed on, and what the audit found, JSON-able."""
        return {
            "hash": self.plan.hash,
            "about": self.plan.about,
            "notes": list(self.plan.notes),
            "checks": [vars(check) for check in self.checks],
            "encoders": self._encoders,
        }
