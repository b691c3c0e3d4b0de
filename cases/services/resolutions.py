"""Writing the resolution of a case with its 5-Why chain and the actions taken, as a whole or not at all."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from cases.models import ActionTaken, Case, Resolution, WhyStep


class ResolutionChanged(Exception):
    """Somebody saved the resolution after it was read; nothing was stored."""


def resolution_version(case: Case) -> str:
    """What a page keeps of the resolution that it shows, to tell later whether somebody saved another one."""
    updated_at = Resolution.objects.filter(case=case).values_list("updated_at", flat=True).first()
    return updated_at.isoformat() if updated_at else ""


def resolution_lock(case: Case, version: str) -> None:
    """Hold a case's resolution to the transaction's end; raises ResolutionChanged unless it is `version`."""
    Case.objects.select_for_update().get(pk=case.pk)
    if resolution_version(case) != version:
        raise ResolutionChanged


@transaction.atomic
def resolution_create(
    *, case: Case, why_steps: Sequence[dict] = (), actions_taken: Sequence[dict] = (), **fields
) -> Resolution:
    """Create the resolution of a case that has none.

    Each of `why_steps` has the fields of WhyStep, each of `actions_taken` those of ActionTaken.
    Raises ValidationError (keys: field names, "why_steps", "actions_taken").
    """
    Case.objects.select_for_update().get(pk=case.pk)
    if Resolution.objects.filter(case=case).exists():
        raise ValidationError({"case": f"{case} has a resolution already: change that one."})
    resolution = Resolution(case=case, **fields)
    resolution.full_clean()
    resolution.save()
    _write_rows(resolution, why_steps, actions_taken)
    return resolution


@transaction.atomic
def resolution_update(
    resolution: Resolution,
    *,
    why_steps: Sequence[dict] | None = None,
    actions_taken: Sequence[dict] | None = None,
    **fields,
) -> Resolution:
    """Change fields of a resolution; rows that are given replace those of before, None leaves them.

    Rows that stay the same are not written again, so the history tells what was changed.
    """
    Case.objects.select_for_update().get(pk=resolution.case_id)
    for name, value in fields.items():
        setattr(resolution, name, value)
    resolution.full_clean()
    resolution.save(update_fields=[*fields, "updated_at"])
    _write_rows(resolution, why_steps, actions_taken)
    return resolution


def _write_rows(resolution, why_steps, actions_taken):
    if why_steps is not None:
        _replace(resolution, WhyStep, "position", why_steps, "why_steps", "Two answers have the position {}.")
    if actions_taken is not None:
        message = "{} is named twice: an action is taken once for a case."
        _replace(resolution, ActionTaken, "action", actions_taken, "actions_taken", message)


def _replace(resolution, model, key, rows, name, twice):
    present = {getattr(row, key): row for row in model.objects.filter(resolution=resolution)}
    wanted = {}
    for values in rows:
        values = {"position": 1 + len(wanted), **values} if model is WhyStep else values
        if values[key] in wanted:
            raise ValidationError({name: twice.format(values[key])})
        wanted[values[key]] = values
    model.objects.filter(pk__in=[row.pk for value, row in present.items() if value not in wanted]).delete()
    for value, values in wanted.items():
        _write_row(present.get(value) or model(resolution=resolution), values, name)


def _write_row(row, values, name):
    changed = [field for field, value in values.items() if row.pk is None or getattr(row, field) != value]
    if not changed:
        return
    for field in changed:
        setattr(row, field, values[field])
    try:
        row.full_clean()
    except ValidationError as error:
        raise ValidationError({name: error.messages}) from error
    row.save()
