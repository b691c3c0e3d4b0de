"""Past inspections as a table for other programs."""

import csv
from collections.abc import Iterator

from django.db.models import QuerySet
from django.utils import timezone

from vision.models import Inspection

COLUMNS = (
    "inspection", "time", "inspector", "part", "version", "verdict", "score", "threshold", "p_value",
    "another_product", "serial_number", "picture", "sha256", "regions", "worst_box", "notes", "case",
    "inspected_by",
)  # fmt: skip
#: Spreadsheets take what begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


def inspections_csv(rows: QuerySet[Inspection]) -> Iterator[str]:
    """The rows as CSV, line by line; regions that count are in pixels of the upright picture."""
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    rows = rows.select_related("version__inspector__part", "file", "case", "created_by").defer("grid")
    for row in rows.iterator(chunk_size=500):
        yield writer.writerow([_plain(value) for value in _values(row)])


def _values(row: Inspection) -> list:
    inspector = row.version.inspector
    return [
        row.pk,
        timezone.localtime(row.created_at).isoformat(timespec="seconds"),
        inspector.name,
        inspector.part.number if inspector.part else "",
        row.version.number,
        row.verdict,
        round(row.score, 4),
        "" if row.threshold is None else round(row.threshold, 4),
        "" if row.p_value is None else round(row.p_value, 6),
        "yes" if row.is_foreign else "no",
        row.serial_number,
        row.name,
        row.file.sha256,
        len(row.regions),
        " ".join(str(value) for value in row.regions[0]["box"]) if row.regions else "",
        " ".join(row.notes),
        row.case.number if row.case else "",
        row.created_by.get_username() if row.created_by else "",
    ]


def _plain(value):
    """The same for a spreadsheet that must not calculate with it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
