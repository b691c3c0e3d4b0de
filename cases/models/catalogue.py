"""The fault catalogue: a tree of defect types with their definitions and example pictures."""

import pghistory
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse
from tree_queries.models import TreeNode

validate_code = RegexValidator(
    r"^[A-Z0-9][A-Z0-9._-]*$", "Use capital letters, digits, dots, dashes, underscores."
)
SEVERITY_RANGE = [MinValueValidator(1), MaxValueValidator(10)]


@pghistory.track()
class FaultCategory(TreeNode):
    """A defect type. Severity follows FMEA: 1 is hardly noticed, 10 endangers people."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        DEPRECATED = "deprecated", "Deprecated"

    code = models.CharField(
        max_length=40,
        unique=True,
        validators=[validate_code],
        help_text="Short unique code, for example SURF-PIT.",
    )
    name = models.CharField(max_length=120)
    definition = models.TextField(blank=True, help_text="What counts as this fault, and what does not.")
    severity = models.PositiveSmallIntegerField(
        default=5, validators=SEVERITY_RANGE, help_text="1 (hardly noticed) to 10 (endangers people)."
    )
    is_safety_relevant = models.BooleanField("safety relevant", default=False)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "fault category"
        verbose_name_plural = "fault categories"
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                name="category_severity_1_to_10", condition=models.Q(severity__gte=1, severity__lte=10)
            ),
            models.CheckConstraint(
                name="category_not_its_own_parent", condition=~models.Q(parent=models.F("id"))
            ),
        ]

    def __str__(self):
        return f"{self.code} {self.name}"

    def get_absolute_url(self):
        return reverse("category-detail", args=[self.code])


@pghistory.track()
class CategoryExample(models.Model):
    """A picture that shows where the category begins: OK, limit sample, or not OK."""

    class Verdict(models.TextChoices):
        OK = "ok", "OK"
        LIMIT = "limit", "Limit sample"
        NOT_OK = "not_ok", "Not OK"

    category = models.ForeignKey(FaultCategory, on_delete=models.CASCADE, related_name="examples")
    file = models.ForeignKey("cases.ImageFile", on_delete=models.PROTECT, related_name="category_examples")
    verdict = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.NOT_OK)
    caption = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["category", "verdict", "id"]
        constraints = [
            models.UniqueConstraint(fields=["category", "file"], name="category_example_once"),
        ]

    def __str__(self):
        return f"{self.category.code} {self.get_verdict_display()}"
