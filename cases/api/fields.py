"""Fields that several serializers share."""

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cases.models import Part


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes the text: no NUL character, no half of a surrogate pair."""
    return "\x00" not in text and text.encode(errors="replace").decode() == text


class CodeField(serializers.SlugRelatedField):
    """A row named by the code that people know it by."""

    default_error_messages = {"does_not_exist": "Nothing has the {slug_name} “{value}”."}

    def __init__(self, slug_field="code", **kwargs):
        super().__init__(slug_field=slug_field, **kwargs)

    def to_internal_value(self, data):
        if not isinstance(data, str) or not is_storable(data):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.STR)
class PartField(serializers.RelatedField):
    """A part by its number, or by its id where several revisions share the number."""

    default_error_messages = {
        "unknown": "No part has the number “{value}”.",
        "several": "{count} revisions have the number “{value}”: give the id of one of them: {ids}.",
        "invalid": "Give the number of a part, or its id.",
    }

    def __init__(self, **kwargs):
        if not kwargs.get("read_only"):
            kwargs.setdefault("queryset", Part.objects.all())
        super().__init__(**kwargs)

    def to_internal_value(self, data):
        if isinstance(data, bool) or not isinstance(data, str | int) or not is_storable(str(data)):
            self.fail("invalid")
        parts = self.get_queryset()
        found = list(parts.filter(number=str(data))[:20])
        if not found and str(data).isascii() and str(data).isdigit():
            found = list(parts.filter(pk=int(str(data)[:19])))
        if not found:
            self.fail("unknown", value=data)
        if len(found) > 1:
            self.fail("several", count=len(found), value=data, ids=", ".join(str(part.pk) for part in found))
        return found[0]

    def to_representation(self, value):
        return value.number


@extend_schema_field(OpenApiTypes.URI)
class LinkField(serializers.Field):
    """The absolute address of a named page; `key` is the attribute that it is made from, dots reach further.

    Where there is nothing on the way to the key, the link is None.
    """

    def __init__(self, name: str, *, key: str = "pk", fragment: str = "", **kwargs):
        self.name, self.key, self.fragment = name, key, fragment
        super().__init__(read_only=True, source="*", **kwargs)

    def to_representation(self, value):
        for step in self.key.split("."):
            value = getattr(value, step, None)
            if value is None:
                return None
        address = reverse(self.name, args=[value]) + self.fragment
        request = self.context.get("request")
        return request.build_absolute_uri(address) if request else address
