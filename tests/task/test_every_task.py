"""Every file in conf/task composes, validates, and finds its target in the store it is for, ready to be divided."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tiles_ecg.config import ConfigError, config_directory, validate
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.protocol import Protocol
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.reader.tiles import TilesReader
from tiles_ecg.reader.tiles_release import write_release
from tiles_ecg.recording import Reader
from tiles_ecg.task.target import Target

CONF = config_directory()
NAMES = sorted(path.stem for path in (CONF / "task").glob("*.yaml"))
SURVEYS = {  # file and column of the release
    "tiles_stress": ("stressd", "stressd"),
    "tiles_anxiety": ("anxiety", "anxiety"),
    "tiles_positive_affect": ("pand", "pand_PosAffect"),
    "tiles_negative_affect": ("pand", "pand_NegAffect"),
}
EXPECTED = {  # kind, level, classes or unit
    "cinc2017_af": ("binary", "recording", ("rest", "af")),
    "cinc2017_noise": ("binary", "recording", ("rest", "noise")),
    "cinc2017_rhythm": ("multiclass", "recording", ("normal", "af", "other", "noise")),
    "mitdb_ventricular": ("binary", "window", ("no V", "V")),
    "ecgiddb_sex": ("binary", "subject", ("female", "male")),
    "ecgiddb_age": ("regression", "subject", "year"),
    "ecgiddb_person": ("verification", "window", None),
    "qtdb_qt": ("regression", "window", "ms"),
    "synthetic_stress": ("binary", "window", ("no", "yes")),
    "synthetic_af": ("binary", "window", ("sinus", "af")),
    "synthetic_heart_rate": ("regression", "window", "bpm"),
    "synthetic_person": ("verification", "window", None),
    "synthetic_beats": ("multilabel", "window", ("S", "V")),
    **dict.fromkeys(SURVEYS, ("regression", "day", "points")),
}
RECORDS = {"mitdb": ("101", "106", "114", "119"), "qtdb": ("sel16265", "sel16272", "sel16273", "sel16420", "sel16483")}


@pytest.fixture(scope="session")
def store_of(
    small_store: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """The store that a dataset's tasks are for: synthetic, or some real recordings; made on first use."""
    made = {"synthetic": small_store}

    def find(dataset: str) -> Path:
        if dataset not in made:
            folder = tmp_path_factory.mktemp(dataset)
            if dataset == "tiles":
                reader: Reader = release_reader(folder / "raw")
            else:
                source = request.getfixturevalue("real_data") / dataset
                if not source.is_dir():
                    pytest.skip(f"no real recordings at {source}")
                link_records(dataset, source, folder / "raw")
                config = OmegaConf.load(CONF / f"reader/{dataset}.yaml")
                reader = instantiate(config, root=str(folder / "raw"))
            made[dataset] = prepared(reader, folder / f"{dataset}.h5")
        return made[dataset]

    return find


def release_reader(root: Path) -> TilesReader:
    """A synthetic release, with affect scores made of its stress answers."""
    write_release(SyntheticReader(4, sessions_per_subject=4, session_h=0.5), root, low_coverage_share=0.0)
    folder = root / "surveys/scored/EMAs"
    with gzip.open(folder / "stressd.csv.gz", "rt", newline="") as lines:
        header, *rows = list(csv.reader(lines))
    with gzip.open(folder / "pand.csv.gz", "wt", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow([*header[:4], "pand_PosAffect", "pand_NegAffect", "Finished"])
        writer.writerows(
            [*row[:4], row[4] and 26 - 5 * int(row[4]), row[4] and 5 * int(row[4]), row[5]] for row in rows
        )
    return TilesReader(str(root))


def link_records(dataset: str, source: Path, target: Path) -> None:
    """A folder with links to a few real records of a dataset, or to all of `ecgiddb`."""
    if dataset == "ecgiddb":
        target.symlink_to(source)
        return
    target.mkdir()
    names = RECORDS.get(dataset, ())
    if dataset == "cinc2017":
        reference = (source / "REFERENCE-v3.csv").read_text()
        (target / "REFERENCE-v3.csv").write_text(reference)
        listed = [line.split(",") for line in reference.split()]
        names = tuple(record for letter in "NAO~" for record in [r for r, own in listed if own == letter][:12])
        source /= "training2017"
    for file in source.iterdir():
        if file.name.partition(".")[0] in names:
            (target / file.name).symlink_to(file)


def prepared(reader: Reader, path: Path) -> Path:
    preparation = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "step_s": 15.0}
    config = {"reader": {}, "preparation": preparation}
    return prepare(reader, Preparation(**preparation), path, config, n_jobs=1, show_progress=False)


def composed(name: str, *overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(f"task/{name}", list(overrides))


def test_the_expectations_cover_every_file() -> None:
    assert set(NAMES) == set(EXPECTED)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_finds_its_target_and_a_protocol_divides_it(name: str, store_of: Callable[[str], Path]) -> None:
    store = store_of(name.partition("_")[0])
    overrides = []
    if name in SURVEYS:
        overrides = [f"task.file={store.parent}/raw/surveys/scored/EMAs/{SURVEYS[name][0]}.csv.gz"]
    cfg = composed(name, *overrides)
    validate(cfg)
    task = instantiate(cfg.task, _convert_="all")
    windows = Windows([store])
    found: Target = task.target(windows, np.arange(len(windows)))
    kind, level, of = EXPECTED[name]
    assert (task.name, found.name, task.kind, task.metric) == (name, name, kind, found.metric)
    assert (found.kind, found.level) == (kind, level)
    if of is not None:
        assert of == (found.unit if kind == "regression" else found.classes)
    check_shapes(found)
    if name != "synthetic_af":  # of the six subjects, one has fibrillation
        plan = Protocol(folds=2, inner_folds=2).plan(windows, found)
        assert len(plan.folds) == 2


def check_shapes(found: Target) -> None:
    """What `Target` promises of its arrays."""
    n_examples = len(found.value)
    assert np.all(np.diff(found.row) > 0)
    assert set(found.example.tolist()) == set(range(n_examples))
    assert len(set(found.example_id)) == len(found.example_id) == len(found.subject) == n_examples
    if found.kind == "regression":
        assert found.value.dtype == np.float64
        assert np.isfinite(found.value).all()
    else:
        assert found.value.dtype == np.int64
        n_classes = found.value.shape[1] if found.value.ndim == 2 else len(found.classes)
        assert n_classes == len(found.classes)
        assert found.value.min() >= 0
        assert found.value.max() < (2 if found.value.ndim == 2 else n_classes)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("tiles")])
def test_a_target_is_the_same_every_time(name: str, store_of: Callable[[str], Path]) -> None:
    windows = Windows([store_of(name.partition("_")[0])])
    rows = np.arange(len(windows))
    first, second = (instantiate(composed(name).task, _convert_="all").target(windows, rows) for _ in range(2))
    assert first.example_id == second.example_id
    np.testing.assert_array_equal(first.value, second.value)
    np.testing.assert_array_equal(first.row, second.row)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_opens_with_what_it_is(name: str) -> None:
    assert (CONF / f"task/{name}.yaml").read_text(encoding="utf-8").startswith("# ")


def test_the_ventricular_windows_of_real_records_are_those_with_a_ventricular_annotation(
    store_of: Callable[[str], Path], real_data: Path
) -> None:
    import wfdb

    windows = Windows([store_of("mitdb")])
    found = instantiate(composed("mitdb_ventricular").task).target(windows, np.arange(len(windows)))
    start_s = windows.stores[0].read("window/start_s")
    for record in RECORDS["mitdb"]:
        events = wfdb.rdann(str(real_data / "mitdb" / record), "atr")
        time_s = np.array([at / 360 for at, symbol in zip(events.sample, events.symbol, strict=True) if symbol in "VE"])
        mine = np.array([found.subject_id[i] == record for i in found.subject])
        start = start_s[found.row[mine]]
        expected = [bool(((time_s >= at) & (time_s < at + 15)).any()) for at in start]
        assert found.value[mine].tolist() == [int(is_in) for is_in in expected]


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("cinc2017_af", "task.level=recordin", r"task.level = recordin: not a choice; .* \(did you mean recording\?\)"),
        ("cinc2017_af", "task.metric=aurok", r"task.metric = aurok: not a choice; .* \(did you mean auroc\?\)"),
        ("cinc2017_af", "task.classes=3", "task.classes = 3: a number; Classification takes a mapping or a list"),
        ("cinc2017_af", "+task.clases=null", r"takes no such argument; did you mean classes\?"),
        ("ecgiddb_age", "task.metric=auroc", "task.metric = auroc: not a choice; .* mae, ccc, r2, pearson"),
        ("ecgiddb_age", "+task.low=young", "task.low = young: a text; Regression takes a number or null"),
        ("ecgiddb_person", "task.metric=mae", "task.metric = mae: not a choice; .* eer, rank1, auroc"),
        ("tiles_stress", "task.day_starts_h=25", "task.day_starts_h = 25: out of range; .* >= 0 and < 24"),
        ("tiles_stress", "task.unit=points", r"task.file = \?\?\?: missing; give it as task.file=FILE"),
    ],
)
def test_a_value_that_does_not_fit_is_told_before_anything_is_opened(name: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(composed(name, override))
