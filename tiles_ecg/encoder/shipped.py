"""Models that come with the package, by name: `tiles-ecg/NAME`."""

from pathlib import Path

from tiles_ecg.encoder.encoder_description import EncoderFileError

PREFIX = "tiles-ecg/"
FOLDER = Path(__file__).resolve().parents[1] / "model"
"""A model folder each; in a checkout and in an installed wheel alike."""


def is_shipped(path: str | Path) -> bool:
    """Whether a path names a model of the package; a file or folder that is really there comes first."""
    return str(path).startswith(PREFIX) and not Path(path).exists()


def shipped_names() -> list[str]:
    """What there is, as `tiles-ecg/NAME`."""
    return sorted(f"{PREFIX}{file.parent.name}" for file in FOLDER.glob("*/config.json"))


def shipped_folder(name: str) -> Path:
    """The model folder of `tiles-ecg/NAME`.

    Raises:
        EncoderFileError: If there is none of that name.
    """
    names = shipped_names()
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "this installation has none"
        raise EncoderFileError(f"{name}: no model of that name comes with the package; {there}")
    return FOLDER / name.removeprefix(PREFIX)
