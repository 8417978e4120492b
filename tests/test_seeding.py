"""Seeds from where a run stands."""

import hashlib

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
