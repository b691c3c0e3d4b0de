"""Changes of the fault catalogue that need more than saving a row."""

from django.core.exceptions import ValidationError
from django.db import transaction

from cases.models import FaultCategory


@transaction.atomic
def category_delete(category: FaultCategory) -> None:
    """Delete a category that nothing uses.

    Raises ValidationError when others lie below it, which would go with it, and ProtectedError when pictures,
    labels or diagnoses name it.
    """
    below = list(category.children.values_list("code", flat=True)[:10])
    if below:
        raise ValidationError(
            f"{category.code} can't be deleted while categories lie below it: {', '.join(below)}."
            " Move or delete those first.",
            code="has_children",
        )
    category.delete()
