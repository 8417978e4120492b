"""Losses of the kinds of task, weighted so that neither rare classes nor examples of few windows are drowned."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tiles_ecg.task.target import Kind, Target

ClassWeight = Literal["balanced"]


class SupervisedLoss(nn.Module):
    """Loss of each window, and what the outputs mean.

    Everything that is estimated (weights of classes, mean and scale of a number) comes from the training examples it is
    given, and each example counts once, whatever the number of its windows.

    `binary`, `multiclass`: cross-entropy times the weight of the class. `multilabel`: binary cross-entropy, mean over
    the classes. `regression`: squared error of the standardised value. `verification`: cross-entropy over the people
    trained on.

    Args:
        target: What is predicted.
        examples: (n,) those to train on.
        class_weight: `balanced`: a class weighs n / (K n_k), so that all weigh the same together; in `multilabel`
            examples with a label weigh as much together as those without. None: 1 each.

    Attributes:
        n_outputs: Of a model: K.
    """

    class_weight: Tensor
    location: Tensor
    scale: Tensor

    def __init__(self, target: Target, examples: NDArray[np.int64], class_weight: ClassWeight | None) -> None:
        super().__init__()
        self.kind: Kind = target.kind
        value = target.value[examples]
        self.people = np.unique(value) if target.kind == "verification" else np.zeros(0, np.int64)
        self.n_outputs = len(self.people) or target.n_outputs
        weight, location, scale = np.ones(self.n_outputs), 0.0, 1.0
        if target.kind == "regression":
            location, scale = float(value.mean()), float(value.std()) or 1.0
        elif class_weight == "balanced":
            weight = balanced_weights(target.kind, self.codes(value), self.n_outputs)
        self.register_buffer("class_weight", torch.tensor(weight, dtype=torch.float32))
        self.register_buffer("location", torch.tensor(location, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def codes(self, value: NDArray[Any]) -> NDArray[Any]:
        """Values as `forward` takes them: of people, their number among those trained on, -1 for others."""
        if self.kind != "verification":
            return value
        at = np.searchsorted(self.people, value).clip(0, len(self.people) - 1)
        return np.where(self.people[at] == value, at, -1)

    def forward(self, output: Tensor, value: Tensor) -> Tensor:
        """Loss of each window.

        Args:
            output: (B, K) of a model.
            value: (B,) int64 codes; (B, K) of 0 and 1 for `multilabel`; (B,) numbers for `regression`.

        Returns:
            (B,).
        """
        output = output.float()
        if self.kind == "multilabel":
            each = F.binary_cross_entropy_with_logits(
                output, value.float(), pos_weight=self.class_weight, reduction="none"
            )
            return each.mean(1)
        if self.kind == "regression":
            return (output[:, 0] - (value.float() - self.location) / self.scale).square()
        return F.cross_entropy(output, value, reduction="none") * self.class_weight[value]

    def prediction(self, output: Tensor) -> Tensor:
        """(B, K) probabilities, or (B, 1) numbers in the unit of the target."""
        output = output.float()
        if self.kind == "multilabel":
            return output.sigmoid()
        if self.kind == "regression":
            return output * self.scale + self.location
        return output.softmax(1)


def balanced_weights(kind: Kind, value: NDArray[Any], n_outputs: int) -> NDArray[np.float64]:
    """(K,) weights of classes, by the examples given; 1 for a class that none, or in `multilabel` every one, has.

    Args:
        kind: Of the target; not `regression`.
        value: (n,) codes; (n, K) of 0 and 1 for `multilabel`, where the weight is that of a label that is there.
        n_outputs: K.
    """
    n = len(value)
    if kind == "multilabel":
        has = value.sum(0).astype(np.float64)
        varies = (has > 0) & (has < n)
        against: NDArray[np.float64] = np.divide(n - has, has, out=np.ones(n_outputs), where=varies)
        return against
    count = np.bincount(value, minlength=n_outputs).astype(np.float64)
    n_present = int((count > 0).sum())
    weight: NDArray[np.float64] = np.divide(n, n_present * count, out=np.ones(n_outputs), where=count > 0)
    return weight
