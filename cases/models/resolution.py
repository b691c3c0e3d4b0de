"""What was found and done: resolutions, 5-Why, corrective actions and whether they worked."""

import pghistory
from django.conf import settings
from django.db import models
from django.urls import reverse

from cases.models.case import Case
from cases.models.catalogue import FaultCategory, validate_code


@pghistory.track()
class Resolution(models.Model):
    """The answer to a case, one each: the record that similar cases link to."""

    class Disposition(models.TextChoices):
        USE_AS_IS = "use_as_is", "Use as is"
        REWORK = "rework", "Rework"
        REPAIR = "repair", "Repair"
        SCRAP = "scrap", "Scrap"
        RETURN_TO_SUPPLIER = "return_to_supplier", "Return to supplier"
        SORT = "sort", "Sort"
        REPLACE = "replace", "Replace"
        CLAIM_REJECTED = "claim_rejected", "Claim rejected"

    case = models.OneToOneField(Case, on_delete=models.CASCADE, related_name="resolution")
    problem = models.TextField("problem description", blank=True)
    containment = models.TextField("containment", blank=True, help_text="What protects the customer at once.")
    root_cause = models.TextField(blank=True)
    disposition = models.CharField(max_length=20, choices=Disposition.choices, blank=True)
    summary = models.TextField(blank=True, help_text="Two sentences that the next engineer reads first.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self):
        return f"Resolution of {self.case}"

    def get_absolute_url(self):
        return reverse("case-detail", args=[self.case.number]) + "#resolution"


@pghistory.track()
class WhyStep(models.Model):
    """One answer of the 5-Why chain, from the symptom (1) down to the root cause."""

    resolution = models.ForeignKey(Resolution, on_delete=models.CASCADE, related_name="why_steps")
    position = models.PositiveSmallIntegerField(default=1)
    answer = models.CharField(max_length=500)

    class Meta:
        ordering = ["resolution", "position"]
        verbose_name = "why"
        verbose_name_plural = "5-Why"
        constraints = [
            models.UniqueConstraint(fields=["resolution", "position"], name="why_position"),
        ]

    def __str__(self):
        return f"{self.position}. {self.answer}"


@pghistory.track()
class CorrectiveAction(models.Model):
    """A reusable action of the catalogue."""

    class Type(models.TextChoices):
        CORRECTION = "correction", "Correction"
        CONTAINMENT = "containment", "Containment"
        CORRECTIVE = "corrective", "Corrective"
        PREVENTIVE = "preventive", "Preventive"

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        DEPRECATED = "deprecated", "Deprecated"

    code = models.CharField(max_length=40, unique=True, validators=[validate_code])
    title = models.CharField(max_length=160)
    type = models.CharField(max_length=12, choices=Type.choices, default=Type.CORRECTIVE)
    description = models.TextField(blank=True)
    categories = models.ManyToManyField(FaultCategory, blank=True, related_name="corrective_actions")
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["code"]

    def __str__(self):
        return f"{self.code} {self.title}"

    def get_absolute_url(self):
        return reverse("action-detail", args=[self.code])


@pghistory.track()
class ActionTaken(models.Model):
    """A catalogue action applied to one case, and what came of it."""

    class Effectiveness(models.TextChoices):
        PENDING = "pending", "Pending"
        EFFECTIVE = "effective", "Effective"
        INEFFECTIVE = "ineffective", "Ineffective"

    resolution = models.ForeignKey(Resolution, on_delete=models.CASCADE, related_name="actions_taken")
    action = models.ForeignKey(CorrectiveAction, on_delete=models.PROTECT, related_name="taken")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="actions_owned",
    )
    due_on = models.DateField("due", null=True, blank=True)
    done_on = models.DateField("done", null=True, blank=True)
    effectiveness = models.CharField(
        max_length=12, choices=Effectiveness.choices, default=Effectiveness.PENDING
    )
    evidence = models.TextField(blank=True, help_text="What shows that it worked, or that it did not.")

    class Meta:
        ordering = ["resolution", "id"]
        verbose_name = "action taken"
        verbose_name_plural = "actions taken"
        constraints = [
            models.UniqueConstraint(fields=["resolution", "action"], name="action_taken_once_per_resolution"),
            models.CheckConstraint(
                name="action_judged_only_when_done",
                condition=models.Q(effectiveness="pending") | models.Q(done_on__isnull=False),
                violation_error_message="An action is judged after it was done: give the date.",
            ),
        ]

    def __str__(self):
        return f"{self.action.code} for {self.resolution.case}"


pghistory.track(obj_field=None)(CorrectiveAction.categories.through)
