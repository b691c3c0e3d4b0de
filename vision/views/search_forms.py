"""What the search pages ask for."""

from django import forms
from django.core.exceptions import ValidationError

from cases.forms import CategoryField, LookupField
from cases.models import Customer, Part, Site
from vision.engine.regions import WHOLE, Region, RegionError
from vision.services.search import SearchFilters


class FiltersForm(forms.Form):
    """What the past cases must have in common."""

    category = CategoryField(required=False)
    part = LookupField(queryset=Part.objects.all(), keys=["number"], datalist="part-options", required=False)
    customer = LookupField(
        queryset=Customer.objects.all(), keys=["code", "name"], datalist="customer-options", required=False
    )
    site = forms.ModelChoiceField(queryset=Site.objects.all(), required=False, empty_label="Any")
    reported_after = forms.DateField(
        label="Reported from",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reported_before = forms.DateField(
        label="Reported until",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def filters(self) -> SearchFilters:
        """The filters of a valid form."""
        return SearchFilters(**{name: self.cleaned_data[name] for name in SearchFilters.__dataclass_fields__})


class RegionForm(forms.Form):
    """The part of a picture to look at; nothing is the whole of it."""

    region = forms.CharField(required=False)

    def clean_region(self) -> Region:
        text = self.cleaned_data["region"]
        if not text:
            return WHOLE
        try:
            return Region.parse(text)
        except RegionError as error:
            raise ValidationError(str(error), code=error.code) from error


class PictureSearchForm(RegionForm, FiltersForm):
    """A region of the picture, and the filters of every search; the pictures come beside it."""
