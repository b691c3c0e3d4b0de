"""What changed on a record, when and by whom, from the rows that database triggers wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pghistory.core
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pghistory.models import Events

from cases.models import ActionTaken, Case, CaseImage, Resolution, WhyStep

#: Columns that say nothing to a reader.
_SILENT = {"id", "created_at", "updated_at"}
_VERBS = {"insert": "added", "update": "changed", "delete": "deleted"}


@dataclass(frozen=True)
class Change:
    """One field from its old to its new value, both as a reader writes them."""

    field: str
    old: str
    new: str


@dataclass(frozen=True)
class HistoryEntry:
    """One recorded change of one record."""

    at: datetime
    who: str
    verb: str
    record: str
    changes: list[Change]


def record_history(owners: Mapping[Model, Sequence[type[Model]]], limit: int = 100) -> list[HistoryEntry]:
    """The newest changes of each owner and of the rows of the models named for it that point to it."""
    events = {}
    for owner, models in owners.items():
        queries = [Events.objects.tracks(owner)]
        if models:
            across = [table for model in models for table in pghistory.core.event_models(tracks_model=model)]
            queries.append(Events.objects.references(owner).across(*across))
        for query in queries:
            for event in query.order_by("-pgh_created_at")[:limit]:
                events[event.pgh_slug] = event
    newest = sorted(events.values(), key=lambda event: (event.pgh_created_at, event.pgh_id), reverse=True)
    return _describe(newest[:limit])


def case_history(case: Case) -> list[HistoryEntry]:
    """What changed on a case, its pictures and its resolution with whys and actions."""
    owners = {case: (CaseImage, Resolution)}
    for resolution in Resolution.objects.filter(case=case):
        owners[resolution] = (WhyStep, ActionTaken)
    return record_history(owners)


def records_deleted(model: type[Model], limit: int = 200) -> list[HistoryEntry]:
    """The newest deletions among all records of a model."""
    events = Events.objects.across(*pghistory.core.event_models(tracks_model=model))
    return _describe(events.filter(pgh_label="delete").order_by("-pgh_created_at", "-pgh_id")[:limit])


def _describe(events) -> list[HistoryEntry]:
    names = _Names(events)
    entries = []
    for event in events:
        model = apps.get_model(event.pgh_obj_model)
        changes = [
            Change(
                names.field(model, column), names.value(model, column, old), names.value(model, column, new)
            )
            for column, (old, new) in (event.pgh_diff or {}).items()
            if column not in _SILENT
        ]
        if event.pgh_label == "update" and not changes:
            continue
        verb = _VERBS.get(event.pgh_label, event.pgh_label)
        entries.append(
            HistoryEntry(event.pgh_created_at, names.user(event), verb, names.record(model, event), changes)
        )
    return entries


class _Names:
    """Words for models, columns, keys and users, each related row fetched once."""

    def __init__(self, events: Sequence):
        users = {event.pgh_context["user"] for event in events if (event.pgh_context or {}).get("user")}
        self._users = get_user_model().objects.in_bulk(users)
        self._related: dict[tuple[type[Model], object], str] = {}

    def user(self, event) -> str:
        key = (event.pgh_context or {}).get("user")
        if not key:
            return "the system"
        user = self._users.get(key)
        return (user.get_full_name() or user.get_username()) if user else f"user {key}"

    def record(self, model, event) -> str:
        """ "action taken ACT-7", or "case": what tells this record from its siblings."""
        data = event.pgh_data or {}
        own = data.get("number") or data.get("code") or data.get("name") or data.get("answer") or ""
        if not own and data.get("action_id"):
            own = self.value(model, "action_id", data["action_id"])
        return f"{model._meta.verbose_name} {own}".strip()

    def field(self, model, column) -> str:
        field = _field(model, column)
        return str(field.verbose_name) if field else column

    def value(self, model, column, value) -> str:
        if value in (None, ""):
            return "nothing"
        field = _field(model, column)
        if field is not None and field.choices:
            return str(dict(field.flatchoices).get(value, value))
        if field is not None and field.is_relation:
            return self._row(field.related_model, value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if field is not None and field.get_internal_type() == "DateTimeField":
            moment = parse_datetime(str(value))
            return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M") if moment else str(value)
        return str(value)

    def _row(self, model, key) -> str:
        if (model, key) not in self._related:
            row = model._default_manager.filter(pk=key).first()
            self._related[model, key] = str(row) if row else f"{model._meta.verbose_name} {key} (deleted)"
        return self._related[model, key]


def _field(model, column):
    try:
        return model._meta.get_field(column.removesuffix("_id"))
    except FieldDoesNotExist:
        return None
