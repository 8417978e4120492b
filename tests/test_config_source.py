"""Names are followed through source files as Python's imports would."""

from pathlib import Path

import pytest

from tiles_ecg.config_source import Definition, Module, find_module, resolve


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose names take every detour; its own name is new for each test, since modules are kept."""
    name = f"detours_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from .inner import *\nfrom .inner.deep import Real as Renamed\nraise SystemExit\n"
    )
    (folder / "inner" / "__init__.py").write_text("from .deep import Real\nfrom . import deep\nAlias = Real\n")
    (folder / "inner" / "deep.py").write_text("class Real:\n    pass\nfrom ..loop import Endless\n")
    (folder / "loop.py").write_text("from .inner.deep import Endless\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize("name", ["Real", "Renamed", "Alias"])
def test_a_name_is_followed_through_star_renaming_and_assignment_without_an_import(package: str, name: str) -> None:
    module = find_module(package)
    assert module is not None
    found = resolve(module, name)
    assert isinstance(found, Definition)
    assert found.module.name == f"{package}.inner.deep"


def test_an_import_that_leads_back_to_itself_ends(package: str) -> None:
    module = find_module(f"{package}.loop")
    assert module is not None
    assert resolve(module, "Endless") is None


def test_a_module_is_found_by_its_exact_case_only(package: str) -> None:
    assert isinstance(find_module(f"{package}.inner.deep"), Module)
    assert find_module(f"{package}.inner.Deep") is None


def test_a_package_that_is_not_installed_is_not_found() -> None:
    assert find_module("no_such_package_at_all.module") is None
