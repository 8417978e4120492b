"""tiles-evaluate: frozen encoders judged on a task, side by side, with their controls."""

import contextlib
import csv
import json
import logging
import os
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.allocator import keep_freed_memory
from tiles_ecg.components import default_store, listed
from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import PROTOCOL_FILE
from tiles_ecg.quiet import silence
from tiles_ecg.run_record import OVER, RunRecord, outcome, read_status
from tiles_ecg.train import remove_empty, shown

log = logging.getLogger(__name__)

RESULTS = "results.csv"
WRITTEN = ("predictions", "embedding", "gallery", "pictures", "from-scratch*")
"""Folders that an evaluation fills."""


def main() -> None:
    """Console entry point."""
    console.run(evaluate, "evaluate")


def evaluate(cfg: DictConfig) -> None:
    """Plan, audit, embed, probe, and tell where the results are.

    Args:
        cfg: A composed, validated config of `conf/evaluate.yaml`.

    Raises:
        ConfigError: If there is no task, or the stores do not fit the config.
        TaskError: If the task cannot be judged on the stores.
        LeakError: If something that is judged on was trained on, chosen by, or pre-trained on.
        EncoderFileError: If an encoder cannot be read.
    """
    silence()
    keep_freed_memory()
    run_dir = Path(cfg.run_dir)
    if cfg.get("task") is None:
        raise ConfigError("task = null: what is to be predicted? Give task=NAME; --help lists them")
    _refuse_another(cfg, run_dir)
    try:
        run, candidates = _build(cfg, run_dir)
    except BaseException:
        remove_empty(run_dir)  # Hydra makes it before it calls us
        raise
    with RunRecord(run_dir, "tiles-evaluate", console.choices()) as record:
        for part in WRITTEN:
            for left in run_dir.glob(part):  # of an attempt of the same command that did not come to its end
                shutil.rmtree(left)
        _keep(cfg, run_dir, run.about(), is_finished=False)
        _judged(cfg, run_dir, run, candidates, record)
    log.info("run folder: %s", shown(run_dir))


def _refuse_another(cfg: DictConfig, run_dir: Path) -> None:
    """Let an evaluation that was stopped or failed be made anew in its folder, and no other."""
    if not (run_dir / PROTOCOL_FILE).exists():
        return
    with contextlib.suppress(OSError, yaml.YAMLError):
        before = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
        if _decisive(before) == _decisive(_plain(cfg)) and read_status(run_dir).state not in (
            *OVER,
            "running",
            "planned",
        ):
            log.info("%s holds an evaluation by this command that did not end: making it anew", shown(run_dir))
            return
    raise ConfigError(f"hydra.run.dir = {run_dir}: holds an evaluation already; give another folder")


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """What decides on the numbers, and where they go."""
    return {key: value for key, value in config.items() if key not in ("resume", "logger", "report")}


def _judged(cfg: DictConfig, run_dir: Path, run: Any, candidates: list[Any], record: RunRecord) -> None:
    """Judge everything, with loggers that end as the evaluation did."""
    from hydra.utils import instantiate

    loggers: list[Any] = []
    metrics: dict[str, float] = {}
    ended: BaseException | None = None
    try:
        loggers = listed(instantiate(cfg.logger, _convert_="all"))
        for logger in loggers:
            if hasattr(logger, "resume"):
                logger.resume(0)
            logger.log_hyperparams(_plain(cfg))
            if hasattr(logger, "log_facts"):
                logger.log_facts({"protocol_hash": run.plan.hash})
        started = time.monotonic()
        run.judge_controls()
        for candidate in [*candidates, *run.untrained(candidates, _node(cfg.encoder), cfg.controls.untrained_seeds)]:
            run.judge(candidate)
        log.info("judged frozen in %.0f s", time.monotonic() - started)
        if cfg.controls.scratch_steps:
            run.train_from_scratch(candidates, console.overrides(), cfg.controls.scratch_steps)
        _keep(cfg, run_dir, run.about(), is_finished=True)
        metrics = _tell(run_dir, cfg.report, run.plan.target.metric, loggers)
    except BaseException as error:
        ended = error
        raise
    finally:
        record.note(None, metrics)
        for logger in loggers:
            if hasattr(logger, "end"):
                logger.end(outcome(ended), metrics)


def _build(cfg: DictConfig, run_dir: Path) -> tuple[Any, list[Any]]:
    """What is agreed on, and the encoders, audited; nothing is written yet."""
    from hydra.utils import instantiate

    from tiles_ecg.evaluation.audit import require
    from tiles_ecg.evaluation.candidate import Opener
    from tiles_ecg.evaluation.run import EvaluationRun

    stores = cfg.dataset.store if cfg.dataset.store is not None else str(default_store())
    facts = {key: cfg.dataset[key] for key in ("sample_rate", "window_s", "n_leads")}
    asked = cfg.label_efficiency.subjects
    run = EvaluationRun(
        run_dir,
        Opener(stores if isinstance(stores, str) else list(stores), **facts),
        cfg.dataset.normalise,
        cfg.dataset.min_quality,
        instantiate(cfg.task, _convert_="all"),
        instantiate(cfg.protocol, _convert_="all"),
        None if asked == "auto" else list(asked),
        cfg.label_efficiency.draws,
    )
    candidates = run.candidates(_node(cfg.encoders), _node(cfg.encoder), list(cfg.audit.pretraining))
    require(run.checks, list(cfg.audit.accept))
    return run, candidates


def _node(cfg: Any) -> Any:
    """A part of the config in plain types."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


def _plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config, as it is read from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(_node(cfg)))
    return plain


def _keep(cfg: DictConfig, run_dir: Path, about: dict[str, Any], is_finished: bool) -> None:
    """Write the resolved config, and what was agreed on."""
    run_dir.mkdir(parents=True, exist_ok=True)
    config = _plain(cfg)
    about = about | {
        "accepted": list(cfg.audit.accept),
        "command": shlex.join(["tiles-evaluate", *console.overrides()]),
        "job": "evaluate",
        "finished": is_finished,
    }
    texts = {
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        PROTOCOL_FILE: json.dumps(about, indent=1),
    }
    for name, text in texts.items():
        scratch = run_dir / f"{name}.tmp"
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, run_dir / name)


def _tell(run_dir: Path, with_report: bool, metric: str, loggers: list[Any]) -> dict[str, float]:
    """The metric that decides, on the screen and by method; the report of this evaluation, and its part of loggers."""
    from tiles_ecg.summary.logged import deciding, log_evaluation, write_results

    if with_report:
        from tiles_ecg.report import write_report

        page = write_report([run_dir], run_dir)
        log.info("%s", result_lines(run_dir / RESULTS, metric))
        log.info("report: %s", shown(page))
    else:
        write_results(run_dir, run_dir / RESULTS)
    log_evaluation(loggers, run_dir, run_dir / RESULTS)
    return deciding(run_dir / RESULTS, metric)


def result_lines(results: Path, metric: str) -> str:
    """A line for each method of a `results.csv` with all labels: the metric and its interval."""
    with results.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric and not row["training_subjects"]]
    titles = [row["encoder"] + (f", {row['head']}" if row["head"] != "none" else "") for row in rows]
    width = max(map(len, titles), default=0) + 2
    lines = [f"{'':<{width}}{metric:>7}   95 % interval over subjects"]
    for title, row in zip(titles, rows, strict=True):
        value, low, high = (float(row[key]) if row[key] else None for key in ("value", "low", "high"))
        interval = "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        lines.append(f"{title:<{width}}{'none' if value is None else f'{value:.3f}':>7}   {interval}")
    return "\n".join(lines)
