"""cases.csv: what a folder of pictures says about its cases beyond the picture and its category."""

import csv
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from cases.models import ActionTaken, CorrectiveAction, Resolution

TABLE_NAME = "cases.csv"
_WHYS = [f"why_{position}" for position in range(1, 6)]
_CASE_TEXTS = ["part", "part_revision", "customer", "supplier", "site", "lot"]
_RESOLUTION_TEXTS = ["problem", "containment", "root_cause", "summary"]
_ACTION_COLUMNS = ["action_code", "action_title", "action_type", "done_on", "effectiveness", "evidence"]
COLUMNS = [
    *["file", "reported_at", "quantity", "disposition"],
    *_CASE_TEXTS,
    *_RESOLUTION_TEXTS,
    *_WHYS,
    *_ACTION_COLUMNS,
]


class FolderImportError(Exception):
    """Why a folder can't be imported at all, as a sentence."""


@dataclass(frozen=True)
class Problem:
    """A file, folder or row that was left out, and the sentence that says why."""

    file: str
    problem: str


@dataclass(frozen=True)
class ActionRow:
    """An action that was taken."""

    code: str
    title: str
    type: str
    done_on: date | None
    effectiveness: str
    evidence: str


@dataclass
class CaseRow:
    """What the table knows of one picture's case."""

    texts: dict[str, str]
    whys: list[str]
    reported_at: datetime | None
    quantity: int | None
    disposition: str
    actions: list[ActionRow] = field(default_factory=list)


@dataclass
class CaseTable:
    """The rows of cases.csv by file; `refused` holds the files whose rows are wrong."""

    rows: dict[str, CaseRow] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def table_read(folder: Path) -> CaseTable:
    """Read `cases.csv` of a folder; no such file gives an empty table.

    A file may have several rows: the first describes the case, each may name an action. A wrong row is
    listed, and its file is left out of the import, so that it comes in whole once the row is mended.
    Raises FolderImportError when the table as a whole can't be read.
    """
    path = folder / TABLE_NAME
    table = CaseTable()
    if not path.is_file():
        return table
    try:
        lines = _decode(path.read_bytes()).splitlines(keepends=True)
        reader = csv.DictReader(lines, delimiter=_delimiter(lines), skipinitialspace=True)
        columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
        _check_columns(columns)
        reader.fieldnames = columns
        for row in reader:
            _add_row(table, row, line=reader.line_num)
    except (OSError, csv.Error) as error:
        raise FolderImportError(f"{TABLE_NAME} can't be read: {error}. Mend it or take it away.") from error
    return table


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # what spreadsheet programs write on Windows


def _delimiter(lines: list[str]) -> str:
    header = lines[0] if lines else ""
    return max(",;\t", key=header.count)


def _check_columns(columns: list[str]) -> None:
    if "file" not in columns:
        raise FolderImportError(
            f'{TABLE_NAME} has no column "file", which holds the path of each picture within the folder.'
            f" The columns it may have: {', '.join(COLUMNS)}."
        )
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise FolderImportError(
            f"{TABLE_NAME} has a column that the import doesn't know: {', '.join(unknown)}."
            f" The columns it may have: {', '.join(COLUMNS)}."
        )


def _add_row(table: CaseTable, row: dict, line: int) -> None:
    cells = {name: (text or "").strip() for name, text in row.items() if isinstance(name, str)}
    file = str(PurePosixPath(cells["file"].replace("\\", "/")))
    try:
        if None in row:
            raise ValueError("it has more cells than the header has columns")
        if not cells["file"]:
            raise ValueError("it names no file")
        action = _parse_action(cells)
        if file not in table.rows:
            table.rows[file] = _parse_case(cells)
        if action:
            table.rows[file].actions.append(action)
    except ValueError as error:
        table.refused.add(file)
        table.problems.append(
            Problem(
                f"{TABLE_NAME}, line {line}", f"The row of {cells['file'] or 'no file'} is wrong: {error}."
            )
        )


def _parse_case(cells: dict[str, str]) -> CaseRow:
    quantity = cells.get("quantity", "")
    if quantity and not (quantity.isascii() and quantity.isdecimal() and int(quantity) < 2**31):
        raise ValueError(f"the quantity {quantity} is no whole number from 0 to 2147483647")
    return CaseRow(
        texts={name: cells.get(name, "") for name in _CASE_TEXTS + _RESOLUTION_TEXTS},
        whys=[cells[name] for name in _WHYS if cells.get(name)],
        reported_at=_parse_moment(cells.get("reported_at", "")),
        quantity=int(quantity) if quantity else None,
        disposition=_parse_choice("disposition", cells, Resolution.Disposition),
    )


def _parse_action(cells: dict[str, str]) -> ActionRow | None:
    given = [name for name in _ACTION_COLUMNS if cells.get(name)]
    if not given:
        return None
    if not (cells.get("action_code") or cells.get("action_title")):
        raise ValueError(f"it has {given[0]} but neither action_code nor action_title")
    done_on = _parse_day("done_on", cells.get("done_on", ""))
    effectiveness = _parse_choice("effectiveness", cells, ActionTaken.Effectiveness)
    if effectiveness in ("effective", "ineffective") and done_on is None:
        raise ValueError("an action is judged only after it was done, and done_on is empty")
    return ActionRow(
        code=cells.get("action_code", ""),
        title=cells.get("action_title", ""),
        type=_parse_choice("action_type", cells, CorrectiveAction.Type) or CorrectiveAction.Type.CORRECTIVE,
        done_on=done_on,
        effectiveness=effectiveness or ActionTaken.Effectiveness.PENDING,
        evidence=cells.get("evidence", ""),
    )


def _parse_choice(column: str, cells: dict[str, str], choices) -> str:
    text = cells.get(column, "")
    for value, label in choices.choices:
        if text.lower() in (value, label.lower()):
            return value
    if text:
        raise ValueError(f"{column} is {text}, and may be {', '.join(choices.values)}")
    return ""


def _parse_day(column: str, text: str) -> date | None:
    day = _parsed(parse_date, text)
    if text and day is None:
        raise ValueError(f"{column} is {text}, and should be a date such as 2026-03-31")
    return day


def _parse_moment(text: str) -> datetime | None:
    day = _parsed(parse_date, text)
    moment = datetime.combine(day, time(12)) if day else _parsed(parse_datetime, text)
    if text and moment is None:
        raise ValueError(f"reported_at is {text}, and should be a date such as 2026-03-31")
    return timezone.make_aware(moment) if moment and timezone.is_naive(moment) else moment


def _parsed(parse, text):
    try:
        return parse(text)
    except ValueError:  # of the right form, but no such day
        return None
