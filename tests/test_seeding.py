"""Seeds from where a run stands."""

import hashlib
import traceback

import pytest
import torch

from tiles_ecg.seeding import derive_seed, seed_draws


def test_the_same_parts_give_the_same_seed_in_every_process() -> None:
    digest = hashlib.blake2b(b"0/views/12/1", digest_size=8).digest()  # no salt, unlike Python's own hash
    assert derive_seed(0, "views", 12, 1) == int.from_bytes(digest, "big") // 2


def test_other_parts_give_other_seeds() -> None:
    assert len({derive_seed(*parts) for parts in [(0, 1), (1, 0), (0, "1", 1), (0, 11), (11, 1), (1, 11)]}) == 6


def test_seeds_fit_torch_generators() -> None:
    assert all(0 <= derive_seed(number) < 2**63 for number in range(1000))


def test_draws_depend_on_the_parts_and_on_nothing_before() -> None:
    seed_draws(3, "views", 7)
    first = torch.rand(5)
    torch.rand(17)
    seed_draws(3, "views", 7)
    assert torch.equal(torch.rand(5), first)
    seed_draws(3, "views", 8)
    assert not torch.equal(torch.rand(5), first)


def test_draws_are_those_of_manual_seed_without_its_notes_on_absent_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(derive_seed(3, "views", 7))
    expected = torch.rand(5)
    monkeypatch.delattr(traceback, "format_stack")
    seed_draws(3, "views", 7)
    assert torch.equal(torch.rand(5), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_draws_on_the_device_depend_on_the_parts_alone() -> None:
    torch.rand(1, device="cuda")
    seed_draws(3, "views", 7)
    first = torch.rand(5, device="cuda")
    torch.rand(17, device="cuda")
    seed_draws(3, "views", 7)
    assert torch.equal(torch.rand(5, device="cuda"), first)
