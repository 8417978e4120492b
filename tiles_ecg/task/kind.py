"""Kinds of tasks, in a file that imports nothing: readers of predictions need no torch."""

from typing import Literal

Kind = Literal["binary", "multiclass", "multilabel", "regression", "verification"]
