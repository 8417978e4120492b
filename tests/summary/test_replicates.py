"""Encoders that were pre-trained anew for each seed are put together, and no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.runs import find_runs
from tiles_ecg.summary.section import Section, sections

Fabricate = Callable[..., Any]


@pytest.fixture
def judged(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> Callable[[dict[str, int]], Section]:
    """The section of fine-tunings of encoders, each with a seed of its own, on all folds."""

    def section(seeds: dict[str, int]) -> Section:
        for encoder, seed in seeds.items():
            facts = {encoder: {"path": f"S/{encoder}", "step": 4, "digest": encoder}}
            run_folder(tmp_path / encoder, [fabricate(Method(encoder, "fine-tuned"), seed=seed)], encoders=facts)
        (found,) = sections(find_runs([tmp_path])[0])
        return found

    return section


def test_encoders_that_differ_by_the_seed_of_their_run_are_one_method(
    judged: Callable[[dict[str, int]], Section],
) -> None:
    section = judged({"pretrain-seed=0": 0, "pretrain-seed=1": 1, "pretrain-seed=11": 11})
    (entry,) = section.entries
    assert (entry.method.title, entry.n_seeds, entry.is_complete) == ("pretrain-seed=*, fine-tuned", 3, True)
    assert section.notes == ()
    assert {facts["path"] for run in section.runs for facts in run.encoders.values()} == {
        "S/pretrain-seed=0", "S/pretrain-seed=1", "S/pretrain-seed=11",
    }  # fmt: skip
    assert {name for run in section.runs for name in run.encoders} == {"pretrain-seed=*"}


@pytest.mark.parametrize("seeds", [{"a-seed=0": 0, "a-seed=1": 0}, {"a-seed=0": 0}, {"a-seed=0": 0, "b-seed=1": 1}])
def test_others_keep_their_names(judged: Callable[[dict[str, int]], Section], seeds: dict[str, int]) -> None:
    assert [entry.method.encoder for entry in judged(seeds).entries] == list(seeds)
