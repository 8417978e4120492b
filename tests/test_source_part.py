"""One source -> one part: what is written, and what becomes of everything that can be wrong with a source."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.part import PartReader
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import Annotations, LabelSpec, Recording, RecordingError, Source
from tiles_ecg.source_part import Outcome, disk_full_explained, prepare_source, stamp
from tiles_ecg.store import StoreError

PREPARATION = Preparation(100.0, 0.5, 40.0, window_s=2.5, step_s=2.5)
RHYTHM = LabelSpec("rhythm", "window", "categorical", ("n", "v"))
SEX = LabelSpec("sex", "subject", "categorical", ("female", "male"))


@dataclass
class MadeReader:
    """Yields what a function makes."""

    make: Callable[[], Iterator[Recording]]
    labels: tuple[LabelSpec, ...] = (RHYTHM, SEX)

    def sources(self) -> list[Source]:
        return [Source("p1")]

    def read(self, source: Source) -> Iterator[Recording]:
        return self.make()


def made(seed: int = 0, n_leads: int = 1, **changed: Any) -> Recording:
    signal = np.random.default_rng(seed).normal(size=(1, n_leads, 1000)).astype(np.float32)
    values: dict[str, Any] = {"id": f"r{seed}", "leads": tuple("XYZ"[:n_leads]), "source": "p1", **changed}
    return Recording(signal=signal, sample_rate=100.0, **values)


def run(tmp_path: Path, *recordings: Recording | Exception, source: Source | None = None) -> Outcome:
    def make() -> Iterator[Recording]:
        for item in recordings:
            if isinstance(item, Exception):
                raise item
            yield item

    return prepare_source(MadeReader(make), PREPARATION, source or Source("p1"), tmp_path / "a.part")


def test_a_part_holds_the_windows_of_all_recordings_with_their_facts(tmp_path: Path) -> None:
    events = Annotations("rhythm", np.array([0.0]), ["v"], np.array([5.0]))
    first = made(0, subject="anna", annotations=(events,), labels={"sex": "female"}, dropped={"coverage": 2})
    second = made(1, device="shirt", notes=("a doubt",))
    assert run(tmp_path, first, second) == Outcome("p1", n_windows=8)
    part = PartReader(tmp_path / "a.part")
    columns = part.read_columns()
    prepared = [PREPARATION(recording, (RHYTHM,)) for recording in (first, second)]
    np.testing.assert_array_equal(part.read_signal(np.arange(8)), np.concatenate([each.signal for each in prepared]))
    assert columns["recording"].tolist() == [0] * 4 + [1] * 4
    assert columns["start_s"].tolist() == [0.0, 2.5, 5.0, 7.5] * 2
    assert columns["label/rhythm"].tolist() == [1, 1, -1, -1] + [-1] * 4
    assert columns["beat_count"].sum() == len(columns["beat_position"])
    known = part.description
    assert [recording["id"] for recording in known["recordings"]] == ["r0", "r1"]
    assert known["recordings"][0]["subject"] == "anna"
    assert known["recordings"][0]["labels"] == {"sex": "female"}
    assert known["recordings"][1]["device"] == "shirt"
    assert (known["dropped"], known["notes"], known["n_windows"], known["n_leads"]) == (
        {"coverage": 2},
        ["a doubt"],
        8,
        1,
    )
    assert known["read_s"] == sum(r.signal.shape[-1] / r.sample_rate for r in (first, second))


def test_pieces_with_one_id_are_one_recording(tmp_path: Path) -> None:
    run(tmp_path, made(0), replace(made(1), id="r0", start_s=np.array([100.0]), labels={"sex": "male"}))
    part = PartReader(tmp_path / "a.part")
    assert len(part.description["recordings"]) == 1
    assert part.description["recordings"][0]["labels"] == {"sex": "male"}
    assert part.read_columns()["start_s"].tolist() == [0.0, 2.5, 5.0, 7.5, 100.0, 102.5, 105.0, 107.5]


def test_equal_windows_and_only_those_have_equal_digests(tmp_path: Path) -> None:
    run(tmp_path, made(0), made(1), replace(made(0), id="again"))
    digest = PartReader(tmp_path / "a.part").read_columns()["digest"]
    assert digest[:4].tolist() == digest[8:].tolist()
    assert len(set(digest.tolist())) == 8


def test_labels_in_numpy_types_are_kept(tmp_path: Path) -> None:
    assert run(tmp_path, made(labels={"sex": np.str_("male")})).problem == ""  # type: ignore[dict-item]
    assert PartReader(tmp_path / "a.part").description["recordings"][0]["labels"] == {"sex": "male"}


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (RecordingError("p1: no signal"), "p1: no signal"),
        (RecordingError("no signal in it"), "p1: no signal in it"),
        (ValueError("cannot be"), "p1: cannot be"),
        (KeyError("val"), "p1: KeyError: 'val'"),
        (PermissionError(errno.EACCES, "Permission denied", "x.dat"), "Permission denied: 'x.dat'"),
        (MemoryError("Unable to allocate 9 TiB"), "needs more memory than there is (Unable to allocate 9 TiB)"),
    ],
)
def test_whatever_is_wrong_with_a_source_comes_back_with_its_name(
    tmp_path: Path, broken: Exception, problem: str
) -> None:
    outcome = run(tmp_path, made(), broken)
    assert outcome.key == "p1"
    assert problem in outcome.problem
    assert outcome.problem.startswith("p1: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("recording", "problem"),
    [
        (made(labels={"sex": "f"}), "p1: label sex = 'f'; its classes are female, male"),
        (made(labels={"age": 3}), "p1: r0 has a label age that its reader does not declare"),
        (
            made(annotations=(Annotations("rhythm", np.zeros(1), ["x"], np.ones(1)),)),
            "p1: label rhythm = 'x'; its classes are n, v",
        ),
        (made(annotations=(Annotations("beats", np.zeros(1), ["x"], np.ones(1)),)), "p1: r0 has a label beats that"),
    ],
)
def test_a_label_that_no_class_has_names_the_source(tmp_path: Path, recording: Recording, problem: str) -> None:
    assert run(tmp_path, recording).problem.startswith(problem)


def test_recordings_of_one_source_must_have_the_same_leads(tmp_path: Path) -> None:
    assert run(tmp_path, made(0), made(1, n_leads=2)).problem == "p1: r1 has 2 leads, the first 1"


def test_a_source_that_gives_nothing_has_an_empty_part(tmp_path: Path) -> None:
    assert run(tmp_path) == Outcome("p1", n_windows=0)
    assert PartReader(tmp_path / "a.part").description["n_windows"] == 0


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")

    def make() -> Iterator[Recording]:
        yield made()
        file.write_text("12")

    source = Source("p1", (file,))
    outcome = prepare_source(MadeReader(make), PREPARATION, source, tmp_path / "a.part")
    assert outcome.problem == "p1: changed while it was read; run the same command again"
    assert not (tmp_path / "a.part").exists()


def test_the_stamp_follows_size_and_time_of_every_file(tmp_path: Path) -> None:
    source = Source("p1", (tmp_path / "a", tmp_path / "absent"))
    (tmp_path / "a").write_text("1")
    before = stamp(source)
    assert json.loads(json.dumps(before)) == before
    (tmp_path / "a").write_text("12")
    assert stamp(source) != before
    assert len(stamp(source)) == 1


def test_the_content_digest_follows_the_content_alone(tmp_path: Path) -> None:
    digests = []
    for name, text in (("x", "1"), ("y", "1"), ("z", "2")):
        (tmp_path / name).write_text(text)
        run(tmp_path, made(), source=Source("p1", (tmp_path / name,)))
        digests.append(PartReader(tmp_path / "a.part").description["content"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_stops_everything_and_says_what_to_do(tmp_path: Path, code: int) -> None:
    with pytest.raises(StoreError, match=r"a\.part: the disk is full; make room and run the same command again"):
        run(tmp_path, made(), OSError(code, "no"))


def test_other_failures_of_the_system_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_full_explained(tmp_path):
        raise PermissionError(errno.EACCES, "no")
