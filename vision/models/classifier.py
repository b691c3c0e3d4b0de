"""What was learned from the library, in versions that every process shares."""

import pgtrigger
from django.db import models

from vision.models.library import EmbeddingSpace


class ClassifierVersion(models.Model):
    """What a fit over a library found, with its measures. Only its state changes: one version serves."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        REFUSED = "refused", "Refused"
        RETIRED = "retired", "Retired"

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="classifiers")
    method = models.CharField(max_length=40, help_text="Name of the method, with its version.")
    parameters = models.JSONField(help_text="What fit learned; the method can be restored from it.")
    arrays = models.BinaryField(help_text="Coefficients, in the safetensors format; none of a refused one.")
    data_hash = models.CharField(
        max_length=64, blank=True, help_text="sha256 over the sorted ids, labels and groups of the images."
    )
    measures = models.JSONField(
        default=dict, help_text="top1, macro_f1, ece, coverage and set_size on cases that were held out."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it serves or was refused.")
    watermark = models.BigIntegerField(default=0, help_text="The last library change that the fit knew.")
    library_size = models.PositiveIntegerField(help_text="Labelled images at that time.")
    categories = models.PositiveIntegerField(help_text="Categories at that time.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["space", "method"],
                condition=models.Q(state="active"),
                name="one_active_classifier_per_space_and_method",
            )
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="classifier_immutable",
                fields=[
                    "space", "method", "parameters", "arrays", "data_hash", "measures", "reason", "watermark",
                    "library_size", "categories", "created_at",
                ],
            )
        ]  # fmt: skip

    def __str__(self):
        return f"{self.method} #{self.pk}"
