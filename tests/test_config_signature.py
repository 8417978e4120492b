"""Signatures read from source agree with those that Python tells after an import."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.config_signature import signature

OPTIMIZERS = [name for name in torch.optim.__all__ if inspect.isclass(getattr(torch.optim, name, None))]
SCHEDULERS = [
    name for name in torch.optim.lr_scheduler.__all__ if inspect.isclass(getattr(torch.optim.lr_scheduler, name))
]
LAYERS = ["Linear", "Conv1d", "BatchNorm1d", "LayerNorm", "ReLU", "GELU", "Dropout", "AdaptiveAvgPool1d"]


def same_as_python(target: str, imported: Callable[..., Any]) -> None:
    expected = [
        p for p in inspect.signature(imported).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    found = {p.name: p.is_required for p in signature(target).parameters}
    assert found == {p.name: p.default is p.empty for p in expected}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_have_the_arguments_that_python_tells(name: str) -> None:
    same_as_python(f"torch.optim.{name}", getattr(torch.optim, name))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_have_the_arguments_that_python_tells(name: str) -> None:
    same_as_python(f"torch.optim.lr_scheduler.{name}", getattr(torch.optim.lr_scheduler, name))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_reached_through_star_imports_have_the_arguments_that_python_tells(name: str) -> None:
    same_as_python(f"torch.nn.{name}", getattr(torch.nn, name))


def test_a_dataclass_takes_its_fields_in_order() -> None:
    from tiles_ecg.recording import Recording

    same_as_python("tiles_ecg.recording.Recording", Recording)
    assert [p.name for p in signature("tiles_ecg.recording.Recording").parameters][:3] == [
        "id",
        "signal",
        "sample_rate",
    ]


def test_a_named_tuple_takes_its_fields() -> None:
    assert [p.name for p in signature("tiles_ecg.dataset.batch.EcgBatch").parameters] == [
        "signal",
        "beat",
        "subject",
        "index",
    ]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"shapes_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        """
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import ClassVar

@dataclass
class Parent:
    a: int
    b: int = 1

@dataclass
class Child(Parent):
    n: ClassVar[int] = 3
    _: KW_ONLY
    c: list = field(default_factory=list)
    d: int = field(init=False)
    e: int = field(kw_only=True)

class Plain:
    def __init__(self, x, /, y=1, *args, z, **kwargs): ...
    @classmethod
    def load(cls, path, strict=True): ...
    @staticmethod
    def make(path): ...

class Heir(Plain):
    pass

class Empty:
    pass

class Unreadable(Plain.__base__):
    pass

def function(a, b=2, *, c): ...
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("name", "expected", "is_open"),
    [
        ("Child", [("a", True), ("b", False), ("c", False), ("e", True)], False),
        ("Plain", [("x", True), ("y", False), ("z", True)], True),
        ("Heir", [("x", True), ("y", False), ("z", True)], True),
        ("Heir.load", [("path", True), ("strict", False)], False),
        ("Plain.make", [("path", True)], False),
        ("Empty", [], False),
        ("Unreadable", [], True),
        ("function", [("a", True), ("b", False), ("c", True)], False),
    ],
)
def test_every_kind_of_target_is_read(module: str, name: str, expected: list[tuple[str, bool]], is_open: bool) -> None:
    found = signature(f"{module}.{name}")
    assert [(p.name, p.is_required) for p in found.parameters] == expected
    assert found.is_open == is_open


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tiles_ecg.encoder.resnt.ResNet1d", "no 'resnt' in tiles_ecg.encoder; did you mean resnet?"),
        ("tiles_ecg.encoder.resnet.ResNet1D", "no 'ResNet1D' in tiles_ecg.encoder.resnet; did you mean ResNet1d?"),
        ("torch.optim.adamW", "no 'adamW' in torch.optim; did you mean"),
        ("tiles_egc.encoder", "no 'tiles_egc' package; did you mean tiles_ecg?"),
        ("tiles_ecg.encoder.resnet", "a module; name a class or function in it, such as ResNet1d"),
        (
            "tiles_ecg.encoder.resnet.ResNet1d.froward",
            "no 'froward' in tiles_ecg.encoder.resnet.ResNet1d; did you mean forward?",
        ),
        ("", "no '' package"),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_the_nearest(target: str, message: str) -> None:
    with pytest.raises(LookupError) as caught:
        signature(target)
    assert message in str(caught.value)
