"""Latency and memory of an exported encoder on one CPU core.

    OMP_NUM_THREADS=1 python benchmarks/export.py [--model MODEL] [--precision int8 --calibration STORE.h5]

One 10 s window of one lead at 100 Hz, batch 1; ONNX Runtime, torch and the torch.export program take turns in one
process, one thread each. Prints Markdown; the bar is 3 ms of CPU time for resnet8 in ONNX Runtime. Memory is the
largest resident set of a process of its own that imports NumPy and onnxruntime and embeds windows.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tiles_ecg.checkpoint_file import save_encoder
from tiles_ecg.encoder.architecture import build_network, load_weights
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.export.folder import Wishes, export_encoder
from tiles_ecg.export.onnx_file import OnnxEncoder
from tiles_ecg.export.program import load_program

RESNET8 = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "n_leads": 1,
    "widths": [16, 16, 32, 32, 64, 64, 128, 128],
    "strides": [1, 2, 1, 2, 1, 2, 1, 2],
    "kernel_size": 3,
    "embedding_dim": 256,
}
LENGTH = 1000
WARM_UP = 20
ALONE = """
import sys
import numpy as np
if len(sys.argv) > 1:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    for _ in range(20):
        session.run(["embedding"], {"signal": np.zeros((1, 1, 1000), np.float32)})
assert "torch" not in sys.modules
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def latency(kinds: dict[str, Callable[[], object]], n_rounds: int) -> None:
    """Print CPU and wall time of each kind, taking turns."""
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    wall: dict[str, list[float]] = {name: [] for name in kinds}
    for at in range(WARM_UP + n_rounds):
        for name, run in kinds.items():
            begun = time.process_time(), time.perf_counter()
            run()
            if at >= WARM_UP:
                cpu[name].append(1e3 * (time.process_time() - begun[0]))
                wall[name].append(1e3 * (time.perf_counter() - begun[1]))
    print("| what | CPU ms, median | CPU ms, p95 | wall ms, median | wall ms, p95 |\n| --- | --- | --- | --- | --- |")
    for name in kinds:
        numbers = (f"{f(spent[name]):.2f}" for spent in (cpu, wall) for f in (statistics.median, percentile_95))
        print(f"| {name} | {' | '.join(numbers)} |")


def percentile_95(values: list[float]) -> float:
    return float(np.quantile(values, 0.95))


def memory(*arguments: str) -> float:
    """MiB of a process of its own."""
    done = subprocess.run([sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


def untrained(folder: Path) -> Path:
    """An encoder file of resnet8 with first weights."""
    torch.manual_seed(0)
    about = {"encoder": RESNET8, "preprocessing": {"sample_rate": 100.0, "n_leads": 1}, "stores": [], "step": 0}
    path = folder / "encoder.safetensors"
    save_encoder(path, build_network(RESNET8, path), about)
    return path


def main() -> None:
    """Export, and time what was exported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="an encoder (default: resnet8, untrained; its time is the same)")
    parser.add_argument("--calibration", type=Path, help="a store: int8 and bf16 are timed too")
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = arguments.model or untrained(folder)
        export_encoder(model, folder, tell=print)
        for precision in ("bf16", "int8") if arguments.calibration else ():
            wishes = Wishes(("onnx",), precision, arguments.calibration, accept_loss=True)
            export_encoder(model, folder, wishes, tell=print)
        about, weights = read_encoder_file(model)
        network = build_network(about.architecture, about.path).eval()
        load_weights(network, weights, about.path)
        program = load_program(folder / "encoder.pt2")
        window = np.random.default_rng(0).standard_normal((1, 1, LENGTH)).astype(np.float32)
        files = sorted(folder.glob("*.onnx"))
        sessions = {f"ONNX Runtime, {file.name}": OnnxEncoder(file) for file in files}
        kinds = {label: lambda session=session: session(window) for label, session in sessions.items()}
        kinds |= {
            "torch": lambda: network(torch.from_numpy(window)),
            "torch.export": lambda: program(torch.from_numpy(window)),
        }
        with torch.inference_mode():
            latency(kinds, arguments.rounds)
        print(f"\nmemory: NumPy alone {memory():.0f} MiB", end="")
        for file in files:
            print(
                f"; onnxruntime with {file.name} ({file.stat().st_size / 1e6:.2f} MB) {memory(str(file)):.0f} MiB",
                end="",
            )
        print()


if __name__ == "__main__":
    main()
