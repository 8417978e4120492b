"""Losses of each kind, against loops from their equations, and weights against scikit-learn's."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from tiles_ecg.objective.supervised_loss import SupervisedLoss, balanced_weights
from tiles_ecg.task.target import Kind, Target


def target(kind: Kind, value: Any, classes: tuple[str, ...] = ()) -> Target:
    n = len(value)
    ids = tuple(map(str, range(n)))
    return Target(
        "t", kind, "window", classes, "", "m", np.arange(n), np.arange(n), np.asarray(value), np.arange(n), ids, ids,
        np.arange(n),
    )  # fmt: skip


def test_balanced_weights_are_scikit_learns() -> None:
    value = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=value)
    np.testing.assert_allclose(balanced_weights("multiclass", value, 3), expected)


def test_a_class_that_nobody_has_weighs_one_and_takes_nothing_from_the_others() -> None:
    np.testing.assert_allclose(balanced_weights("multiclass", np.array([0, 0, 0, 2]), 3), [4 / 6, 1, 4 / 2])


def test_weights_are_of_the_training_examples_alone() -> None:
    loss = SupervisedLoss(target("binary", [0, 0, 0, 1, 1, 1, 1, 1], ("a", "b")), np.arange(4), "balanced")
    np.testing.assert_allclose(loss.class_weight, [4 / 6, 4 / 2])
    number = SupervisedLoss(target("regression", [1.0, 3.0, 100.0]), np.arange(2), "balanced")
    assert (float(number.location), float(number.scale)) == (2.0, 1.0)


def test_cross_entropy_is_weighted_by_class() -> None:
    loss = SupervisedLoss(target("multiclass", [0, 0, 0, 1, 2, 2], ("a", "b", "c")), np.arange(6), "balanced")
    output, value = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    weight = [6 / 9, 6 / 3, 6 / 6]
    expected = [
        -weight[v] * (o[v] - math.log(sum(math.exp(k) for k in o)))
        for o, v in zip(output.tolist(), value.tolist(), strict=True)
    ]
    torch.testing.assert_close(loss(output, value), torch.tensor(expected))
    torch.testing.assert_close(loss.prediction(output).sum(1), torch.ones(6))


def test_labels_that_are_there_weigh_as_much_together_as_those_that_are_not() -> None:
    value = np.array([[1, 0], [0, 0], [0, 0], [1, 0]])
    loss = SupervisedLoss(target("multilabel", value, ("a", "b")), np.arange(3), "balanced")
    np.testing.assert_allclose(loss.class_weight, [2.0, 1.0])
    output = torch.tensor([[0.3, -1.0], [2.0, 0.5]])
    p = [[1 / (1 + math.exp(-o)) for o in row] for row in output.tolist()]
    expected = [
        (-2 * math.log(p[0][0]) - math.log(1 - p[0][1])) / 2,
        -(math.log(1 - p[1][0]) + math.log(1 - p[1][1])) / 2,
    ]
    torch.testing.assert_close(loss(output, torch.tensor(value[:2])), torch.tensor(expected))
    torch.testing.assert_close(loss.prediction(output), torch.tensor(p))


def test_a_number_is_learned_standardised_and_told_in_its_unit() -> None:
    loss = SupervisedLoss(target("regression", [60.0, 80.0, 100.0]), np.arange(3), None)
    scale = np.std([60, 80, 100])
    output = torch.tensor([[0.5], [-1.0]])
    expected = [(0.5 - (100 - 80) / scale) ** 2, (-1.0 - (70 - 80) / scale) ** 2]
    torch.testing.assert_close(loss(output, torch.tensor([100.0, 70.0])), torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(loss.prediction(output)[:, 0], torch.tensor([80 + 0.5 * scale, 80 - scale]).float())


def test_people_are_numbered_among_those_trained_on() -> None:
    loss = SupervisedLoss(target("verification", [7, 7, 3, 9, 5]), np.array([0, 1, 3]), "balanced")
    assert loss.n_outputs == 2
    assert loss.codes(np.array([7, 9, 3, 5, 10])).tolist() == [0, 1, -1, -1, -1]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_without_weights_every_class_weighs_one(kind: Kind) -> None:
    value = [[1, 0]] * 3 if kind == "multilabel" else [0, 0, 1]
    assert SupervisedLoss(target(kind, value, ("a", "b")), np.arange(3), None).class_weight.tolist() == [1.0, 1.0]
