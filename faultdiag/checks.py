"""System checks: misconfiguration is found at the start, not by the first request."""

import os

from django.conf import settings
from django.core.checks import Warning as CheckWarning
from django.core.checks import register

from faultdiag.environment import variables
from vision.engine.backbones import WeightsError
from vision.engine.milvus import EXTRA_COMMAND, packages_missing
from vision.engine.weight_checks import weights_verified

#: Read by scripts and tests, not by the product.
_OTHERS = {"FAULTDIAG_REQUIRE_BROWSER", "FAULTDIAG_CRASH_IMPORT"}


@register
def unknown_variables(**kwargs):
    """A misspelt variable would be ignored without a word."""
    return [
        CheckWarning(
            f"The environment variable {name} is unknown.",
            hint="manage.py settings_table lists the known ones.",
            id="faultdiag.W001",
        )
        for name in sorted(os.environ)
        if name.startswith("FAULTDIAG_") and name not in {*variables(), *_OTHERS}
    ]


@register
def unusable_weights(**kwargs):
    """Weights that are missing, truncated or exchanged: what is active serves on, and nothing else does."""
    try:
        weights_verified(settings.BACKBONE, settings.FAULTDIAG_DATA)
    except WeightsError as reason:
        return [CheckWarning(str(reason), id="faultdiag.W002")]
    return []


@register
def missing_milvus(**kwargs):
    """Milvus was asked for and can't be spoken to: searches stay right, and the operator should know."""
    missing = packages_missing(settings.MILVUS_URI) if settings.INDEX == "milvus" else []
    if not missing:
        return []
    return [
        CheckWarning(
            f"FAULTDIAG_INDEX is milvus, but {' and '.join(missing)} can't be imported: searches do without.",
            hint=f"Install what is missing: {EXTRA_COMMAND}",
            id="faultdiag.W003",
        )
    ]
