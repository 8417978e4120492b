"""Hub: model folders of the Hugging Face hub, downloaded where huggingface_hub is installed."""

from pathlib import Path

from tiles_ecg.encoder.encoder_description import EncoderFileError
from tiles_ecg.model_folder import CARD, CONFIG, WEIGHTS


def downloaded(repository: str, revision: str | None = None) -> Path:
    """The model folder `owner/name` of the hub, on this machine; without a network, as it was downloaded before.

    Raises:
        EncoderFileError: If huggingface_hub is not installed, or it cannot be downloaded.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise EncoderFileError(
            f"{repository}: no such file or folder here; to download it from the Hugging Face hub, install "
            "huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except Exception as error:  # of its own, of its HTTP client, of the network
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EncoderFileError(
            f"{repository}: no such file or folder here, and not downloaded from the Hugging Face hub ({reason})"
        ) from error
