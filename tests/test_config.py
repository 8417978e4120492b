"""Every mistake in a config is told at once, in its own line, before anything is built."""

import subprocess
import sys
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError, config_directory, folder_name, register_resolvers, validate

ENCODER = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "n_leads": 1,
    "widths": [16, 32],
    "strides": [1, 2],
    "kernel_size": 3,
    "embedding_dim": 256,
}


def problems(content: dict[str, Any]) -> list[str]:
    cfg = OmegaConf.create(content)
    before = OmegaConf.to_yaml(cfg)
    try:
        validate(cfg)
    except ConfigError as error:
        assert OmegaConf.to_yaml(cfg) == before
        return error.problems
    return []


def of_encoder(**changes: Any) -> list[str]:
    return problems({"encoder": {**ENCODER, **changes}})


def composed(name: str, *overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return compose(name, list(overrides))


def test_a_config_that_can_work_passes() -> None:
    assert of_encoder() == []


def test_a_missing_value_is_told_with_the_way_to_give_it() -> None:
    assert problems({"store": "???", "reader": {"root": "???", "leads": "???"}}) == [
        "store = ???: missing; give it as store=FILE.h5",
        "reader.root = ???: missing; give it as reader.root=DIR",
        "reader.leads = ???: missing; give it as reader.leads=VALUE",
    ]


def test_a_missing_value_is_told_once_however_often_it_is_referred_to() -> None:
    found = problems({"dataset": {"n_leads": "???"}, "encoder": {**ENCODER, "n_leads": "${dataset.n_leads}"}})
    assert found == ["dataset.n_leads = ???: missing; give it as dataset.n_leads=VALUE"]


def test_an_interpolation_of_a_key_that_is_not_there_is_told_with_the_nearest() -> None:
    found = problems({"dataset": {"n_leads": 1}, "encoder": {**ENCODER, "n_leads": "${dataset.n_lead}"}})
    assert found == ["encoder.n_leads = ${dataset.n_lead}: there is no dataset.n_lead; did you mean dataset.n_leads?"]


def test_only_the_broken_link_of_a_chain_of_interpolations_is_told() -> None:
    found = problems(
        {"dataset": {"n_leads": "${nowhere.at_all}"}, "encoder": {**ENCODER, "n_leads": "${dataset.n_leads}"}}
    )
    assert found == ["dataset.n_leads = ${nowhere.at_all}: there is no nowhere.at_all"]


def test_an_unknown_resolver_is_told() -> None:
    (line,) = of_encoder(n_leads="${count:leads}")
    assert line.startswith(
        "encoder.n_leads = ${count:leads}: cannot be resolved (Unsupported interpolation type count)"
    )


def test_what_only_a_running_hydra_knows_is_left_alone() -> None:
    target = {"_target_": "tiles_ecg.logger.metrics_csv.MetricsCsv", "path": "${run_dir}/metrics.csv"}
    assert problems({"run_dir": "${hydra:runtime.output_dir}", "logger": target}) == []


def test_a_target_that_does_not_exist_is_told_with_the_nearest() -> None:
    assert of_encoder(_target_="tiles_ecg.encoder.resnet.Resnet1D")[0] == (
        "encoder._target_ = tiles_ecg.encoder.resnet.Resnet1D: "
        "no 'Resnet1D' in tiles_ecg.encoder.resnet; did you mean ResNet1d?"
    )


def test_an_argument_that_the_target_does_not_take_is_told_with_the_nearest() -> None:
    assert of_encoder(drop_out=0.1) == [
        "encoder.drop_out = 0.1: ResNet1d takes no such argument; did you mean dropout?"
    ]


def test_an_argument_like_no_other_is_told_with_those_there_are() -> None:
    assert of_encoder(foo=1) == [
        "encoder.foo = 1: ResNet1d takes no such argument; "
        "it takes n_leads, widths, strides, kernel_size, embedding_dim, dropout"
    ]


def test_an_argument_that_the_target_needs_is_told_unless_it_is_partial() -> None:
    without = {name: value for name, value in ENCODER.items() if name != "kernel_size"}
    assert problems({"encoder": without}) == [
        "encoder.kernel_size: missing; ResNet1d needs it (a whole number > 0); give encoder.kernel_size=VALUE"
    ]
    assert problems({"encoder": {**without, "_partial_": True}}) == []


def test_positional_arguments_count_as_given() -> None:
    assert problems({"encoder": {"_target_": ENCODER["_target_"], "_args_": [1, [16], [1], 3, 256]}}) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"dropout": 1.5}, "encoder.dropout = 1.5: out of range; ResNet1d takes a number from 0 to 1"),
        ({"n_leads": 0}, "encoder.n_leads = 0: out of range; ResNet1d takes a whole number > 0"),
        ({"n_leads": 1.5}, "encoder.n_leads = 1.5: a fraction; ResNet1d takes a whole number > 0"),
        ({"n_leads": True}, "encoder.n_leads = true: true or false; ResNet1d takes a whole number > 0"),
        ({"n_leads": "two"}, "encoder.n_leads = two: a text; ResNet1d takes a whole number > 0"),
        ({"n_leads": None}, "encoder.n_leads = null: null; ResNet1d takes a whole number > 0"),
        (
            {"widths": [16, "x"]},
            "encoder.widths = [16, 'x']: does not fit; ResNet1d takes a list, each a whole number > 0",
        ),
    ],
)
def test_a_value_of_a_wrong_type_or_range_is_told(changes: dict[str, Any], line: str) -> None:
    assert of_encoder(**changes) == [line]


def test_a_whole_number_is_a_number() -> None:
    assert of_encoder(dropout=0) == []


def test_a_component_within_a_component_is_checked_as_its_own_and_counts_as_anything() -> None:
    labeller = {"_target_": "tiles_ecg.reader.physionet.Cinc2017", "foo": 1}
    reader = {"_target_": "tiles_ecg.reader.wfdb.WfdbReader", "root": "here", "leads": [0], "labeller": labeller}
    (line,) = problems({"reader": reader})
    assert line.startswith("reader.labeller.foo = 1: Cinc2017 takes no such argument")


def test_a_reference_to_a_component_is_not_checked_twice() -> None:
    twice = {"encoder": {**ENCODER, "n_leads": 0}, "objective": {"encoder": "${encoder}"}}
    assert len(problems(twice)) == 1


def test_a_wrong_value_is_told_where_it_is_written_not_where_it_is_repeated() -> None:
    found = problems(
        {
            "trainer": {"max_steps": 6e4},
            "scheduler": {
                "_target_": "tiles_ecg.scheduler.cosine.WarmupCosine",
                "_partial_": True,
                "max_steps": "${trainer.max_steps}",
                "warmup_share": 0.05,
                "final_share": 0.0,
            },
        }
    )
    assert found == ["trainer.max_steps = 60000.0: a fraction; choose a whole number > 0 (did you mean 60000?)"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trainer.max_steps=0", "trainer.max_steps = 0: out of range; choose a whole number > 0"),
        ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps = 0: out of range; choose a whole number > 0"),
        ("optimizer.lr=0", "optimizer.lr = 0: out of range; choose a number > 0"),
        ("optimizer.lr=abc", "optimizer.lr = abc: a text; choose a number > 0"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay = -1: out of range; choose a number >= 0"),
        ("seed=-1", "seed = -1: out of range; choose a whole number >= 0"),
        (
            "dataset.normalise=subjct",
            "dataset.normalise = subjct: not a choice; "
            "EcgDataModule takes one of subject, subject_robust, window, none (did you mean subject?)",
        ),
        (
            "trainer.accelerator=gpus",
            "trainer.accelerator = gpus: not a choice; "
            "choose one of auto, cpu, gpu, cuda, mps, tpu, hpu (did you mean gpu?)",
        ),
    ],
)
def test_values_of_torch_and_lightning_and_of_the_root_have_ranges(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(composed("train", override))
    assert line in caught.value.problems


def test_a_precision_that_lightning_does_not_take_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"trainer.precision = bf16-mixd: not a choice; .*did you mean bf16-mixed"):
        validate(composed("train", "trainer.precision=bf16-mixd"))


def test_prepare_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(composed("prepare", "preparation.high_hz=60", "preparation.step_s=0", "on_error=skp"))
    assert caught.value.problems == [
        "store = ???: missing; give it as store=FILE.h5",
        "on_error = skp: not a choice; choose one of skip, raise (did you mean skip?)",
        "preparation.high_hz = 60: not below half of preparation.sample_rate = 50 Hz; "
        "choose less, or a higher sample rate",
        "preparation.step_s = 0: out of range; Preparation takes a number > 0",
    ]


def test_several_mistakes_are_told_together_in_the_order_of_the_config() -> None:
    found = problems({"encoder": {**ENCODER, "n_leads": 0, "drop": 1}, "store": "???", "seed": -1})
    assert [line.split(" = ")[0] for line in found] == ["encoder.n_leads", "encoder.drop", "store", "seed"]


def test_the_message_has_a_head_and_a_line_for_each_mistake() -> None:
    assert (
        str(ConfigError(["a = 1: wrong", "b = 2: wrong"]))
        == "2 mistakes in the config:\n  a = 1: wrong\n  b = 2: wrong"
    )
    assert str(ConfigError("a = 1: wrong")) == "a = 1: wrong"
    assert ConfigError("a = 1: wrong").problems == ["a = 1: wrong"]


def test_a_config_error_survives_the_way_back_from_a_worker_process() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ConfigError(["a", "b"])))
    assert error.problems == ["a", "b"]
    assert error.is_user_error


def test_the_run_tag_is_four_hex_digits_and_stays_the_same_within_a_config() -> None:
    register_resolvers()
    cfg = OmegaConf.create({"a": "${run_tag:}", "b": "${run_tag:}"})
    assert len(cfg.a) == 4
    int(cfg.a, 16)
    assert cfg.a == cfg.b


def test_validation_imports_nothing_heavy() -> None:
    code = """
import sys
from hydra import compose, initialize_config_dir
from tiles_ecg.config import ConfigError, config_directory, register_resolvers, validate
register_resolvers()
for name, wrong in ("train", "encoder.dropout=2"), ("prepare", "n_jobs=0"):
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        cfg = compose(name, [wrong])
    try:
        validate(cfg)
    except ConfigError as error:
        print(len(error.problems))
print(sorted({"torch", "lightning", "wandb", "h5py", "scipy", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("encoder=resnet8,seed=1", "encoder=resnet8,seed=1"),
        ("dataset.normalise=none,path=/data/a b/c.h5", "dataset.normalise=none,path=c.h5"),
        ("steps=[1,2]", "steps=1,2"),
        ("", "job"),
    ],
)
def test_an_override_becomes_one_readable_part_of_a_path(text: str, name: str) -> None:
    assert folder_name(text) == name
