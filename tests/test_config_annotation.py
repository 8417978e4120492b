"""Annotations read from source mean what Python's own evaluation says."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from tiles_ecg.config_annotation import evaluate
from tiles_ecg.config_fit import describe
from tiles_ecg.config_signature import signature

SOURCE = """
from __future__ import annotations
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, List, Literal, Optional, Union
from pydantic import Field, PositiveInt
from tiles_ecg.config_types import Limits, Probability
import typing as t

Normalise = Literal["subject", "window"]
Ratio = Annotated[float, Field(gt=0, le=2)]
Endless = "Endless"

class Thing: ...

def function(
    a: int, b: float, c: bool, d: str, e: None,
    f: int | None, g: Optional[float], h: Union[int, str],
    i: list[int], j: Sequence[PositiveInt], k: tuple[float, float], l: tuple[int, ...],
    m: dict[str, int], n: Mapping[str, float], o: Literal["x", 2],
    p: Normalise, q: Probability, r: Ratio, s: Path, t: "int | None",
    u: Thing, v: float | Thing, w: Any, x: unknown, y: Endless, z: List[Normalise], limits: Limits[Probability],
): ...
"""


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("annotated")
    (folder / "annotated_by_hand.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return {p.name: evaluate(p.annotation, p.module) for p in signature("annotated_by_hand.function").parameters}


def test_plain_unions_and_containers_equal_pythons_own_evaluation(types: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {"unknown": Any}
    exec(SOURCE, namespace)
    hints = get_type_hints(namespace["function"], namespace, include_extras=True)
    for name in "abcdfghimo":
        assert types[name] == hints[name], name
    assert types["p"] == Literal["subject", "window"]


def test_sequences_and_mappings_are_the_lists_and_mappings_of_yaml(types: dict[str, Any]) -> None:
    assert get_origin(types["j"]) is list
    assert types["n"] == dict[str, float]
    assert types["z"] == list[Literal["subject", "window"]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("j", "a list, each a whole number > 0"),
        ("k", "a list of 2, each a number"),
        ("l", "a list, each a whole number"),
        ("q", "a number from 0 to 1"),
        ("r", "a number > 0 and <= 2"),
        ("s", "text"),
        ("t", "a whole number or null"),
        ("v", "a number"),
        ("limits", "a list of 2, each a number from 0 to 1, the lowest first"),
    ],
)
def test_ranges_paths_and_aliases_are_told_in_words(types: dict[str, Any], name: str, words: str) -> None:
    assert describe(types[name]) == words


@pytest.mark.parametrize("name", ["u", "w", "x", "y"])
def test_what_cannot_be_told_is_anything(types: dict[str, Any], name: str) -> None:
    assert types[name] is Any


def test_no_file_of_the_table_is_imported(types: dict[str, Any]) -> None:
    import sys

    assert "annotated_by_hand" not in sys.modules


def test_the_precisions_of_lightning_are_found_through_its_aliases() -> None:
    precision = next(p for p in signature("lightning.Trainer").parameters if p.name == "precision")
    assert "bf16-mixed" in describe(evaluate(precision.annotation, precision.module))


def test_the_range_of_a_parameter_is_kept_as_pydantic_needs_it() -> None:
    dropout = next(p for p in signature("tiles_ecg.encoder.resnet.ResNet1d").parameters if p.name == "dropout")
    found = evaluate(dropout.annotation, dropout.module)
    assert get_origin(found) is Annotated
    assert get_args(found)[0] is float
    assert Path(dropout.module.file or "").name == "resnet.py"
