"""Inspectors: what good parts of a product look like, in versions, and what they said of pictures."""

import pgtrigger
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from cases.models import Case, ImageFile, Part
from vision.engine.backbones import BACKBONES, DEFAULT_BACKBONE


def validate_backbone(name: str) -> None:
    if name not in BACKBONES:
        raise ValidationError(f"{name} is no backbone: use one of {', '.join(BACKBONES)}.")


#: Pixels of the side that pictures may be brought to.
MOST_RESOLUTION = 1024


class Rule(models.TextChoices):
    """How a threshold follows from the scores of good parts that were held out.

    In turns, every good part is held out once and learned from in the end. Split holds a fifth out for good:
    its promise is proven without further assumptions, and it learns less.
    """

    CONFORMAL = "conformal", "Conformal, in turns"
    SPLIT = "split", "Split-conformal"
    DEVIATIONS = "deviations", "Mean + 3 standard deviations"
    PERCENTILE = "percentile", "Percentile"


class HoldOut(models.TextChoices):
    """What is new to an inspector when it judges: a part, or only a picture of a part that it may know.

    The threshold holds for what was held out. A good part that was photographed several times looks better
    than a new one when some of its pictures were learned from.
    """

    PARTS = "parts", "New parts: near-duplicates are held out together"
    PICTURES = "pictures", "New pictures: the same parts may come again"


class _Seeing:
    """What has a backbone and a resolution."""

    @property
    def network(self) -> str:
        """The network that looks, in words."""
        return f"{self.backbone} at {self.resolution} pixels" if self.resolution else self.backbone


class Inspector(_Seeing, models.Model):
    """Looks at the pictures of one part or product line, and knows only what good ones look like."""

    name = models.CharField(
        max_length=80, unique=True, help_text="As people call the part or line; scanners may send it."
    )
    part = models.ForeignKey(Part, on_delete=models.PROTECT, null=True, blank=True, related_name="inspectors")
    description = models.CharField(
        max_length=300, blank=True, help_text="What is pictured, and how: side, light, distance."
    )
    backbone = models.CharField(
        max_length=40,
        default=DEFAULT_BACKBONE,
        validators=[validate_backbone],
        help_text="Network whose patches are compared.",
    )
    resolution = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_RESOLUTION)],
        help_text="Pixels of a square with the area that a picture is brought to, 1024 at most; empty: the"
        " network's own, which is the least. More show smaller defects, and take longer.",
    )
    rule = models.CharField(max_length=12, choices=Rule.choices, default=Rule.CONFORMAL)
    alpha = models.FloatField(
        "false-reject rate",
        default=0.01,
        validators=[MinValueValidator(0.001), MaxValueValidator(0.5)],
        help_text="Share of good parts that may be rejected: 0.01 is one in a hundred.",
    )
    hold_out = models.CharField("what is new", max_length=10, choices=HoldOut.choices, default=HoldOut.PARTS)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="inspector_alpha_is_a_share", condition=models.Q(alpha__gt=0, alpha__lt=1)
            )
        ]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("inspector-detail", args=[self.pk])

    def clean(self):
        least = BACKBONES[self.backbone].input_size if self.backbone in BACKBONES else 0
        if self.resolution is not None and self.resolution < least:
            raise ValidationError({"resolution": f"{self.backbone} needs {least} pixels or more."})


class InspectorPictureQuerySet(models.QuerySet):
    def fitted(self):
        """Good pictures to learn from."""
        return self.filter(purpose=InspectorPicture.Purpose.FIT)

    def tested(self):
        """Pictures to evaluate on."""
        return self.filter(purpose=InspectorPicture.Purpose.TEST)


class InspectorPicture(models.Model):
    """A picture that an inspector learns from, or is judged by."""

    class Purpose(models.TextChoices):
        FIT = "fit", "Good, to learn from"
        TEST = "test", "To evaluate on"

    inspector = models.ForeignKey(Inspector, on_delete=models.CASCADE, related_name="pictures")
    file = models.ForeignKey(ImageFile, on_delete=models.PROTECT, related_name="inspector_pictures")
    purpose = models.CharField(max_length=4, choices=Purpose.choices, default=Purpose.FIT)
    defect = models.CharField(max_length=80, blank=True, help_text="Defect type; empty for a good part.")
    mask = models.ForeignKey(
        ImageFile,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="White where the defect is, as large as the picture.",
    )
    name = models.CharField("file name", max_length=200, blank=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    added_at = models.DateTimeField(auto_now_add=True)

    objects = InspectorPictureQuerySet.as_manager()

    class Meta:
        ordering = ["inspector", "id"]
        constraints = [
            models.UniqueConstraint(fields=["inspector", "file"], name="inspector_knows_a_picture_once"),
            models.CheckConstraint(
                name="inspector_learns_from_good_parts",
                condition=models.Q(purpose="test") | models.Q(defect="", mask__isnull=True),
            ),
        ]

    def __str__(self):
        return f"{self.inspector}: {self.name or self.file}"


class InspectorVersion(_Seeing, models.Model):
    """One training: what it learned from, and by which rule it rejects. One version of an inspector serves.

    What was learned lies in a folder of the data folder; its row is written once it is whole.
    """

    class State(models.TextChoices):
        READY = "ready", "Ready"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    inspector = models.ForeignKey(Inspector, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    backbone = models.CharField(max_length=40)
    weights_sha256 = models.CharField(max_length=64)
    resolution = models.PositiveIntegerField(
        null=True, help_text="Pixels, as the inspector had it; empty: the network's own."
    )
    parameters = models.JSONField(default=dict, help_text="Of the method, as numbers.")
    learned_from = models.JSONField(help_text="sha256 of the good pictures that are in the bank.")
    held_out = models.JSONField(help_text="sha256 of the good pictures that set the threshold.")
    data_sha256 = models.CharField(max_length=64, help_text="Of both lists.")
    good_scores = models.JSONField(help_text="Scores of good parts that were held out, ascending.")
    rule = models.CharField(max_length=12, choices=Rule.choices)
    alpha = models.FloatField("false-reject rate")
    threshold = models.FloatField(
        null=True, blank=True, help_text="Above it a part is rejected; empty without enough good parts."
    )
    reason = models.CharField(max_length=500, help_text="How the threshold came about, as a sentence.")
    level = models.FloatField(help_text="Anomaly from which on a place is suspicious.")
    foreign_from = models.FloatField(
        null=True,
        blank=True,
        help_text="A picture that is so unlike good parts everywhere shows another product.",
    )
    is_grey = models.BooleanField(default=False, help_text="All good pictures were grey.")
    seconds = models.FloatField(default=0, help_text="How long the training took.")
    job = models.OneToOneField(
        "cases.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="inspector_version"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["inspector", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["inspector", "number"], name="inspector_version_number"),
            models.UniqueConstraint(
                fields=["inspector"],
                condition=models.Q(state="active"),
                name="one_active_version_per_inspector",
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="inspector_version_immutable",
                fields=[
                    "inspector", "number", "backbone", "weights_sha256", "resolution", "parameters",
                    "learned_from", "held_out", "data_sha256", "good_scores", "rule", "alpha", "threshold",
                    "reason", "level", "foreign_from", "is_grey", "created_at",
                ],
            )
        ]  # fmt: skip

    def __str__(self):
        return f"{self.inspector} v{self.number}"

    @property
    def heard(self) -> str:
        """Who decides, as a sentence."""
        choice = self.parameters.get("choice", {"opinion": "patches", "auroc": {}})
        who = {
            "patches": "Judged by its patches alone",
            "head": "Judged by a head that knows drawn faults alone",
            "both": "Judged by its patches and a head that knows drawn faults",
        }[choice["opinion"]]
        shares = choice["auroc"]
        if not shares:
            return f"{who}."
        return (
            f"{who}: on drawn faults the AUROC of the patches is {shares['patches']:.2f}, that of the head"
            f" {shares['head']:.2f}."
        )


class Evaluation(models.Model):
    """How well a version tells the test pictures apart."""

    version = models.ForeignKey(InspectorVersion, on_delete=models.CASCADE, related_name="evaluations")
    measures = models.JSONField(
        default=dict,
        help_text="image_auroc, pixel_auroc, aupro, f1, precision, recall, false_reject_rate, counts,"
        " by_defect, roc, histogram: see docs/inspection.md.",
    )
    job = models.OneToOneField(
        "cases.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="evaluation"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return f"{self.version} evaluated #{self.pk}"


class InspectionQuerySet(models.QuerySet):
    def of_parts(self):
        """What people and machines had inspected: without the pictures of evaluations."""
        return self.filter(evaluation__isnull=True)


class Inspection(models.Model):
    """What one version said of one picture: immutable, with all that the page shows again later."""

    class Verdict(models.TextChoices):
        PASS = "pass", "Pass"
        FAIL = "fail", "Fail"
        UNDECIDED = "undecided", "Undecided"

    version = models.ForeignKey(InspectorVersion, on_delete=models.PROTECT, related_name="inspections")
    file = models.ForeignKey(ImageFile, on_delete=models.PROTECT, related_name="inspections")
    name = models.CharField("file name", max_length=200, blank=True)
    serial_number = models.CharField(max_length=60, blank=True)
    verdict = models.CharField(max_length=9, choices=Verdict.choices, db_index=True)
    score = models.FloatField(help_text="How unlike good parts; above the threshold is a fail.")
    threshold = models.FloatField(null=True, blank=True)
    p_value = models.FloatField(
        null=True, blank=True, help_text="Share of good parts that look at least as bad."
    )
    is_foreign = models.BooleanField("another product", default=False)
    notes = models.JSONField(default=list, help_text="What to know about this result, as sentences.")
    regions = models.JSONField(
        default=list,
        help_text='[{"box": [x, y, width, height], "area": pixels, "peak": anomaly, "peak_at": [x, y],'
        ' "outline": [[x, y], …], "nearest": […]}], the most suspicious first.',
    )
    nearest = models.JSONField(
        default=list,
        help_text="Good patches nearest to the most suspicious one:"
        ' [{"sha256": …, "box": […], "distance": …}].',
    )
    grid = models.BinaryField(help_text="Anomaly of each place, little-endian float16, row by row.")
    grid_rows = models.PositiveIntegerField()
    grid_columns = models.PositiveIntegerField()
    milliseconds = models.FloatField(default=0)
    case = models.ForeignKey(
        Case, on_delete=models.SET_NULL, null=True, blank=True, related_name="inspections"
    )
    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.CASCADE, null=True, blank=True, related_name="inspections"
    )
    truth = models.CharField(
        max_length=80, blank=True, help_text="In an evaluation: the defect type, or nothing for a good part."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = InspectionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        triggers = [
            pgtrigger.ReadOnly(
                name="inspection_immutable",
                fields=[
                    "version", "file", "verdict", "score", "threshold", "p_value", "regions", "nearest",
                    "grid", "evaluation", "truth", "created_at",
                ],
            )
        ]  # fmt: skip

    def __str__(self):
        return f"Inspection {self.pk}: {self.get_verdict_display()}"

    def get_absolute_url(self):
        return reverse("inspection-detail", args=[self.pk])
