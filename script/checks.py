"""Every check and test, in the .venv that runs this; stops at the first that fails.

Tests marked slow are left out, unless the only argument is --all. With other arguments only pytest runs,
with these.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: How an installation behind an HTTPS proxy is set up: the deployment check looks at that one.
PRODUCTION = {"FAULTDIAG_HTTPS": "true", "FAULTDIAG_DEBUG": "false", "ALLOWED_HOSTS": "faultdiag.example.com"}


def main(arguments: list[str]) -> int:
    pytest = [str(BIN / "pytest")]
    everything = arguments == ["--all"]
    if arguments and not everything:
        return subprocess.call([*pytest, *arguments], cwd=ROOT)
    manage = [sys.executable, str(ROOT / "manage.py")]
    with tempfile.TemporaryDirectory(prefix="faultdiag-checks-") as data:
        separate = {**os.environ, "FAULTDIAG_DATA": data}
        production = {**separate, **PRODUCTION, "SECRET_KEY": secrets.token_urlsafe(64)}
        steps = [
            ("Style", [str(BIN / "ruff"), "check"], None),
            ("Format", [str(BIN / "ruff"), "format", "--check"], None),
            ("Directions of imports", [str(BIN / "lint-imports")], None),
            ("Migrations are complete", [*manage, "makemigrations", "--check", "--dry-run"], separate),
            ("Deployment", [*manage, "check", "--deploy", "--fail-level", "WARNING"], production),
            (
                "API description",
                [*manage, "spectacular", "--validate", "--fail-on-warn", "--file", os.devnull],
                separate,
            ),
        ]
        for title, command, environment in steps:
            print(f"== {title}", flush=True)
            if subprocess.call(command, cwd=ROOT, env=environment):
                print(f"Failed: {title} ({' '.join(command[-5:])})", file=sys.stderr)
                return 1
    print("== Tests", flush=True)
    return subprocess.call(pytest if everything else [*pytest, "-m", "not slow"], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
