"""Forms of the screens: they parse and say what is wrong; storing is the services' work."""

from django import forms
from django.contrib.auth import get_user_model
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import F, Q, Value
from django.urls import reverse_lazy
from django.utils import timezone

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

DATETIME_LOCAL = "%Y-%m-%dT%H:%M"
WHYS = 5
#: What a new case needs first.
HEAD = ("part", "customer", "kind", "customer_reference")


class LookupField(forms.CharField):
    """Free text that names one row: as it is shown, or by one of its `keys`."""

    def __init__(self, *, queryset, keys, datalist="", **kwargs):
        self.queryset = queryset
        self.keys = keys
        super().__init__(**kwargs)
        self.widget.attrs.update(autocomplete="off")
        if datalist:
            self.widget.attrs |= {
                "list": datalist,
                "hx-get": reverse_lazy("option-list", args=[datalist.removesuffix("-options")]),
                "hx-trigger": "input changed delay:200ms",
                "hx-target": f"#{datalist}",
                "hx-swap": "innerHTML",
                "hx-sync": "this:replace",
                "hx-push-url": "false",
            }

    def prepare_value(self, value):
        if isinstance(value, int):
            value = self.queryset.filter(pk=value).first()
        return str(value) if value else ""

    def to_python(self, value):
        text = " ".join(str(value or "").split())
        if not text:
            return None
        ProhibitNullCharactersValidator()(text)
        # A revision or a name follows the key in what is shown: the row whose whole text fits wins.
        begins = Q()
        for key in self.keys:
            begins |= Q(given__istartswith=F(key))
        candidates = list(self.queryset.alias(given=Value(text)).filter(begins)[:100])
        for row in candidates:
            if str(row).casefold() == text.casefold():
                return row
        keyed = [
            row
            for row in candidates
            if any(str(getattr(row, key)).casefold() == text.casefold() for key in self.keys)
        ]
        if len(keyed) == 1:
            return keyed[0]
        name = self.queryset.model._meta.verbose_name
        if keyed:
            raise forms.ValidationError(
                f"“{text}” is the key of {len(keyed)} entries. Choose one from the list.", code="several"
            )
        raise forms.ValidationError(
            f"No {name} “{text}” is known. Choose one from the list, or leave the field empty.",
            code="unknown",
        )

    def has_changed(self, initial, data):
        return self.prepare_value(initial).casefold() != " ".join(str(data or "").split()).casefold()


def _people():
    return get_user_model().objects.filter(is_active=True).order_by("username")


class CaseForm(forms.ModelForm):
    """The head data of a case."""

    part = LookupField(queryset=Part.objects.all(), keys=["number"], datalist="part-options", required=False)
    customer = LookupField(
        queryset=Customer.objects.all(), keys=["code", "name"], datalist="customer-options", required=False
    )
    supplier = LookupField(
        queryset=Supplier.objects.all(),
        keys=["code", "name"],
        datalist="supplier-options",
        required=False,
    )
    site = LookupField(
        queryset=Site.objects.all(), keys=["code", "name"], datalist="site-options", required=False
    )
    reported_at = forms.DateTimeField(
        label="Reported at",
        required=False,
        input_formats=[DATETIME_LOCAL, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=DATETIME_LOCAL),
        help_text="Empty means now.",
    )
    owner = forms.ModelChoiceField(queryset=None, required=False)

    class Meta:
        model = Case
        fields = [
            "part", "customer", "kind", "customer_reference", "title", "description", "supplier", "site",
            "reported_at", "detection_point", "lot", "serial_number", "produced_on", "quantity_complained",
            "quantity_confirmed", "severity", "owner",
        ]  # fmt: skip
        widgets = {
            "produced_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "description": forms.Textarea(attrs={"rows": 3}),
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = _people()

    def clean_reported_at(self):
        return self.cleaned_data["reported_at"] or self.instance.reported_at or timezone.now()

    @property
    def head(self):
        return [self[name] for name in HEAD]

    @property
    def details(self):
        names = [
            name for name in self.fields if name not in ("part", "customer", "kind", "customer_reference")
        ]
        return [self[name] for name in names]


class CategoryField(LookupField):
    """A category that may be given to pictures, by code or name."""

    def __init__(self, **kwargs):
        super().__init__(
            queryset=FaultCategory.objects.exclude(state=FaultCategory.State.DEPRECATED),
            keys=["code", "name"],
            datalist="category-options",
            **kwargs,
        )


class TransitionForm(forms.Form):
    """A step to another status."""

    to_status = forms.ChoiceField(choices=Case.Status.choices)
    note = forms.CharField(max_length=500, required=False)
    duplicate_of = LookupField(queryset=Case.objects.all(), keys=["number"], required=False)


class ResolutionForm(forms.ModelForm):
    """The resolution of a case with its 5-Why chain; an emptied why is taken away."""

    class Meta:
        model = Resolution
        fields = ["problem", "containment", "root_cause", "disposition", "summary"]
        widgets = {name: forms.Textarea(attrs={"rows": 3}) for name in fields if name != "disposition"}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        steps = list(self.instance.why_steps.all()) if self.instance.pk else []
        self._steps = {step.position: step for step in steps}
        self._why_names = {}
        for position in sorted(set(range(1, WHYS + 1)) | set(self._steps)):
            name = f"why_{position}"
            step = self._steps.get(position)
            self.fields[name] = forms.CharField(
                label=f"Why {position}", max_length=500, required=False, initial=step.answer if step else ""
            )
            self._why_names[name] = position

    @property
    def whys(self):
        return [self[name] for name in self._why_names]

    def save_whys(self, resolution: Resolution) -> None:
        """Write the chain beside the saved resolution, touching only the answers that changed."""
        for name, position in self._why_names.items():
            answer, step = self.cleaned_data[name], self._steps.get(position)
            if step and not answer:
                step.delete()
            elif answer and (step is None or step.answer != answer):
                WhyStep.objects.update_or_create(
                    resolution=resolution, position=position, defaults={"answer": answer}
                )


class ActionTakenForm(forms.ModelForm):
    action = LookupField(
        queryset=CorrectiveAction.objects.exclude(state=CorrectiveAction.State.DEPRECATED),
        keys=["code", "title"],
        datalist="action-options",
    )
    owner = forms.ModelChoiceField(queryset=None, required=False)

    class Meta:
        model = ActionTaken
        fields = ["action", "owner", "due_on", "done_on", "effectiveness", "evidence"]
        widgets = {
            "due_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "done_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "evidence": forms.Textarea(attrs={"rows": 2}),
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = _people()
        if self.instance.pk:
            # An action that was taken stays valid after it was deprecated.
            self.fields["action"].queryset = CorrectiveAction.objects.all()


ActionTakenFormSet = forms.inlineformset_factory(
    Resolution, ActionTaken, form=ActionTakenForm, extra=2, can_delete=True
)
