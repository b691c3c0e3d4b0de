"""Speed and memory of turning pictures into vectors, on this machine.

    python benchmarks/embedding.py [--threads 2] [--repeats 30] [--batch 64] [--seconds 5] [--json FILE]

Everything counts that an upload pays for: decoding, preparation, the network, all blocks of the vector. The
default embedding stands beside Wide ResNet-50-2 with random weights (speed does not depend on weights), in
the same run, the same runtime and on the same files, in turn, so that other work on the machine hits both.
Memory is that of a fresh process that opens the converted network, as a worker does, and embeds every kind of
file (Linux only: it is read from /proc).
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

REFERENCE = "wide_resnet50_2"
#: Name of the kind: width, height, colour, format.
KINDS = {
    "grey 200 px": (200, 200, False, "JPEG"),
    "colour 200 px": (200, 200, True, "JPEG"),
    "grey 64 px": (64, 64, False, "PNG"),
    "colour 12 MP JPEG": (4000, 3000, True, "JPEG"),
}
FIRST_KIND = next(iter(KINDS))
_MEMORY_PICTURES = 64


def picture_bytes(width: int, height: int, colour: bool, kind: str, seed: int = 0) -> bytes:
    """A drawn photograph of a fault as a file, enlarged with grain where it is large."""
    from PIL import Image

    from vision.engine.synthesis.gallery import draw_fault_image

    pixels, _ = draw_fault_image("scratch", seed, min(max(width, height), 512))
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    if max(width, height) > 512:
        grain = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
        image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.convert("RGB" if colour else "L").save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()


def embedder_of(backbone: str, runtime: str, threads: int, cache: Path):
    """The shipped weights where there are some, else random ones."""
    from vision.engine.embedder import Embedder
    from vision.engine.weight_files import SHIPPED

    weights = SHIPPED.get(backbone)
    return Embedder(
        backbone,
        weights,
        device="cpu",
        runtime=runtime,
        threads=threads,
        cache_dir=cache,
        random_seed=None if weights else 0,
    )


def embed_file(embedder, data: bytes) -> None:
    """What an upload pays for."""
    from vision.engine.images import load_image

    embedder.embed([load_image(data, fit=embedder.spec.input_size)])


def milliseconds(work) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def latencies(embedders: dict, files: dict[str, bytes], repeats: int) -> dict[str, dict]:
    """Medians in ms of one picture, decoding included, by kind of file and backbone; all in turn."""
    from tqdm import tqdm

    taken = {kind: {name: [] for name in embedders} for kind in files}
    for number in tqdm(range(repeats + 2), desc="One picture", unit="round"):
        for kind, data in files.items():
            for name, embedder in embedders.items():
                spent = milliseconds(lambda embedder=embedder, data=data: embed_file(embedder, data))
                if number >= 2:  # the first rounds fill caches
                    taken[kind][name].append(spent)
    return {
        kind: {name: round(statistics.median(values), 2) for name, values in rows.items()}
        for kind, rows in taken.items()
    }


def throughput(embedder, file: bytes, batch: int, seconds: float) -> dict[str, float]:
    """Pictures a second in batches, decoding included, and the processor time of each in ms x core."""
    from vision.engine.images import load_image

    def one_batch() -> None:
        embedder.embed([load_image(file, fit=embedder.spec.input_size) for _ in range(batch)])

    one_batch()
    done, started, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        one_batch()
        done += batch
    spent, processor = time.perf_counter() - started, time.process_time() - processor
    return {"images_per_s": round(done / spent, 1), "ms_core": round(1000 * processor / done, 2)}


def resident_memory(backbone: str, threads: int, cache: Path, files: Path) -> dict[str, float]:
    """Peak and final resident memory in MiB of a fresh process that embeds."""
    command = [
        sys.executable,
        __file__,
        "--child",
        backbone,
        str(cache),
        str(files),
        "--threads",
        str(threads),
    ]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def child(backbone: str, cache: Path, files: Path, threads: int) -> None:
    """Embed the files of a folder over and over in this process and print its memory."""
    embedder = embedder_of(backbone, "openvino", threads, cache)
    contents = [path.read_bytes() for path in sorted(files.iterdir())]
    for number in range(_MEMORY_PICTURES):
        embed_file(embedder, contents[number % len(contents)])
    # Of this program alone: getrusage would count what the parent held when it started this process.
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    status = {words[0]: words[1:] for words in lines}
    print(
        json.dumps(
            {
                "resident_mib": round(int(status["VmRSS:"][0]) / 1024, 1),
                "peak_mib": round(int(status["VmHWM:"][0]) / 1024, 1),
                "torch_imported": "torch" in sys.modules,
            }
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="processor threads of a pass")
    parser.add_argument("--repeats", type=int, default=30, help="rounds of the latency")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each throughput")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        backbone, cache, files = options.child
        child(backbone, Path(cache), Path(files), options.threads)
        return 0

    from vision.engine.backbones import DEFAULT_BACKBONE

    with tempfile.TemporaryDirectory(prefix="faultdiag-benchmark-") as folder:
        cache, files = Path(folder) / "openvino", Path(folder) / "files"
        files.mkdir()
        contents = {kind: picture_bytes(*sort) for kind, sort in KINDS.items()}
        for number, (kind, data) in enumerate(contents.items()):
            (files / f"{number}.{KINDS[kind][3].lower()}").write_bytes(data)
        names = (DEFAULT_BACKBONE, REFERENCE)
        embedders = {name: embedder_of(name, "openvino", options.threads, cache) for name in names}
        figures = {
            "threads": options.threads,
            "dimension": embedders[DEFAULT_BACKBONE].spec.dimension,
            "latency_ms": latencies(embedders, contents, options.repeats),
            "throughput": {},
            "memory": {name: resident_memory(name, options.threads, cache, files) for name in names},
        }
        embedders |= {
            f"{name}, torch eager": embedder_of(name, "torch", options.threads, cache) for name in names
        }
        for name, embedder in embedders.items():
            runtime = name if "torch" in name else f"{name}, OpenVINO"
            print(f"Batches: {runtime}", file=sys.stderr)
            figures["throughput"][runtime] = throughput(
                embedder, contents[FIRST_KIND], options.batch, options.seconds
            )
    one = figures["latency_ms"][FIRST_KIND]
    figures["ratio"] = round(one[REFERENCE] / one[DEFAULT_BACKBONE], 2)
    report(figures, names)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def report(figures: dict, names: tuple[str, str]) -> None:
    """Print the tables."""
    print(f"One picture, decoding and all blocks included, median ms, OpenVINO, {figures['threads']} threads")
    print(f"{'':24}" + "".join(f"{name:>18}" for name in names) + f"{'ratio':>10}")
    for kind, row in figures["latency_ms"].items():
        default, reference = (row[name] for name in names)
        print(f"{kind:24}{default:>18.1f}{reference:>18.1f}{reference / default:>10.1f}")
    print(f"\nBatches of {FIRST_KIND}, decoding included{'':3}{'images/s':>14}{'ms x core':>12}")
    for name, row in figures["throughput"].items():
        print(f"{name:41}{row['images_per_s']:>14.1f}{row['ms_core']:>12.1f}")
    print(f"\nA fresh process that embeds{'':14}{'resident MiB':>14}{'peak MiB':>12}")
    for name, row in figures["memory"].items():
        print(f"{name:41}{row['resident_mib']:>14.0f}{row['peak_mib']:>12.0f}")


if __name__ == "__main__":
    sys.exit(main())
