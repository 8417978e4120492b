import re

import pytest

from tiles_ecg.workspace.key import alternatives, check_key, pattern


def test_braces_stand_for_each_of_their_alternatives() -> None:
    assert alternatives("{val,test}/{auroc,mae}") == ["val/auroc", "val/mae", "test/auroc", "test/mae"]
    assert alternatives("train/loss") == ["train/loss"]


@pytest.mark.parametrize(
    ("key", "name", "matches"),
    [
        ("probe/*", "probe/heart_rate_r2", True),
        ("probe/*", "old_probe/heart_rate_r2", False),
        ("test/{auroc,mae}", "test/mae", True),
        ("test/{auroc,mae}", "test/mae_2", False),
        ("system/gpu.0.gpu", "system/gpu.0.gpu", True),
        ("system/gpu.0.gpu", "system/gpu-0-gpu", False),
        ("loss (mean)+1", "loss (mean)+1", True),
    ],
)
def test_a_pattern_matches_whole_names(key: str, name: str, matches: bool) -> None:
    assert bool(re.match(pattern([key]), name)) == matches


def test_a_pattern_of_several_keys_matches_each() -> None:
    found = re.compile(pattern(["train/loss", "val/*"]))
    assert [bool(found.match(name)) for name in ("train/loss", "val/loss", "test/loss")] == [True, True, False]


@pytest.mark.parametrize("key", ["", " train/loss", "test/{auroc,mae", "test/auroc}", "test/{auroc,}", "a{b{c}}"])
def test_a_key_that_stands_for_nothing_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"a key is the name|write alternatives as in test/\{auroc,mae\}"):
        check_key(key)
