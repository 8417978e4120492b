"""PretrainedEncoder: the encoder of an earlier run, on input like that which it was trained on."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.encoder.architecture import build_network, load_weights
from tiles_ecg.encoder.encoder_file import ExportedEncoder, read_encoder_file
from tiles_ecg.encoder.resample import Resample
from tiles_ecg.store import Store
from tiles_ecg.waveform import RATIO_TOLERANCE


class PretrainedEncoder(nn.Module):
    """An encoder with the weights that an earlier run left.

    Input of another sample rate is resampled within `forward` to that of the training. What else it needs is compared
    with the stores by `check`. A checkpoint keeps the network within (`exported`), so that an encoder that was trained
    further loads as the first one did.

    Args:
        path: A run folder, a model folder, a `.ckpt`, a `.safetensors`, or `tiles-ecg/NAME`; see `read_encoder_file`.
        n_leads: C, leads of the input.
        sample_rate: Of the input, Hz.
        fresh: Whether the network keeps its first weights instead, to be judged untrained or trained from scratch.
        strict: Whether a store of another band or normalisation is refused by `check`, and not only told of.
        trusted: Packages outside `tiles_ecg` whose encoders may be built; importing them runs their code.

    Attributes:
        network: The encoder of that run.
        about: What is known of it.
        is_fresh: Whether it has not the weights of that run.
        embedding_dim: D.

    Raises:
        EncoderFileError: If the file cannot be read, or its network cannot be built.
        ValueError: If it reads another number of leads, or the sample rate cannot be converted.
    """

    def __init__(
        self,
        path: str,
        n_leads: PositiveInt,
        sample_rate: PositiveFloat,
        fresh: bool = False,
        strict: bool = True,
        trusted: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.about, weights = read_encoder_file(path)
        trained_leads = self.about.preprocessing["n_leads"]
        if n_leads != trained_leads:
            raise ValueError(
                f"n_leads = {n_leads}: {self.about.path} was trained on {trained_leads}; prepare the store with as "
                "many leads (reader.leads), or choose another encoder"
            )
        self.network = build_network(self.about.architecture, self.about.path, trusted, weights)
        if not fresh:
            load_weights(self.network, weights, self.about.path)
        self.is_fresh = fresh
        self.n_leads = n_leads
        self.sample_rate = float(sample_rate)
        self.strict = strict
        self.embedding_dim = int(self.network.embedding_dim)  # type: ignore[arg-type]
        self.resample = (
            nn.Identity()
            if math.isclose(sample_rate, self.trained_rate, rel_tol=RATIO_TOLERANCE)
            else Resample(sample_rate, self.trained_rate)
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """Config of the network within: what a checkpoint keeps."""
        return self.about.architecture

    @property
    def trained_rate(self) -> float:
        """Of the network's input, Hz."""
        return float(self.about.preprocessing["sample_rate"])

    def exported(self) -> ExportedEncoder:
        """What a checkpoint keeps."""
        about, rate = self.about, self.trained_rate
        if self.is_fresh:
            return ExportedEncoder(self.network, self.architecture, rate)
        source = f"{about.source} ({about.licence})" if about.source and about.licence else about.source
        seen = about.stores, about.labelled, about.sources, about.labelled_sources
        return ExportedEncoder(self.network, self.architecture, rate, *seen, source)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed windows.

        Args:
            signal: (B, C, T) float32, at `sample_rate`.

        Returns:
            Embeddings, (B, D).

        Raises:
            ValueError: If the input does not have C leads.
        """
        if signal.dim() != 3 or signal.shape[1] != self.n_leads:
            raise ValueError(f"signal has shape {tuple(signal.shape)}; this encoder reads (B, {self.n_leads}, T)")
        embedding: Tensor = self.network(self.resample(signal))
        return embedding

    def check(self, windows: Windows) -> list[str]:
        """Compare the stores with what the encoder was trained on.

        Args:
            windows: What it shall embed.

        Returns:
            Notes, a sentence each: what is converted, what differs and is accepted, what is not known.

        Raises:
            ConfigError: If the stores need another encoder, or to be prepared or normalised otherwise; with the
                overrides that mend it.
        """
        problems, notes = self._shape(windows)
        needs_mend = [*self._normalise(windows), *self._bands(windows.stores)]
        if self.strict:
            problems += [
                f"{fact}; {mend}, or encoder.strict=false to embed them all the same" for fact, mend in needs_mend
            ]
        else:
            notes += [f"{fact}; accepted, as encoder.strict=false" for fact, _ in needs_mend]
        problems += self._units(windows)
        if problems:
            raise ConfigError(problems)
        return notes + list(self._unknown(windows))

    def _shape(self, windows: Windows) -> tuple[list[str], list[str]]:
        first, problems, notes = windows.stores[0], [], []
        if windows.shape[0] != self.n_leads:
            problems.append(f"encoder.n_leads = {self.n_leads}: {first.path} has {windows.shape[0]}")
        if not math.isclose(windows.sample_rate, self.sample_rate, rel_tol=1e-9):
            problems.append(
                f"encoder.sample_rate = {self.sample_rate:g}: {first.path} has {windows.sample_rate:g} Hz; give "
                f"encoder.sample_rate={windows.sample_rate:g}"
            )
        if isinstance(self.resample, Resample):
            rates = f"{self.sample_rate:g} Hz to the {self.trained_rate:g} Hz"
            notes.append(f"windows are resampled from {rates} that {self.about.path} was trained at")
        trained_s = self.about.preprocessing.get("window_s")
        if trained_s is not None and not math.isclose(trained_s, first.window_s, rel_tol=1e-6):
            notes.append(
                f"windows of {first.window_s:g} s, where {self.about.path} was trained from {trained_s:g} s: accepted, "
                "as it averages over time"
            )
        return problems, notes

    def _normalise(self, windows: Windows) -> Iterator[tuple[str, str]]:
        """What differs, and what mends it."""
        trained = self.about.preprocessing.get("normalise", windows.normalise)
        if trained != windows.normalise:
            fact = f"dataset.normalise = {windows.normalise}: {self.about.path} was trained with {trained}"
            yield fact, f"give dataset.normalise={trained}"

    def _bands(self, stores: Sequence[Store]) -> Iterator[tuple[str, str]]:
        """Stores of another pass band, and what mends it."""
        trained = _band(self.about.preprocessing)
        for store in stores:
            band = _band(store.config.get("preparation"))
            if trained is None or band is None or all(map(math.isclose, band, trained)):
                continue
            low, high = trained
            fact = (
                f"dataset.store = {store.path}: band {band[0]:g} to {band[1]:g} Hz, but {self.about.path} was trained "
                f"on {low:g} to {high:g} Hz"
            )
            yield fact, f"prepare it again with preparation.low_hz={low:g} preparation.high_hz={high:g}"

    def _units(self, windows: Windows) -> Iterator[str]:
        """Stores in another unit, where no normalisation makes up for it."""
        trained = self.about.preprocessing
        unit = trained.get("unit")
        if windows.normalise != "none" or trained.get("normalise") != "none" or unit is None:
            return
        for store in windows.stores:
            if store.unit != unit:
                yield (
                    f"dataset.store = {store.path}: its signal is in {store.unit}, but {self.about.path} was trained "
                    f"on {unit}, not normalised; prepare it from recordings in {unit}, or choose an encoder that was "
                    "trained on normalised input"
                )

    def _unknown(self, windows: Windows) -> Iterator[str]:
        trained = self.about.preprocessing
        if _band(trained) is None:
            yield f"{self.about.path} does not say the band it was trained on: not compared with the store's"
        if "normalise" not in trained:
            yield f"{self.about.path} does not say how its input was normalised: taken as {windows.normalise}"
        for store in windows.stores:
            if _band(store.config.get("preparation")) is None:
                yield f"{store.path} does not say its band: not compared with the encoder's"


def _band(preparation: Any) -> tuple[float, float] | None:
    """Lower and upper edge in Hz, if both are given."""
    edges = [preparation.get(key) if isinstance(preparation, dict) else None for key in ("low_hz", "high_hz")]
    low, high = (edge if isinstance(edge, int | float) else None for edge in edges)
    return None if low is None or high is None else (float(low), float(high))
