"""Words of a command are told apart, and overrides go to the readers that know them."""

from pathlib import Path

import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.embedding.inputs import fitting, is_override, recognise


def test_an_override_is_told_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.csv").touch()
    words = ["reader.root=x", "+reader.x=1", "a=b.csv", "a.csv", "hydra/launcher=x", "=x"]
    assert [is_override(word) for word in words] == [True, True, False, False, True, False]


def test_files_are_read_together_and_records_by_folder(tmp_path: Path) -> None:
    names = ["a.csv", "b.EDF", "x/1.hea", "x/2.hea", "y/1.hea", "s.h5"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = recognise([str(tmp_path / name) for name in [*names, "a.csv"]], [])
    assert [(given.reader, len(given.names)) for given in found] == [("", 0), ("wfdb", 2), ("wfdb", 1), ("files", 2)]
    assert found[0].store == tmp_path / "s.h5"


def test_a_record_is_read_by_the_wfdb_reader_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.hea").touch()
    (given,) = recognise([str(tmp_path / "1.hea")], ["reader=mitdb"])
    assert given.reader == "mitdb"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a/1.hea", "reader=wfdb"), ("manifest.csv", "reader=table"), ("x.edf", "reader=files"), ("x.doc", "one of")],
)
def test_a_folder_without_a_reader_is_guessed_at(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=hint):
        recognise([str(tmp_path)], [])


def test_an_override_goes_to_the_readers_that_know_its_key() -> None:
    overrides = ["reader.sample_rate=250", "reader.leads=[0]", "reader.typo=1", "preparation.low_hz=1"]
    assert fitting(overrides, "files", ["files", "wfdb"]) == [overrides[0], *overrides[2:]]
    assert fitting(overrides, "wfdb", ["files", "wfdb"]) == overrides[1:]
