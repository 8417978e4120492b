"""How well R-peaks are found and noise is recognised on PhysioNet recordings, as Markdown tables.

    python benchmarks/beats.py --data FOLDER --part mitdb noise quality cost

Beats count against the reference annotations of mitdb: all beat symbols, first lead, over the whole half hour (the
first five minutes, a learning period in ANSI/AAMI EC57, included; so is ventricular flutter in record 207, which has no
beat annotations), matched one to one within 100 ms. Ours sees the record as a store holds it (100 Hz, 0.5-40 Hz), once
as one stretch and once in stretches of 15 s that know nothing of each other; the others see the raw record. The numbers
in `tiles_ecg/beat.py` were chosen on these records, so these are results on development data.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io
import wfdb
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tiles_ecg.beat import detect_beats
from tiles_ecg.waveform import bandpass, clipped_share, fill_nonfinite, flat_share, location_scale, quality, resample

Signal = NDArray[np.float32]
Times = NDArray[np.float64]
Detector = Callable[[Signal, float], Times]

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
CLEAN_RECORDS = ("118", "119", "101", "115", "205", "220")  # 118 and 119 are those of the noise stress test database
NOISES = ("em", "ma", "bw")
SNRS_DB = (24, 18, 12, 6, 0)
RATE = 100.0
WINDOW_S = 15


def detect_whole(signal: Signal, sample_rate: float) -> Times:
    """R-peak times in s of one raw lead, (T,), as one stretch."""
    position, _ = detect_beats(prepare(signal, sample_rate)[None], RATE)
    return position / RATE


def detect_windows(signal: Signal, sample_rate: float) -> Times:
    """R-peak times in s of one raw lead, (T,), cut into independent windows after filtering."""
    filtered = prepare(signal, sample_rate)
    windows = cut(filtered)
    position, offset = detect_beats(windows, RATE)
    position = position + np.repeat(np.arange(len(windows)), np.diff(offset)) * windows.shape[1]
    rest, _ = detect_beats(filtered[None, windows.size :], RATE)
    return np.concatenate([position, windows.size + rest]) / RATE


def other_detectors() -> dict[str, Detector]:
    """Published detectors that are installed, on the raw record with their own defaults."""
    import wfdb.processing

    def xqrs(signal: Signal, sample_rate: float) -> Times:
        return np.asarray(wfdb.processing.xqrs_detect(signal.astype(float), sample_rate, verbose=False)) / sample_rate

    found: dict[str, Detector] = {"wfdb xqrs": xqrs}
    try:
        from sleepecg.heartbeats import detect_heartbeats

        found["sleepecg"] = lambda signal, rate: detect_heartbeats(signal.astype(float), rate) / rate
    except ImportError:
        print("sleepecg is not installed: left out")
    try:
        import neurokit2

        def neurokit(signal: Signal, sample_rate: float) -> Times:
            clean = neurokit2.ecg_clean(signal.astype(float), sampling_rate=round(sample_rate))
            peaks = neurokit2.ecg_peaks(clean, sampling_rate=round(sample_rate))[1]["ECG_R_Peaks"]
            return np.asarray(peaks) / sample_rate

        found["neurokit2"] = neurokit
    except ImportError:
        print("neurokit2 is not installed: left out")
    return found


def prepare(signal: Signal, sample_rate: float) -> Signal:
    """Raw to what a store holds: finite, 100 Hz, 0.5-40 Hz."""
    return bandpass(resample(fill_nonfinite(signal)[0], sample_rate, RATE), RATE)


def cut(signal: Signal) -> Signal:
    """(T,) at 100 Hz -> (N, 1500): windows of 15 s; a shorter recording is one window of its own length."""
    length = min(round(WINDOW_S * RATE), len(signal))
    return signal[: len(signal) // length * length].reshape(-1, length)


def read_mitdb(data: Path, record: str) -> tuple[Signal, Times]:
    """First lead at 360 Hz in mV, and the reference beats in s."""
    path = str(data / "mitdb" / record)
    signal = wfdb.rdrecord(path, channels=[0]).p_signal[:, 0].astype(np.float32)
    annotation = wfdb.rdann(path, "atr")
    is_beat = np.array([symbol in BEAT_SYMBOLS for symbol in annotation.symbol])
    return signal, annotation.sample[is_beat] / 360.0


def count_matches(reference: Times, detected: Times, tolerance_s: float = 0.1) -> int:
    """Number of one-to-one pairs of beats within the tolerance; both in ascending order."""
    i = j = matches = 0
    while i < len(reference) and j < len(detected):
        difference = detected[j] - reference[i]
        matches += abs(difference) <= tolerance_s
        i, j = i + (difference >= -tolerance_s), j + (difference <= tolerance_s)
    return matches


def score(detector: Detector, recordings: Sequence[tuple[Signal, Times]]) -> tuple[float, float]:
    """Sensitivity and positive predictivity over all beats of all recordings at 360 Hz."""
    matched = annotated = found = 0
    for signal, reference in recordings:
        detected = np.sort(detector(signal, 360.0))
        matched += count_matches(reference, detected)
        annotated += len(reference)
        found += len(detected)
    return matched / annotated, matched / max(found, 1)


def noise_gain(signal: Signal, reference: Times, noise: Signal, snr_db: float) -> float:
    """Factor for the noise, both at 360 Hz, after the idea of the noise stress test (Moody et al. 1984, program nst).

    Signal power is that of a sine as high as the QRS complexes (peak to peak within 50 ms of the annotation, squared,
    over 8), noise power the squared standard deviation within 1 s; both are means without the upper and lower 5 %.
    """
    at = (reference * 360).astype(int)
    at = at[(at >= 18) & (at < len(signal) - 18)]
    height = _trimmed_mean(np.ptp(signal[at[:, None] + np.arange(-18, 19)], axis=1))
    spread = _trimmed_mean(noise[: len(noise) // 360 * 360].reshape(-1, 360).std(axis=1))
    return float(np.sqrt(height**2 / 8 / 10 ** (snr_db / 10)) / spread)


def _trimmed_mean(values: NDArray[np.floating]) -> float:
    cut_off = len(values) // 20
    return float(np.sort(values)[cut_off : len(values) - cut_off].mean())


def add_noise(data: Path, records: Sequence[str], kind: str, snr_db: float) -> list[tuple[Signal, Times]]:
    """Clean mitdb records with noise of nstdb over their whole length (the original alternates every 2 minutes)."""
    noise = wfdb.rdrecord(str(data / "nstdb" / kind), channels=[0]).p_signal[:, 0].astype(np.float32)
    recordings = [read_mitdb(data, record) for record in records]
    return [(x + np.float32(noise_gain(x, beats, noise, snr_db)) * noise, beats) for x, beats in recordings]


def mitdb_table(data: Path, records: Sequence[str], with_others: bool) -> str:
    """Sensitivity / positive predictivity in %, per record and in total."""
    recordings = {record: [read_mitdb(data, record)] for record in records}
    detectors: dict[str, Detector] = {"ours": detect_whole, f"ours, {WINDOW_S} s": detect_windows}
    detectors |= other_detectors() if with_others else {}
    rows = {r: {name: _percent(score(d, x)) for name, d in detectors.items()} for r, x in recordings.items()}
    everything = [x[0] for x in recordings.values()]
    rows["all"] = {name: _percent(score(detector, everything)) for name, detector in detectors.items()}
    return markdown("record", rows)


def noise_table(data: Path, records: Sequence[str], with_others: bool) -> str:
    """Sensitivity / positive predictivity in %, and the mean quality of the windows, by noise and SNR."""
    detectors: dict[str, Detector] = {f"ours, {WINDOW_S} s": detect_windows}
    if with_others:
        detectors |= {name: d for name, d in other_detectors().items() if name == "sleepecg"}
    rows = {}
    for kind in NOISES:
        for snr_db in SNRS_DB:
            noisy = add_noise(data, records, kind, snr_db)
            row = {name: _percent(score(detector, noisy)) for name, detector in detectors.items()}
            row["quality"] = f"{np.mean([window_quality(x, 360.0).mean() for x, _ in noisy]):.3f}"
            rows[f"{kind} {snr_db} dB"] = row
    return markdown("noise", rows)


def window_quality(signal: Signal, sample_rate: float) -> Signal:
    """Quality of the 15 s windows of one raw lead, (T,) -> (N,)."""
    windows = cut(prepare(signal, sample_rate))
    return quality(windows[:, None], *detect_beats(windows, RATE), RATE)


def quality_table(data: Path) -> str:
    """AUROC of low quality for the class "too noisy" of cinc2017, by recording, and the median by class."""
    folder = data / "cinc2017"
    with (folder / "REFERENCE-v3.csv").open(newline="") as file:
        label_of = dict(csv.reader(file))
    values, labels = [], []
    for record, label in label_of.items():
        raw = scipy.io.loadmat(folder / "training2017" / f"{record}.mat")["val"][0]
        values.append(window_quality((raw / 1000).astype(np.float32), 300.0).mean())
        labels.append(label)
    value, is_noise = np.array(values), np.array(labels) == "~"
    row = {"AUROC": f"{roc_auc_score(is_noise, -value):.3f}"}
    row |= {f"median, {c}": f"{np.median(value[np.array(labels) == c]):.3f}" for c in sorted(set(labels))}
    return markdown("data", {f"cinc2017, {len(value)} recordings": row})


def cost_table(data: Path) -> str:
    """CPU time of each function in ms a segment: 300 segments of 15 s, raw at 250 Hz, then at 100 Hz."""
    raw = np.stack([resample(read_mitdb(data, r)[0], 360.0, 250.0)[: 50 * 3750] for r in CLEAN_RECORDS])
    raw = raw.reshape(300, 1, 3750)
    slow = resample(raw, 250.0, RATE)
    filtered = bandpass(slow, RATE)
    position, offset = detect_beats(filtered[:, 0], RATE)
    steps: dict[str, Callable[[], object]] = {
        "fill_nonfinite": lambda: fill_nonfinite(raw),
        "flat_share": lambda: flat_share(raw, 250.0),
        "clipped_share": lambda: clipped_share(raw),
        "resample": lambda: resample(raw, 250.0, RATE),
        "bandpass": lambda: bandpass(slow, RATE),
        "detect_beats": lambda: detect_beats(filtered[:, 0], RATE),
        "quality": lambda: quality(filtered, position, offset, RATE),
        "location_scale": lambda: location_scale(filtered),
    }
    return markdown("step", {name: {"ms a segment": f"{_cpu_ms(step) / 300:.3f}"} for name, step in steps.items()})


def _cpu_ms(step: Callable[[], object], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def _percent(rates: tuple[float, float]) -> str:
    return f"{100 * rates[0]:.2f} / {100 * rates[1]:.2f}"


def markdown(corner: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    """Rows of named cells as a Markdown table; all rows have the columns of the first."""
    columns = list(next(iter(rows.values())))
    lines = [[corner, *columns], ["---"] * (len(columns) + 1), *([name, *row.values()] for name, row in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("TILES_ECG_DATA"), help="folder with mitdb/, nstdb/"
    )
    parser.add_argument("--part", nargs="+", choices=("mitdb", "noise", "quality", "cost"), default=["mitdb", "noise"])
    parser.add_argument("--records", nargs="+", help="mitdb records; default: all for mitdb, six clean ones for noise")
    parser.add_argument("--others", action="store_true", help="also run the published detectors (minutes)")
    args = parser.parse_args()
    if args.data is None or not Path(args.data).is_dir():
        parser.error(f"no data at {args.data}: give --data or TILES_ECG_DATA, the folder that holds mitdb/ and nstdb/")
    data = Path(args.data)
    records = args.records or sorted(path.stem for path in (data / "mitdb").glob("*.hea"))
    tables = {
        "mitdb": lambda: mitdb_table(data, records, args.others),
        "noise": lambda: noise_table(data, args.records or CLEAN_RECORDS, args.others),
        "quality": lambda: quality_table(data),
        "cost": lambda: cost_table(data),
    }
    for part in args.part:
        print(
            f"\n### {part}: sensitivity / positive predictivity in %\n"
            if part in ("mitdb", "noise")
            else f"\n### {part}\n"
        )
        print(tables[part](), flush=True)


if __name__ == "__main__":
    main()
