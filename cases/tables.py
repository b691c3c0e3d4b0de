"""CSV and XLSX as they leave for a spreadsheet and come back from one."""

import tablib
from import_export.formats import base_formats

#: A cell that begins so is a formula to a spreadsheet (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell_escape(value):
    """Text that a spreadsheet would run as a formula gets an apostrophe in front; the rest stays."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def cell_unescape(value):
    """Takes the apostrophe of `cell_escape` away again; an empty cell is an empty text."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith("'") and value[1:].startswith(_FORMULA_STARTS):
        return value[1:]
    return value


def _mapped(dataset: tablib.Dataset, cell) -> tablib.Dataset:
    return tablib.Dataset(*([cell(value) for value in row] for row in dataset), headers=dataset.headers)


class _SafeTable:
    def export_data(self, dataset, **kwargs):
        return super().export_data(_mapped(dataset, cell_escape), **kwargs)

    def create_dataset(self, in_stream, **kwargs):
        dataset = super().create_dataset(in_stream, **kwargs)
        dataset.headers = [str(header or "").strip() for header in dataset.headers or []]
        filled = [row for row in dataset if any(value not in (None, "") for value in row)]
        return _mapped(tablib.Dataset(*filled, headers=dataset.headers), cell_unescape)


class CsvTable(_SafeTable, base_formats.CSV):
    pass


class XlsxTable(_SafeTable, base_formats.XLSX):
    pass
