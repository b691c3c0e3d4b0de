"""Real pictures for measuring: beside the checkout, and never part of it."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def measuring_folder(name: str) -> Path:
    """A folder of the measuring data; where it is absent, the test that asks is skipped."""
    folder = Path(os.environ.get("FAULTDIAG_MEASURE_DATA", _BESIDE)) / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: name the measuring data with FAULTDIAG_MEASURE_DATA.")
    return folder
