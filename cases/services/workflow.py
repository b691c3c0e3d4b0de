"""The way of a case through its statuses."""

from django.core.exceptions import ValidationError
from django.db import transaction

from cases.models import ActionTaken, Case, CaseTransition, Resolution


@transaction.atomic
def case_transition(
    case: Case, to_status: str, *, user=None, note: str = "", duplicate_of: Case | None = None
) -> CaseTransition:
    """Move a case to another status and record who did it.

    Raises ValidationError when the step is not allowed, when a duplicate names no original, or when a case
    is closed before its resolution is complete.
    """
    locked = Case.objects.select_for_update().get(pk=case.pk)
    target = Case.Status(to_status)
    allowed = locked.next_statuses()
    if target not in allowed:
        names = ", ".join(status.label for status in allowed)
        raise ValidationError(
            {"status": f"{locked} is {locked.get_status_display()}: from there it can go to {names}."}
        )
    if target == Case.Status.DUPLICATE:
        if duplicate_of is None or duplicate_of.pk == locked.pk:
            raise ValidationError({"duplicate_of": "Name the other case that this one repeats."})
        locked.duplicate_of = duplicate_of
    if target == Case.Status.CLOSED and locked.status == Case.Status.EFFECTIVENESS:
        _require_complete_resolution(locked)
    transition = CaseTransition.objects.create(
        case=locked, from_status=locked.status, to_status=target, note=note, made_by=user
    )
    locked.status = target
    locked.save(update_fields=["status", "duplicate_of", "updated_at"])
    case.status = target
    case.duplicate_of = locked.duplicate_of
    return transition


def _require_complete_resolution(case):
    resolution = Resolution.objects.filter(case=case).first()
    if resolution is None or not resolution.root_cause or not resolution.disposition:
        raise ValidationError(
            {"status": f"{case} can be closed once its resolution names the root cause and a disposition."}
        )
    if resolution.actions_taken.filter(effectiveness=ActionTaken.Effectiveness.PENDING).exists():
        raise ValidationError(
            {"status": f"{case} can be closed once each action taken is judged effective or ineffective."}
        )
