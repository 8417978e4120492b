"""The space of a search is what Hydra's grammar says, and every point of it is an override again."""

import math

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tiles_ecg.sweep.plan import SweepError
from tiles_ecg.sweep.search_space import as_overrides, combinations, described, read_space, trial_name, varied

PARSER = OverridesParser.create()


def space_of(*overrides: str) -> dict[str, optuna.distributions.BaseDistribution]:
    return read_space(PARSER.parse_overrides(list(overrides)))[1]


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ("interval(0.1,2)", FloatDistribution(0.1, 2.0)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("range(0.1,0.5,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("0,1", CategoricalDistribution(["0", "1"])),
        ("choice(0.05,0.1)", CategoricalDistribution(["0.05", "0.1"])),
        ("null,0.1", CategoricalDistribution(["null", "0.1"])),
        ("choice([1,2],[3])", CategoricalDistribution(["[1,2]", "[3]"])),
    ],
)
def test_hydras_grammar_gives_the_distribution(
    values: str, distribution: optuna.distributions.BaseDistribution
) -> None:
    assert space_of(f"key={values}") == {"key": distribution}


def test_what_has_one_value_is_fixed_and_the_last_override_of_a_key_holds() -> None:
    fixed, space = read_space(PARSER.parse_overrides(["seed=3", "a=1,2", "b=interval(0,1)", "a=7", "~c", "+d=1,2"]))
    assert fixed == ("seed=3", "a=7", "~c")
    assert list(space) == ["b", "+d"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("a=1", "there is nothing to search in"),
        ("a=interval(2,1)", "a=interval\\(2,1\\): the lower end of an interval comes first, and 2.0 is not below 1.0"),
        ("a=tag(log,interval(0,1))", "a logarithmic scale begins above 0, not at 0.0"),
        ("a=tag(x,interval(0,1))", "tag x means nothing to a search; the only one is log"),
        ("a=range(3,1)", "this range has no values"),
        ("a=tag(log,range(1,9,2))", "a logarithmic scale goes with steps of 1"),
        ("a=0,1,0", "a=0,1,0: 0 is given twice"),
        ("a=tag(log,choice(1,2))", "choices have no scale"),
    ],
)
def test_what_cannot_be_searched_is_told(override: str, told: str) -> None:
    with pytest.raises(SweepError, match=told):
        space_of(override)


def test_every_draw_is_read_back_from_its_override_to_the_last_digit() -> None:
    space = space_of("a=tag(log,interval(1e-4,1e-2))", "b=int(interval(1,8))", "c=range(0.1,0.5,0.1)", "d='x y',[1,2]")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        point = study.ask(space).params
        read = {o.key_or_group: o.value() for o in PARSER.parse_overrides(list(as_overrides(point)))}
        assert read["a"] == point["a"]
        assert read["b"] == point["b"]
        assert read["c"] == point["c"]
        assert read["d"] in (["1", "2"], [1, 2], "x y")


def test_a_grid_is_the_product_of_its_values_with_the_last_key_fastest() -> None:
    points = combinations(space_of("a=x,y", "b=range(1,4)", "c=range(0.1,0.35,0.1)"))
    assert len(points) == 2 * 3 * 3
    assert points[0] == {"a": "x", "b": 1, "c": 0.1}
    assert points[4] == {"a": "x", "b": 2, "c": pytest.approx(0.2)}
    with pytest.raises(SweepError, match="a: a grid has no intervals"):
        combinations(space_of("a=interval(0,1)"))


def test_spaces_that_differ_are_described_differently() -> None:
    texts = ["a=interval(0.1,1)", "a=tag(log,interval(0.1,1))", "a=range(0.1,1,0.1)", "a=0.1,1", "a=interval(0.1,2)"]
    assert len({described(space_of(text))["a"] for text in texts}) == len(texts)


def test_a_name_is_readable_and_safe_and_no_longer_than_a_file_system_takes() -> None:
    name = trial_name(7, {"optimizer.lr": 0.0012345678, "+encoder": "resnet8", "dataset.store": "'/data/my store.h5'"})
    assert name == "trial-007-lr=0.00123,encoder=resnet8,store=my-store.h5"
    assert len(trial_name(7, {f"key{i}": "value" for i in range(90)})) <= 120
    assert trial_name(1, {"a": math.pi}) != trial_name(2, {"a": math.pi})
    assert varied({"+encoder": "resnet8", "seed": 1}) == {"encoder": "resnet8", "seed": "1"}
