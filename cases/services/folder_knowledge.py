"""How a folder import finds or makes what its cases refer to: categories, parts, parties, actions."""

import hashlib
import re
import unicodedata

from django.core.exceptions import ValidationError
from django.db.models import Q

from cases.models import (
    ActionTaken,
    Case,
    CorrectiveAction,
    Customer,
    FaultCategory,
    Part,
    Resolution,
    Site,
    Supplier,
    WhyStep,
)
from cases.services.folder_table import ActionRow, CaseRow

_PARTIES = {"customer": Customer, "supplier": Supplier, "site": Site}


def code_derive(text: str) -> str:
    """A code of at most 40 capital letters, digits, dots, dashes and underscores for any text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().upper()
    code = re.sub(r"[^A-Z0-9._-]+", "-", plain).strip("-_.")
    if len(code) > 40 or not code:
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8].upper()
        code = f"{code[:31]}-{digest}".lstrip("-")
    return code


def category_code(folder_name: str) -> str:
    """The code of a category made for a folder."""
    return code_derive(folder_name)


def category_find(folder_name: str) -> FaultCategory | None:
    """The category that a folder is named after, by its code or its name in any writing."""
    spaced = folder_name.replace("_", " ").strip()
    named = Q(name__iexact=folder_name) | Q(name__iexact=spaced) | Q(name__iexact=spaced.replace("-", " "))
    by_code = FaultCategory.objects.filter(code=category_code(folder_name)).first()
    return by_code or FaultCategory.objects.filter(named).order_by("pk").first()


def category_find_or_create(folder_name: str) -> FaultCategory:
    """The category of a folder; a new one is active at once, its definition left empty."""
    return (
        category_find(folder_name)
        or FaultCategory.objects.get_or_create(
            code=category_code(folder_name),
            defaults={
                "name": folder_name.replace("_", " ").strip().capitalize()[:120],
                "state": FaultCategory.State.ACTIVE,
            },
        )[0]
    )


def party_find_or_create(kind: str, text: str) -> Customer | Supplier | Site:
    """The customer, supplier or site with this code or name; a new one is named as written."""
    model = _PARTIES[kind]
    found = model.objects.filter(Q(code__iexact=text) | Q(name__iexact=text)).order_by("pk").first()
    return found or _create(model, code=code_derive(text), name=text)


def part_find_or_create(number: str, revision: str = "") -> Part:
    """The part with this number; without a revision, its newest one."""
    found = Part.objects.filter(number=number, **({"revision": revision} if revision else {})).last()
    return found or _create(Part, number=number, revision=revision)


def action_find_or_create(row: ActionRow) -> CorrectiveAction:
    """The catalogue's action with this code, or else with this title."""
    wanted = Q(code__iexact=row.code) if row.code else Q(title__iexact=row.title)
    found = CorrectiveAction.objects.filter(wanted).order_by("pk").first()
    return found or _create(
        CorrectiveAction,
        code=code_derive(row.code or row.title),
        title=row.title or row.code,
        type=row.type,
    )


def case_fields(row: CaseRow) -> dict:
    """The fields of a Case that a row of the table fills."""
    texts = row.texts
    fields = {kind: party_find_or_create(kind, texts[kind]) for kind in _PARTIES if texts[kind]}
    if texts["part"]:
        fields["part"] = part_find_or_create(texts["part"], texts["part_revision"])
    if row.reported_at:
        fields["reported_at"] = row.reported_at
    if row.quantity is not None:
        fields["quantity_complained"] = row.quantity
    return fields | {"lot": texts["lot"]}


def resolution_store(
    case: Case, category: FaultCategory, row: CaseRow | None, import_name: str
) -> Resolution:
    """The resolution of an imported case; what the import did not carry is said plainly."""
    texts = row.texts if row else {}
    summary = texts.get("summary", "")
    if not summary:
        carried = texts.get("root_cause") or (row and row.actions)
        summary = f"Imported from the folder {import_name} as {category.name}." + (
            "" if carried else " The import carried no root cause and no actions."
        )
    resolution = _create(
        Resolution,
        case=case,
        problem=texts.get("problem", ""),
        containment=texts.get("containment", ""),
        root_cause=texts.get("root_cause", ""),
        disposition=row.disposition if row else "",
        summary=summary,
    )
    for position, answer in enumerate(row.whys if row else [], start=1):
        _create(WhyStep, resolution=resolution, position=position, answer=answer)
    for action_row in row.actions if row else []:
        action = action_find_or_create(action_row)
        action.categories.add(category)
        _create(
            ActionTaken,
            resolution=resolution,
            action=action,
            done_on=action_row.done_on,
            effectiveness=action_row.effectiveness,
            evidence=action_row.evidence,
        )
    return resolution


def _create(model, **values):
    """Create a row whose values came from outside; a wrong one is a sentence that names the field."""
    instance = model(**values)
    try:
        instance.full_clean()
    except ValidationError as error:
        details = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
        raise ValidationError(f"{model._meta.verbose_name.capitalize()}: {details}") from error
    instance.save()
    return instance
