"""What an exported file, and the folder it lies in, say of their encoder."""

import contextlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from torch import nn

from tiles_ecg.encoder.encoder_file import EncoderFile


def known(about: EncoderFile) -> dict[str, Any]:
    """What each file says of itself."""
    return {
        "name": about.name,
        "model_digest": about.digest,
        "licence": about.licence,
        "source": about.source,
        "preprocessing": about.preprocessing,
        "tiles_ecg": importlib.metadata.version("tiles_ecg"),
    }


def description(about: EncoderFile, network: nn.Module, files: Mapping[str, Any]) -> dict[str, Any]:
    """What `export.json` says, with an entry for each file."""
    said = known(about)
    preprocessing = said.pop("preprocessing")
    package = said.pop("tiles_ecg")
    shape = ["batch", preprocessing["n_leads"], "time"]
    return {
        "model": said,
        "input": {"name": "signal", "shape": shape, "dtype": "float32", "sample_rate": preprocessing["sample_rate"]},
        "output": {"name": "embedding", "shape": ["batch", network.embedding_dim], "dtype": "float32"},
        "preprocessing": preprocessing,
        "difference": "of a value from torch's, over the largest value of torch's embedding of the same window",
        "files": dict(files),
        "versions": {"tiles_ecg": package, **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
