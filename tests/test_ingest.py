"""All sources -> one store: against a loop over sources, with any number of jobs, interrupted, and on bad input."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from joblib import parallel_config

from tiles_ecg.config import ConfigError
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.recording import LabelSpec, Recording, RecordingError, Source
from tiles_ecg.store import Store, StoreError

PREPARATION = Preparation(100.0, 0.5, 40.0, window_s=2.5, step_s=2.5)
CONFIG = {"reader": {"root": "x"}, "preparation": {"window_s": 2.5}}
SEX = LabelSpec("sex", "subject", "categorical", ("female", "male"))


@dataclass
class MadeReader:
    """Recordings by source, or the exception that reading it ends with."""

    content: dict[str, list[Recording] | BaseException]
    labels: tuple[LabelSpec, ...] = (SEX,)
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    has_read: list[str] = field(default_factory=list)

    def sources(self) -> list[Source]:
        return [Source(key, self.files.get(key, ())) for key in self.content]

    def read(self, source: Source) -> Iterator[Recording]:
        self.has_read.append(source.key)
        found = self.content[source.key]
        if isinstance(found, BaseException):
            raise found
        yield from found


def made(seed: int, n_leads: int = 1, duration_s: float = 10.0, **changed: Any) -> Recording:
    signal = (
        np.random.default_rng(seed).normal(seed, 1 + seed, (1, n_leads, round(duration_s * 100))).astype(np.float32)
    )
    values: dict[str, Any] = {"id": f"r{seed}", "leads": tuple("XYZ"[:n_leads]), "source": "s", **changed}
    return Recording(signal=signal, sample_rate=100.0, **values)


def run(reader: Any, store: Path, config: dict[str, Any] | None = None, **options: Any) -> Store:
    prepare(reader, PREPARATION, store, config or CONFIG, **{"n_jobs": 1, "show_progress": False, **options})
    assert not [name for name in os.listdir(store.parent) if name != store.name and name.startswith((".", store.name))]
    return Store(store)


def columns(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: repr(item[:].tolist()).encode()}) if hasattr(item, "dtype") else None
        )
        found["signal"] = file["signal"][:].tobytes()
    return found


def test_the_store_holds_every_source_in_order_of_its_key(tmp_path: Path) -> None:
    reader = MadeReader({"b": [made(2), made(1)], "c": [], "a": [made(3, subject="anna"), made(4, subject="anna")]})
    store = run(reader, tmp_path / "s.h5")
    assert store.read("recording/id").tolist() == ["r3", "r4", "r2", "r1"]
    expected = np.concatenate([PREPARATION(made(seed), ()).signal for seed in (3, 4, 2, 1)])
    np.testing.assert_array_equal(store.signal.gather(np.arange(16)), expected)
    assert store.recording.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert store.subject.tolist() == [0] * 8 + [1] * 4 + [2] * 4
    assert store.subject_id == ["anna", "r2", "r1"]
    assert store.config == {**CONFIG, "plan": store.config["plan"]}


def test_a_store_is_known_by_the_files_that_hold_its_signals_however_it_was_prepared(tmp_path: Path) -> None:
    def fingerprints(store: str, keys: str, root: Path, labels: str, **config: Any) -> frozenset[str]:
        root.mkdir(exist_ok=True)
        (root / "labels.csv").write_text(labels)
        files = {}
        for key in keys:
            (root / f"{key}.dat").write_text(f"many samples of {key}")
            (root / f"{key}.atr").write_text(f"beats {key}")
            files[key] = (root / f"{key}.dat", root / f"{key}.atr", root / "labels.csv", root / "not.there")
        reader = MadeReader({key: [made(ord(key))] for key in keys}, files=files)
        return run(reader, tmp_path / store, {**CONFIG, **config}).fingerprints

    one = fingerprints("one.h5", "ab", tmp_path / "data", "a long table of labels, longer than a signal")
    assert len(one) == 2
    assert fingerprints("two.h5", "ab", tmp_path / "moved", "", preparation={"window_s": 20}) == one
    assert fingerprints("more.h5", "abc", tmp_path / "data", "others") > one
    assert not fingerprints("others.h5", "cd", tmp_path / "data", "labels") & one


def test_recordings_without_files_have_no_fingerprint(tmp_path: Path) -> None:
    assert run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5").fingerprints == frozenset()


def test_two_jobs_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    reader = SyntheticReader(n_subjects=5, sessions_per_subject=2, session_h=0.4)
    preparation = Preparation(100.0, 0.5, 40.0, 15.0, 7.5)
    for n_jobs in (1, 2):
        prepare(reader, preparation, tmp_path / f"{n_jobs}.h5", CONFIG, n_jobs=n_jobs, show_progress=False)
    one, two = columns(tmp_path / "1.h5"), columns(tmp_path / "2.h5")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    assert Store(tmp_path / "1.h5").digest == Store(tmp_path / "2.h5").digest


def test_a_backend_that_gives_everything_at_the_end_gives_the_same_store(tmp_path: Path) -> None:
    reader = SyntheticReader(n_subjects=3, sessions_per_subject=1, session_h=0.2)
    run(reader, tmp_path / "one.h5")
    with parallel_config(backend="multiprocessing", n_jobs=2):  # on which Ray's backend is built
        run(reader, tmp_path / "two.h5", n_jobs=None)
    assert columns(tmp_path / "one.h5") == columns(tmp_path / "two.h5")


def test_the_order_of_the_store_does_not_depend_on_what_the_reader_lists_first(tmp_path: Path) -> None:
    content: dict[str, Any] = {key: [made(seed)] for seed, key in enumerate("abcd")}
    run(MadeReader(content), tmp_path / "1.h5")
    run(MadeReader(dict(reversed(content.items()))), tmp_path / "2.h5")
    assert columns(tmp_path / "1.h5") == columns(tmp_path / "2.h5")


def test_the_same_command_again_reads_nothing(tmp_path: Path) -> None:
    run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")
    before = (tmp_path / "s.h5").stat().st_mtime_ns
    again = MadeReader({"a": [made(1)]})
    run(again, tmp_path / "s.h5")
    assert again.has_read == []
    assert (tmp_path / "s.h5").stat().st_mtime_ns == before


def test_a_store_of_another_config_is_left_alone_unless_told_otherwise(tmp_path: Path) -> None:
    run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")
    before = (tmp_path / "s.h5").read_bytes()
    other = {**CONFIG, "preparation": {"window_s": 3.0}}
    with pytest.raises(ConfigError, match=r"s\.h5: was prepared with another config.*overwrite=true"):
        run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5", other)
    assert (tmp_path / "s.h5").read_bytes() == before
    assert run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5", other, overwrite=True).config["preparation"] == {
        "window_s": 3.0
    }


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s.h5").write_text("my notes")
    with pytest.raises(ConfigError, match=r"is in the way \(.*not an HDF5 file"):
        run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")
    assert (tmp_path / "s.h5").read_text() == "my notes"


def test_a_changed_file_makes_the_store_out_of_date(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("1")
    reader = MadeReader({"a": [made(1)]}, files={"a": (tmp_path / "raw",)})
    run(reader, tmp_path / "s.h5")
    (tmp_path / "raw").write_text("22")
    with pytest.raises(ConfigError, match="or from other files"):
        run(reader, tmp_path / "s.h5")


@pytest.mark.parametrize("error", [RecordingError("no signal in it"), KeyError("val"), MemoryError("9 TiB")])
def test_one_bad_source_is_left_out_named_and_counted(tmp_path: Path, error: Exception) -> None:
    content: dict[str, Any] = {f"s{seed}": [made(seed)] for seed in range(20)}
    store = run(MadeReader({**content, "s07": error}), tmp_path / "s.h5")
    assert store.summary["failed_sources"] == 1
    assert store.summary["recordings"] == 20


def test_the_message_lists_what_was_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    reader = MadeReader({"a": [made(1)], "b": RecordingError("no signal in it")})
    prepare(reader, PREPARATION, tmp_path / "s.h5", CONFIG, n_jobs=1)
    assert "skipped: b: no signal in it" in capsys.readouterr().err
    assert "1 source could not be read:\n    b: no signal in it" in caplog.text


def test_raise_stops_at_the_first_bad_source_and_keeps_what_is_done(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": [made(1)], "b": RecordingError("no signal in it"), "c": [made(3)]}
    with pytest.raises(RecordingError, match=r"b: no signal in it \(on_error=skip leaves it out\)"):
        run(MadeReader(content), tmp_path / "s.h5", on_error="raise")
    assert not (tmp_path / "s.h5").exists()
    mended = MadeReader({**content, "b": [made(2)]})
    assert run(mended, tmp_path / "s.h5", on_error="raise").summary["recordings"] == 3
    assert "a" not in mended.has_read


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "no window is left of 0 sources"),
        ({"a": [], "b": [made(1, duration_s=1)]}, r"of 2 sources \(dropped: 1 short; 0 could not be read\)"),
        ({"a": RecordingError("bad")}, r"of 1 source \(.*; 1 could not be read, the first: a: bad\)"),
    ],
)
def test_nothing_usable_is_an_error_and_leaves_no_store(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(StoreError, match=rf"s\.h5: not written, since .*{problem}"):
        run(MadeReader(content), tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()


def test_the_few_sources_with_another_number_of_leads_are_left_out(tmp_path: Path) -> None:
    content: dict[str, Any] = {f"s{seed}": [made(seed)] for seed in range(5)}
    store = run(MadeReader({**content, "odd": [made(9, n_leads=2)]}), tmp_path / "s.h5")
    assert (store.n_leads, store.summary["recordings"], store.summary["failed_sources"]) == (1, 5, 1)
    with pytest.raises(StoreError, match=r"differ in their number of leads \(1: s0 and 4 more; 2: odd and 0 more\)"):
        run(MadeReader({**content, "odd": [made(9, n_leads=2)]}), tmp_path / "t.h5", on_error="raise")


def test_sources_that_differ_in_leads_by_halves_are_refused(tmp_path: Path) -> None:
    reader = MadeReader({"a": [made(1)], "b": [made(2, n_leads=2)]})
    with pytest.raises(StoreError, match="choose leads that all of them have"):
        run(reader, tmp_path / "s.h5")


def test_a_source_without_windows_may_have_any_leads(tmp_path: Path) -> None:
    reader = MadeReader({"a": [made(1)], "b": [made(2, n_leads=2, duration_s=1)]})
    store = run(reader, tmp_path / "s.h5")
    assert json.loads(store.attributes["leads"]) == ["X"]


def test_two_sources_with_one_key_are_refused(tmp_path: Path) -> None:
    class Twice(MadeReader):
        def sources(self) -> list[Source]:
            return [Source("a"), Source("a")]

    with pytest.raises(RecordingError, match="two sources called 'a'"):
        run(Twice({"a": [made(1)]}), tmp_path / "s.h5")


def test_an_interrupted_run_goes_on_and_gives_the_same_store(tmp_path: Path) -> None:
    content: dict[str, Any] = {f"s{seed}": [made(seed)] for seed in range(6)}
    run(MadeReader(content), tmp_path / "whole.h5")
    for broken_at in ("s0", "s3", "s5"):
        with pytest.raises(KeyboardInterrupt):
            run(MadeReader({**content, broken_at: KeyboardInterrupt()}), tmp_path / "s.h5")
        assert not (tmp_path / "s.h5").exists()
    last = MadeReader(content)
    run(last, tmp_path / "s.h5")
    assert last.has_read == ["s5"]
    assert columns(tmp_path / "s.h5") == columns(tmp_path / "whole.h5")


def test_a_part_of_a_file_that_has_changed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("1")
    reader = MadeReader({"a": [made(1)], "b": RecordingError("bad")}, files={"a": (tmp_path / "raw",)})
    with pytest.raises(RecordingError):
        run(reader, tmp_path / "s.h5", on_error="raise")
    (tmp_path / "raw").write_text("22")
    reader.content = {"a": [made(5)], "b": [made(2)]}
    store = run(reader, tmp_path / "s.h5")
    np.testing.assert_array_equal(store.signal.gather(np.arange(4)), PREPARATION(made(5), ()).signal)


def test_parts_of_another_config_are_not_used(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": [made(1)], "b": RecordingError("bad")}
    with pytest.raises(RecordingError):
        run(MadeReader(content), tmp_path / "s.h5", on_error="raise")
    reader = MadeReader({**content, "b": [made(2)]})
    run(reader, tmp_path / "s.h5", {**CONFIG, "preparation": {"window_s": 3.0}})
    assert reader.has_read == ["a", "b"]


@pytest.mark.parametrize("left", ["config.json.tmp", "0123.part", "0123.part.77.tmp"])
def test_what_a_killed_process_leaves_behind_is_cleared(tmp_path: Path, left: str) -> None:
    (tmp_path / "s.h5.parts").mkdir()
    (tmp_path / "s.h5.parts" / left).write_bytes(b"half")
    (tmp_path / "s.h5.tmp").write_bytes(b"half")
    (tmp_path / ".s.h5.lock").write_bytes(b"")
    run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")


def test_parts_left_beside_a_finished_store_are_removed(tmp_path: Path) -> None:
    run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")
    (tmp_path / "s.h5.parts").mkdir()
    (tmp_path / "s.h5.parts" / "0123.part").write_bytes(b"")
    run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")


def test_a_folder_of_the_user_is_never_taken_for_parts(tmp_path: Path) -> None:
    (tmp_path / "s.h5.parts").mkdir()
    (tmp_path / "s.h5.parts" / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigError, match=r"s\.h5\.parts is in the way and was not made by tiles-prepare"):
        run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")
    assert (tmp_path / "s.h5.parts" / "thesis.tex").exists()


def test_two_at_once_give_one_store_and_read_everything_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    is_reading, may_end = threading.Event(), threading.Event()

    class Waiting(MadeReader):
        def read(self, source: Source) -> Iterator[Recording]:
            is_reading.set()
            assert may_end.wait(20)
            return super().read(source)

    first, second = Waiting({"a": [made(1)]}), MadeReader({"a": [made(1)]})
    arguments = (PREPARATION, tmp_path / "s.h5", CONFIG, "skip", 1, False, False)
    threads = [threading.Thread(target=prepare, args=(reader, *arguments)) for reader in (first, second)]
    threads[0].start()
    assert is_reading.wait(20)
    threads[1].start()
    while "waiting for it" not in caplog.text:
        assert threads[1].is_alive()
    may_end.set()
    for thread in threads:
        thread.join(20)
    assert (first.has_read, second.has_read) == (["a"], [])
    assert [file.name for file in tmp_path.iterdir()] == ["s.h5"]


def test_a_folder_is_no_name_for_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder; give the path of the file to be, such as .*/ecg\.h5"):
        run(MadeReader({"a": [made(1)]}), tmp_path)


def test_a_folder_that_cannot_be_made_or_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"its folder cannot be made \(File exists\)|Not a directory"):
        run(MadeReader({"a": [made(1)]}), tmp_path / "file" / "s.h5")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="no permission to write in"):
        run(MadeReader({"a": [made(1)]}), tmp_path / "s.h5")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no file can be made in /proc|no permission to write in /proc"):
        prepare(MadeReader({"a": [made(1)]}), PREPARATION, Path("/proc/s.h5"), CONFIG, n_jobs=1, show_progress=False)


def test_the_store_is_made_where_its_folder_is_missing(tmp_path: Path) -> None:
    assert len(run(MadeReader({"a": [made(1)]}), tmp_path / "new" / "folder" / "s.h5")) == 4


def test_subjects_of_several_sources_have_one_row(tmp_path: Path) -> None:
    reader = MadeReader({key: [made(seed, subject="anna")] for seed, key in enumerate("abc")})
    reader.content["b"] = [replace(made(1, subject="anna"), labels={"sex": "female"})]
    store = run(reader, tmp_path / "s.h5")
    assert store.subject_id == ["anna"]
    assert store.label("sex").value.tolist() == [0] * 12
