"""What the pages of inspectors ask for."""

from django import forms

from cases.forms import LookupField
from cases.models import Part
from vision.engine.backbones import BACKBONES
from vision.models import Inspector
from vision.models.inspection import MOST_RESOLUTION


class InspectorForm(forms.ModelForm):
    """How an inspector is called, and how it is to learn and to reject."""

    part = LookupField(
        queryset=Part.objects.all(),
        keys=["number"],
        datalist="part-options",
        required=False,
        help_text="Its number may be scanned instead of the name; cases are opened for it.",
    )
    backbone = forms.ChoiceField(
        choices=[(name, name) for name in BACKBONES],
        help_text="Network whose patches are compared. Its weights must be installed: docs/backbones.md.",
    )

    class Meta:
        model = Inspector
        fields = ["name", "part", "description", "backbone", "resolution", "rule", "alpha", "hold_out"]
        help_texts = {
            "rule": "The conformal rules hold the false-reject rate, and need good parts for it: 99 for 0.01."
            " The others promise nothing.",
            "hold_out": "New parts is right when every part is pictured once.",
        }
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "resolution": forms.NumberInput(
                attrs={"max": MOST_RESOLUTION, "placeholder": "the network's own"}
            ),
            "alpha": forms.NumberInput(attrs={"min": "0.001", "max": "0.5", "step": "0.001"}),
        }

    def _post_clean(self):
        """The service validates the row, so that every door says the same."""
