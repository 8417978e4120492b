"""Model card: what an encoder is, what it needs, how to use it, what it was trained on, how good it is and is not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiles_ecg.encoder.encoder_description import EncoderFile

HUB_LICENCES = {
    "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-2.0", "gpl-3.0", "isc", "lgpl-3.0", "mit", "mpl-2.0",
    "openrail", "unlicense",
}  # fmt: skip
"""As the hub spells them; any other is `other` with its name."""
TAGS = ("ecg", "electrocardiogram", "wearable", "biosignals", "self-supervised-learning")


def model_card(about: EncoderFile, embedding_dim: int, results: str = "", remarks: str = "") -> str:
    """The README.md of a model folder: Markdown with the hub's header.

    Args:
        about: What is known of the encoder.
        embedding_dim: D.
        results: What its report says; see `tiles_ecg.model_results.results_text`.
        remarks: A section of Markdown by its makers.
    """
    name = about.name or about.path.stem
    sections = {
        "": _summary(about, embedding_dim),
        "Use it": _use(about, name),
        "Input": _input(about.preprocessing),
        "Training": _training(about),
        "Remarks": remarks.strip(),
        "How good it is": results.strip() or "No report of this encoder was at hand when this card was written.",
        "Limits": _limits(),
        "Licence": _licence(about),
    }
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text]
    return "\n\n".join([_header(about, name), f"# {name}", *parts]) + "\n"


def _header(about: EncoderFile, name: str) -> str:
    spelt = about.licence.lower()
    licence = ["license: unknown"]
    if spelt:
        licence = [f"license: {spelt}"] if spelt in HUB_LICENCES else ["license: other", f"license_name: {_id(spelt)}"]
    tags = [f"- {tag}" for tag in TAGS]
    facts = ["library_name: tiles_ecg", "pipeline_tag: feature-extraction", f'model_name: "{_plain(name)}"']
    return "\n".join(["---", *licence, *facts, "tags:", *tags, "---"])


def _summary(about: EncoderFile, embedding_dim: int) -> str:
    n_leads = about.preprocessing["n_leads"]
    network = str(about.architecture["_target_"]).rpartition(".")[2]
    leads = "one lead" if n_leads == 1 else f"{n_leads} leads"
    source = f" The weights come from {about.source}." if about.source else ""
    learned = " It learned from labels too." if about.labelled else ""
    return (
        f"An encoder of wearable ECG: windows of {leads} in, embeddings of {embedding_dim} numbers out. The network is "
        f"`{network}` of tiles_ecg.{source}{learned}"
    )


def _use(about: EncoderFile, name: str) -> str:
    n_leads = about.preprocessing["n_leads"]
    shape = "(T,)" if n_leads == 1 else f"({n_leads}, T)"
    return (
        "```python\n"
        "from tiles_ecg.trained_encoder import load_encoder\n\n"
        f'encoder = load_encoder("path/to/{_id(name)}")  # this folder\n'
        f"embedding = encoder(signal, sample_rate)  # raw ECG {shape}, its rate in Hz -> a row a window\n"
        "```\n\n"
        f"For files and stores: `tiles-embed path/to/{_id(name)} INPUT -o embeddings.h5`. To go on training: "
        f"`tiles-train encoder=pretrained encoder.path=path/to/{_id(name)} ...`."
    )


def _input(needs: Mapping[str, Any]) -> str:
    band = "not known"
    if "low_hz" in needs and "high_hz" in needs:
        band = f"{needs['low_hz']:g} to {needs['high_hz']:g} Hz, zero-phase"
    how = {
        "subject": "minus the mean, over the standard deviation, of all windows of the subject",
        "subject_robust": "minus the median, over the robust deviation, of all windows of the subject",
        "window": "minus the mean, over the standard deviation, of the window",
        "none": "none",
    }
    rows = {
        "sample rate": f"{needs['sample_rate']:g} Hz",
        "leads": str(needs["n_leads"]),
        "band": band,
        "windows": f"{needs['window_s']:g} s unless you ask for others" if "window_s" in needs else "not known",
        "normalisation": how.get(str(needs.get("normalise")), "not known"),
        "unit": str(needs.get("unit", "not known")),
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    told = "`load_encoder` brings a raw signal of another rate to this by itself."
    return f"{told}\n\n| what | value |\n| --- | --- |\n{table}"


def _training(about: EncoderFile) -> str:
    lines = [f"{about.step:,} steps."]
    names = [Path(path).stem for path in about.store_paths]
    if names:
        lines.append(f"Stores of tiles-prepare: {', '.join(dict.fromkeys(names))}.")
    if about.stores:
        marked = [f"`{digest}`{' (with its labels)' if digest in about.labelled else ''}" for digest in about.stores]
        lines.append(f"Digests of the training data: {', '.join(marked)}.")
    else:
        lines.append("The training data are not known by digest.")
    if about.sources:
        known = f"Fingerprints of {len(about.sources):,} files that these were made from are in `config.json`:"
        lines.append(
            f"{known} by them tiles-evaluate recognises recordings of its stores, those kept for validation too."
        )
    if about.protocol:
        lines.append(f"Trained within the folds of protocol `{about.protocol}`.")
    lines.append(f"Digest of the weights: `{about.digest}`.")
    return "\n".join(lines)


def _limits() -> str:
    return (
        "**Not a medical device**: made for research, not for diagnosis or the care of patients. Numbers above hold\n"
        "for the data and the protocol that they were measured with; other recorders, electrode places, people and\n"
        "diseases may differ. An embedding can tell persons apart: treat it as personal data, as its recording is."
    )


def _licence(about: EncoderFile) -> str:
    stated = about.licence or "Not stated: ask those who made the weights before you pass them on"
    return f"{stated}.{f' Source: {about.source}.' if about.source else ''}"


def _id(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-") or "model"


def _plain(text: str) -> str:
    return re.sub(r'[\\"\x00-\x1f]', "", text)
