"""What was learned from the library, in versions that every process shares."""

import pgtrigger
from django.db import models

from vision.models.library import EmbeddingSpace


class ClassifierVersion(models.Model):
    """The parameters that cross-validation over a library picked: immutable; the newest of a space serves."""

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="classifiers")
    method = models.CharField(max_length=40, help_text="Name of the method, with its version.")
    parameters = models.JSONField(help_text="What fit learned; the method can be restored from it.")
    arrays = models.BinaryField(help_text="Coefficients, in the safetensors format.")
    library_size = models.PositiveIntegerField(help_text="Labelled images at that time.")
    categories = models.PositiveIntegerField(help_text="Categories at that time.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        triggers = [pgtrigger.Protect(name="classifier_immutable", operation=pgtrigger.Update)]

    def __str__(self):
        return f"{self.method} #{self.pk}"
