"""What preparing TILES files costs: CPU milliseconds a 15 s segment, and memory against the number of segments.

    python benchmarks/preparation.py [--sessions 2 10 40]

Writes a synthetic participant in the layout of the TILES-2018 release, prepares it in a process of its own with one job
(gzip, CSV, timestamps, resampling, band-pass, R-peaks, quality, store), and reads what the operating system counted for
that process. Start and imports are measured by a run on one small file and taken off.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, resource, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tiles_ecg.config import config_directory, register_resolvers
from tiles_ecg.ingest import prepare
register_resolvers()
with initialize_config_dir(str(config_directory()), version_base="1.3"):
    cfg = compose("prepare", overrides=["reader=tiles", f"reader.root={sys.argv[1]}", f"store={sys.argv[2]}"])
plain = OmegaConf.to_container(cfg, resolve=True)
config = {"reader": plain["reader"], "preparation": plain["preparation"]}
reader, preparation = instantiate(cfg.reader, _convert_="all"), instantiate(cfg.preparation, _convert_="all")
prepare(reader, preparation, Path(sys.argv[2]), config, n_jobs=1, show_progress=False)
used = resource.getrusage(resource.RUSAGE_SELF)
from tiles_ecg.store import Store
found = {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024, "windows": len(Store(sys.argv[2]))}
print(json.dumps(found))
"""


def write_release(folder: Path, subjects: int, sessions: int, session_h: float) -> int:
    """Write a release; returns the size of its compressed ECG in bytes."""
    from tiles_ecg.reader.synthetic import SyntheticReader
    from tiles_ecg.reader.tiles_release import write_release

    reader = SyntheticReader(n_subjects=subjects, sessions_per_subject=sessions, session_h=session_h)
    write_release(reader, folder, low_coverage_share=0.0)
    return sum(file.stat().st_size for file in (folder / "omsignal" / "ecg").iterdir())


def measure(root: Path, store: Path) -> dict[str, float]:
    """Prepare a release in a process of its own: its CPU seconds, peak resident memory in MiB, and windows."""
    child = [sys.executable, "-c", CHILD, str(root), str(store)]
    text = subprocess.run(child, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(text.splitlines()[-1]))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sessions", type=int, nargs="+", default=[2, 10, 40], help="recordings of the one participant, a row each"
    )
    parser.add_argument("--session-h", type=float, default=8.0, help="hours of a recording: 12 segments each")
    parser.add_argument("--repeats", type=int, default=3, help="the median is printed")
    arguments = parser.parse_args()
    print("| segments in the file | MB gzip | CPU ms a segment | peak memory MiB |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_release(folder / "tiny", 1, 1, 0.1)
        base = sorted(measure(folder / "tiny", folder / f"tiny{i}.h5")["cpu_s"] for i in range(arguments.repeats))
        start_s = base[len(base) // 2]
        for sessions in arguments.sessions:
            root = folder / str(sessions)
            size = write_release(root, 1, sessions, arguments.session_h)
            runs = [measure(root, folder / f"{sessions}-{i}.h5") for i in range(arguments.repeats)]
            runs.sort(key=lambda run: run["cpu_s"])
            run = runs[len(runs) // 2]
            cost = 1000 * (run["cpu_s"] - start_s) / run["windows"]
            print(f"| {run['windows']:,} | {size / 1e6:.0f} | {cost:.2f} | {run['peak_mb']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
