"""What tables of the knowledge base hold, row by row: import and export with natural keys."""

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from import_export import fields, resources, widgets

from cases.models import (
    Case,
    CorrectiveAction,
    Customer,
    FaultCategory,
    Part,
    Resolution,
    Site,
    Supplier,
)
from cases.services.intake import case_create

MAX_ROWS = 20_000


class KeyWidget(widgets.ForeignKeyWidget):
    """A row of another table by its natural key; an unknown key is said in a sentence."""

    def clean(self, value, row=None, **kwargs):
        text = str(value or "").strip()
        if not text:
            return None
        try:
            return self.get_instance_by_lookup_fields(text, row, **kwargs)
        except self.model.DoesNotExist:
            name = self.model._meta.verbose_name
            raise ValueError(
                f"There is no {name} {text}. Correct the cell, or add the {name} before this row."
            ) from None


class PartWidget(KeyWidget):
    """A part by its number and the revision in the next column."""

    def get_lookup_kwargs(self, value, row, **kwargs):
        return {"number": value, "revision": str(row.get("part_revision") or "").strip()}


class KeysWidget(widgets.ManyToManyWidget):
    """Rows of another table by their natural keys; none of them may be unknown."""

    def clean(self, value, row=None, **kwargs):
        keys = {key.strip() for key in str(value or "").split(self.separator)} - {""}
        found = self.model.objects.filter(**{f"{self.field}__in": keys})
        missing = keys - set(found.values_list(self.field, flat=True))
        if missing:
            raise ValueError(
                f"There is no {self.model._meta.verbose_name} {', '.join(sorted(missing))}."
                " Correct the cell, or add it before this row."
            )
        return found


class CellDiff(resources.Diff):
    """Old and new values, marked without inline styles, which the pages' security policy forbids."""

    def as_html(self):
        return [self._cell(old, new) for old, new in zip(self.left, self.right, strict=False)]

    def _cell(self, old, new):
        if old == new:
            return str(new)
        if self.new or old == "":
            return format_html("<ins>{}</ins>", new)
        return format_html("<del>{}</del> <ins>{}</ins>", old, new)


class TableResource(resources.ModelResource):
    """A table whose columns are all known and whose rows pass the model's own validation."""

    class Meta:
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True

    def before_import(self, dataset, **kwargs):
        known = [field.column_name for field in self.get_import_fields()]
        unknown = [header for header in dataset.headers if header not in known]
        if unknown:
            raise ValidationError(
                f"Unknown columns: {', '.join(name or '(no name)' for name in unknown)}."
                f" The columns are {', '.join(known)}."
            )
        if dataset.height > MAX_ROWS:
            raise ValidationError(
                f"The table has {dataset.height} rows, and {MAX_ROWS} are imported at most: split it."
            )
        missing = [column for column in self.get_import_id_columns() if column not in dataset.headers]
        if missing:
            raise ValidationError(f"The column {missing[0]} is missing: it says which record a row is about.")
        super().before_import(dataset, **kwargs)

    def get_diff_class(self):
        return CellDiff

    def import_field(self, field, instance, row, is_m2m=False, **kwargs):
        try:
            super().import_field(field, instance, row, is_m2m, **kwargs)
        except ArithmeticError:
            raise ValueError(f"{row[field.column_name]} is no number.") from None

    def get_import_id_columns(self) -> list[str]:
        return [self.fields[name].column_name for name in self.get_import_id_fields()]


class CategoryResource(TableResource):
    parent = fields.Field("parent", "parent", KeyWidget(FaultCategory, "code"))

    class Meta(TableResource.Meta):
        model = FaultCategory
        import_id_fields = ["code"]
        fields = ["code", "parent", "name", "definition", "severity", "is_safety_relevant", "state"]


class PartResource(TableResource):
    class Meta(TableResource.Meta):
        model = Part
        import_id_fields = ["number", "revision"]
        fields = ["number", "revision", "name", "family"]

    def before_import(self, dataset, **kwargs):
        if "revision" not in dataset.headers:
            dataset.append_col([""] * dataset.height, header="revision")
        super().before_import(dataset, **kwargs)


class PartyResource(TableResource):
    class Meta(TableResource.Meta):
        import_id_fields = ["code"]
        fields = ["code", "name"]


class CustomerResource(PartyResource):
    class Meta(PartyResource.Meta):
        model = Customer


class SupplierResource(PartyResource):
    class Meta(PartyResource.Meta):
        model = Supplier


class SiteResource(PartyResource):
    class Meta(PartyResource.Meta):
        model = Site


class ActionResource(TableResource):
    categories = fields.Field("categories", "categories", KeysWidget(FaultCategory, ";", "code"))

    class Meta(TableResource.Meta):
        model = CorrectiveAction
        import_id_fields = ["code"]
        fields = ["code", "title", "type", "description", "categories", "state"]


class CaseResource(TableResource):
    """Cases without their pictures. A row without a number is a new case; the status is never imported."""

    part = fields.Field("part", "part_number", PartWidget(Part, "number"))
    part_revision = fields.Field("part__revision", "part_revision", readonly=True)
    customer = fields.Field("customer", "customer", KeyWidget(Customer, "code"))
    supplier = fields.Field("supplier", "supplier", KeyWidget(Supplier, "code"))
    site = fields.Field("site", "site", KeyWidget(Site, "code"))
    owner = fields.Field("owner", "owner", KeyWidget(get_user_model(), "username"))
    status = fields.Field("status", "status", readonly=True)

    class Meta(TableResource.Meta):
        model = Case
        import_id_fields = ["number"]
        fields = [
            "number", "status", "kind", "title", "part", "part_revision", "customer", "customer_reference",
            "supplier", "site", "reported_at", "detection_point", "lot", "serial_number", "produced_on",
            "quantity_complained", "quantity_confirmed", "severity", "owner", "description",
        ]  # fmt: skip

    def before_import(self, dataset, **kwargs):
        self._user = kwargs.get("user")
        super().before_import(dataset, **kwargs)

    def after_init_instance(self, instance, new, row, **kwargs):
        number = str(row.get("number") or "").strip()
        if new and number:
            raise ValidationError(
                {"number": f"There is no case {number}. Leave the number empty to open a new case."}
            )

    def validate_instance(self, instance, import_validation_errors=None, validate_unique=True):
        # A new case gets its number when it is created.
        errors = dict(import_validation_errors or {})
        unset = ["number"] if instance.pk is None else []
        try:
            instance.full_clean(exclude=[*errors, *unset], validate_unique=validate_unique)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def do_instance_save(self, instance, is_create):
        if not is_create:
            instance.save()
            return
        given = {"part", *(name for name in self._meta.fields if not name.startswith("part"))}
        values = {name: getattr(instance, name) for name in given - {"number", "status"}}
        created = case_create(pictures=[], user=self._user, **values)
        instance.pk = created.pk
        instance.refresh_from_db()
        instance._state.adding = False


class ResolutionResource(TableResource):
    case = fields.Field("case", "case", KeyWidget(Case, "number"))

    class Meta(TableResource.Meta):
        model = Resolution
        import_id_fields = ["case"]
        fields = ["case", "problem", "containment", "root_cause", "disposition", "summary"]
