"""What was suggested for a case, with everything needed to replay it, and what people made of it."""

import pgtrigger
from django.conf import settings
from django.db import models

from cases.models import Case, FaultCategory, Label
from vision.models.library import EmbeddingSpace


class Diagnosis(models.Model):
    """One immutable suggestion for a case from all its views."""

    class Outcome(models.TextChoices):
        CONFIDENT = "confident", "Confident"
        AMBIGUOUS = "ambiguous", "Ambiguous"
        UNKNOWN = "unknown", "Unknown"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="diagnoses")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    reason = models.CharField(max_length=600, help_text="The rule that led to the outcome, as a sentence.")
    category = models.ForeignKey(
        FaultCategory, on_delete=models.PROTECT, null=True, blank=True, related_name="diagnoses"
    )
    probability = models.FloatField(null=True, blank=True)
    categories = models.JSONField(
        default=list,
        help_text='Best first: [{"category": id, "code": …, "name": …, "probability": …, "typicality": …, '
        '"in_set": …, "images": …, "cases": …, "few_examples": …}]',
    )
    novelty_p = models.FloatField(
        null=True, blank=True, help_text="P-value that the pictures are of a known category."
    )
    matches = models.JSONField(
        default=list,
        help_text='Nearest first: [{"rank": 1, "similarity": …, "image": id, "case": id, "category": id}]',
    )
    images = models.JSONField(default=list, help_text='[{"image": id, "sha256": …}]')
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.PROTECT, related_name="diagnoses")
    classifier = models.CharField(max_length=80, help_text="Name and version.")
    thresholds = models.JSONField(default=dict)
    library_watermark = models.BigIntegerField(help_text="The last library change that this answer knew.")
    library_size = models.PositiveIntegerField()
    timings = models.JSONField(default=dict, help_text="Milliseconds by stage.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "diagnoses"
        constraints = [
            models.CheckConstraint(
                name="diagnosis_probability_0_to_1",
                condition=models.Q(probability__isnull=True)
                | models.Q(probability__gte=0, probability__lte=1),
            )
        ]
        triggers = [pgtrigger.Protect(name="diagnosis_immutable", operation=pgtrigger.Update)]

    def __str__(self):
        return f"Diagnosis of {self.case}: {self.get_outcome_display()}"

    @property
    def prediction_set(self) -> list[dict]:
        """The entries of `categories` that the coverage could not exclude, most probable first."""
        return [entry for entry in self.categories if entry.get("in_set")]


class Decision(models.Model):
    """What an engineer decided on a case, beside what had been suggested: append-only."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="decisions")
    diagnosis = models.ForeignKey(
        Diagnosis, on_delete=models.CASCADE, null=True, blank=True, related_name="decisions"
    )
    verdict = models.CharField(max_length=10, choices=Label.Verdict.choices)
    category = models.ForeignKey(
        FaultCategory, on_delete=models.PROTECT, null=True, blank=True, related_name="decisions"
    )
    agrees = models.BooleanField(help_text="The suggestion named the same category.")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        triggers = [
            pgtrigger.ReadOnly(
                name="decision_append_only",
                fields=["case", "diagnosis", "verdict", "category", "agrees", "made_at"],
            )
        ]

    def __str__(self):
        return f"{self.case}: {self.category or self.get_verdict_display()}"
