"""Install pinned requirements into the .venv that runs this, with one progress bar. Standard library only.

Where there is no NVIDIA GPU, torch comes from PyTorch's own CPU index, which is a tenth of the size; where
that index can't be reached, from the default one. What is installed already is left alone, and an install
that was interrupted is repeated.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
STAMP = Path(sys.prefix) / "faultdiag-requirements"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_BYTES = 8 * 2**30
BAR = 30


def main(names: list[str]) -> int:
    files = [ROOT / name for name in names]
    wanted = fingerprint(files)
    if STAMP.exists() and wanted in STAMP.read_text().split():
        return 0
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES and not STAMP.exists():
        print(
            f"{ROOT} has {free / 2**30:.1f} GiB free, and installing takes up to {NEEDED_BYTES >> 30} GiB."
            " Free some space, then run this again.",
            file=sys.stderr,
        )
        return 1
    total = sum(1 for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    if not has_gpu():
        # A failure only means that the default index serves torch below.
        torch = [
            line for line in pins(ROOT / "requirements.txt") if line.startswith(("torch==", "torchvision=="))
        ]
        run_pip(
            ["--index-url", CPU_INDEX, "--retries", "0", "--timeout", "5", "--no-deps", *torch],
            "Installing torch",
            len(torch),
        )
    requirements = [argument for file in files for argument in ("-r", str(file))]
    failure = run_pip([*requirements, "-c", str(CONSTRAINTS)], "Installing packages", total)
    if failure:
        print(f"The packages could not be installed. pip said:\n{failure}", file=sys.stderr)
        return 1
    STAMP.write_text(f"{STAMP.read_text() if STAMP.exists() else ''}{wanted}\n")
    return 0


def fingerprint(files: list[Path]) -> str:
    """Changes with anything that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    for file in [*files, ROOT / "requirements.txt", CONSTRAINTS]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def pins(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if "==" in line]


def has_gpu() -> bool:
    return Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def run_pip(arguments: list[str], title: str, total: int) -> str:
    """Run pip install with a bar; returns what it complained about, empty when all went well."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    process = subprocess.Popen(
        [*command, "--progress-bar", "off", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen, complaints, note = set(), [], ""
    for line in process.stdout:
        found = re.match(r"\s*(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
        if found:
            seen.add(found[1].lower())
            note = found[1]
        elif line.startswith("Installing collected packages"):
            note = "unpacking, a minute or two"
        elif line.startswith("ERROR"):
            complaints.append(line.strip())
        draw(title, min(len(seen), total), total, note)
    failed = process.wait() != 0
    draw(title, min(len(seen), total) if failed else total, total, "" if failed else "done")
    print()
    return "\n".join(complaints or ["no reason given"]) if failed else ""


def draw(title: str, done: int, total: int, note: str) -> None:
    if not sys.stdout.isatty():
        return
    filled = BAR * done // max(total, 1)
    bar = "#" * filled + "." * (BAR - filled)
    print(f"\r{title:<20} [{bar}] {100 * done // max(total, 1):>3} %  {note[:28]:<28}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
