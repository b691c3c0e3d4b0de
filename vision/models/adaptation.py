"""Attempts to tune the embedding to the library's labels, each with what it measured and what followed."""

import pgtrigger
from django.conf import settings
from django.db import models

from vision.models.library import EmbeddingSpace


class Adaptation(models.Model):
    """One attempt, immutable: never refitted, and kept when it was refused."""

    class Method(models.TextChoices):
        PROJECTION = "projection", "Projection"
        NETWORK = "network", "Whole network"

    method = models.CharField(max_length=12, choices=Method.choices)
    compared_with = models.ForeignKey(EmbeddingSpace, on_delete=models.PROTECT, related_name="attempts")
    parameters = models.JSONField(default=dict, help_text="What fit chose, as numbers.")
    arrays = models.BinaryField(help_text="The projection, in the safetensors format; empty for a network.")
    sha256 = models.CharField(max_length=64, help_text="Of the arrays, or of the network's weight file.")
    data_sha256 = models.CharField(max_length=64, help_text="Of the images, vectors and labels that it knew.")
    learned_from = models.JSONField(
        default=list, help_text="Ids of the labelled images that it was fitted to."
    )
    held_out = models.JSONField(
        default=list, help_text="Ids of the labelled images that it was judged by and never fitted to."
    )
    passed = models.BooleanField(help_text="It beat the space that it was compared with.")
    reason = models.TextField(help_text="The verdict, as a sentence.")
    measures = models.JSONField(
        default=dict,
        help_text='{"before": {"map_at_r": …, "precision_at_5": …, "top1": …}, "after": …, "gain": …,'
        ' "low": …, "high": …, "queries": …, "groups": …}',
    )
    job = models.OneToOneField(
        "cases.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="adaptation"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        triggers = [
            pgtrigger.Protect(
                name="adaptation_immutable",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(exclude=["created_by", "job"]),
            )
        ]

    def __str__(self):
        return f"{self.get_method_display()} #{self.pk}"
