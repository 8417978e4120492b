"""Fingerprints: the file that holds the signal tells a source, and an encoder keeps a fair share of many."""

from tiles_ecg.fingerprint import MOST_KEPT, fingerprints, kept


def test_the_largest_file_of_its_own_tells_a_source() -> None:
    table = ("labels.csv", 10_000, "table")
    first = [("a.hea", 40, "header a"), ("a.dat", 900, "signal a"), table]
    second = [("b.dat", 900, "signal b"), table]
    assert fingerprints([first, second]) == ["signal a", "signal b"]


def test_sources_of_one_file_are_told_by_it() -> None:
    rows = [[("all.csv", 900, "signals"), ("more.csv", 40, "labels")]] * 3
    assert fingerprints(rows) == ["signals"]


def test_what_is_generated_has_none() -> None:
    assert fingerprints([[], []]) == []


def test_of_many_the_smallest_are_kept() -> None:
    many = [f"{(7919 * number) % 10_007:012x}" for number in range(10_000)]
    assert kept([*many, *many]) == " ".join(sorted(many)[:MOST_KEPT])
    assert kept(["b", "a"]) == "a b"
