"""What view sets have in common."""

from rest_framework import mixins, serializers, viewsets


class CheckedModelSerializer(serializers.ModelSerializer):
    """Checks a row by the model's own rules, constraints included, and saves only what was sent.

    Saving single columns keeps two people who change different fields of a row from undoing each other.
    """

    def create(self, validated_data):
        related = self._pop_many_to_many(validated_data)
        row = self.Meta.model(**validated_data)
        row.full_clean()
        row.save()
        self._set_many_to_many(row, related)
        return row

    def update(self, instance, validated_data):
        related = self._pop_many_to_many(validated_data)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.full_clean()
        stamped = {"updated_at"} & {field.name for field in instance._meta.fields}
        instance.save(update_fields={*validated_data, *stamped})
        self._set_many_to_many(instance, related)
        return instance

    def _pop_many_to_many(self, values):
        names = [field.name for field in self.Meta.model._meta.many_to_many if field.name in values]
        return {name: values.pop(name) for name in names}

    def _set_many_to_many(self, row, related):
        for name, rows in related.items():
            getattr(row, name).set(rows)


class CodeLookup:
    """A row is addressed by its code."""

    lookup_field = "code"
    lookup_value_regex = r"[^/\x00]+"


class FreshAfterWriting:
    """Answers a write with the row as a later GET shows it, figures included."""

    def perform_create(self, serializer):
        super().perform_create(serializer)
        self._reload(serializer)

    def perform_update(self, serializer):
        super().perform_update(serializer)
        self._reload(serializer)

    def _reload(self, serializer):
        serializer.instance = self.get_queryset().get(pk=serializer.instance.pk)


class ReadCreateUpdate(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet,
):
    """Everything but deleting: what people wrote on a case stays."""
