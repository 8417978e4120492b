"""Fingerprints of sources: by which a recording is recognised, however it was cut, filtered and labelled."""

from collections import Counter
from collections.abc import Iterable, Sequence

DIGITS = 12
"""Hexadecimal ones of the hash of a file: among 100,000 sources, two are taken for one with a chance of 2e-5."""
MOST_KEPT = 4096
"""Fingerprints that an encoder keeps. Of more it keeps the smallest, which are as good as drawn by chance."""

File = tuple[str, int, str]
"""Path, bytes, hash of the content."""


def fingerprints(sources: Sequence[Sequence[File]]) -> list[str]:
    """Of the file that holds the signal of each source, as far as that can be told, sorted.

    That is its largest one that it does not share with another source, as a table of labels is shared; where all are
    shared, the largest. Where the root is, what the reader is called and what the labels say makes no difference.

    Args:
        sources: The files of each; one without files has no fingerprint.
    """
    count = Counter(path for files in sources for path, _, _ in files)
    found = set()
    for files in sources:
        own = [file for file in files if count[file[0]] == 1] or files
        if own:
            found.add(max(own, key=lambda file: file[1])[2])
    return sorted(found)


def kept(found: Iterable[str]) -> str:
    """The fingerprints that an encoder keeps, sorted, as one text."""
    return " ".join(sorted(set(found))[:MOST_KEPT])
