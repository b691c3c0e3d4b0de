"""Inspectors by the name that people and scanners give."""

from cases.models import Part
from vision.models import Inspector


def inspectors_named(text: str) -> list[Inspector]:
    """The inspectors that people may mean: of exactly this name, else of this name or part in any case."""
    text = text.strip()
    for way in ({"name": text}, {"name__iexact": text}, {"part__number__iexact": text}):
        found = list(Inspector.objects.filter(**way))
        if found:
            return found
    return []


def inspector_find(text: str) -> Inspector | None:
    """The inspector with this name, or of the part with this number; None when there is none, or several."""
    found = inspectors_named(text)
    return found[0] if len(found) == 1 else None


def inspector_create(name: str, *, user=None, **fields) -> Inspector:
    """A new inspector; the part of this number becomes its part unless one is given.

    Raises ValidationError (keys: field names).
    """
    name = name.strip()
    if "part" not in fields:
        parts = list(Part.objects.filter(number__iexact=name)[:2])
        fields["part"] = parts[0] if len(parts) == 1 else None
    inspector = Inspector(name=name, created_by=user, **fields)
    inspector.full_clean()
    inspector.save()
    return inspector


def inspector_change(inspector: Inspector, **fields) -> Inspector:
    """Change an inspector; what is to be learned differently holds from its next training on.

    Only what is given is saved, so that two people who change different things don't undo each other.
    Raises ValidationError (keys: field names).
    """
    for name, value in fields.items():
        setattr(inspector, name, value)
    inspector.full_clean()
    inspector.save(update_fields=fields)
    return inspector
