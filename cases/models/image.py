"""Pictures of cases: each original once, the views of a case, and their labels."""

import pghistory
import pgtrigger
from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse

from cases.models.case import Case
from cases.models.catalogue import FaultCategory


def original_path(image_file, filename):
    """Content-addressed, so that the same picture is never stored twice."""
    digest = image_file.sha256
    return f"originals/{digest[:2]}/{digest[2:4]}/{digest}.{image_file.extension}"


class ImageFile(models.Model):
    """An uploaded original, stored once whatever number of cases shows it."""

    sha256 = models.CharField(max_length=64, unique=True, validators=[RegexValidator(r"^[0-9a-f]{64}$")])
    original = models.FileField(upload_to=original_path, max_length=200)
    extension = models.CharField(max_length=8)
    mime = models.CharField(max_length=40)
    width = models.PositiveIntegerField(help_text="Pixels, upright.")
    height = models.PositiveIntegerField(help_text="Pixels, upright.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    perceptual_hash = models.BigIntegerField(help_text="64-bit DCT hash, signed.", db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="image_file_has_pixels", condition=models.Q(width__gt=0, height__gt=0, size__gt=0)
            )
        ]

    def __str__(self):
        return self.sha256[:12]


class CaseImageQuerySet(models.QuerySet):
    def visible_to(self, user):
        return self.filter(case__in=Case.objects.visible_to(user))

    def diagnostic(self):
        """Views that show the fault; a nameplate says nothing about it."""
        return self.exclude(role=CaseImage.Role.LABEL)

    def labelled(self):
        return self.filter(confirmed_category__isnull=False)


@pghistory.track()
class CaseImage(models.Model):
    """One view of a case."""

    MAX_PER_CASE = 10

    class Role(models.TextChoices):
        OVERVIEW = "overview", "Overview"
        CLOSE_UP = "close_up", "Close-up"
        LABEL = "label", "Label"
        SCALE = "scale", "Scale"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="images")
    file = models.ForeignKey(ImageFile, on_delete=models.PROTECT, related_name="case_images")
    position = models.PositiveSmallIntegerField(default=0)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.CLOSE_UP)
    name = models.CharField("file name", max_length=200, blank=True, help_text="As it was uploaded.")
    confirmed_category = models.ForeignKey(
        FaultCategory, on_delete=models.PROTECT, null=True, blank=True, related_name="labelled_images"
    )
    labelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    labelled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CaseImageQuerySet.as_manager()

    class Meta:
        ordering = ["case", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["case", "file"], name="case_shows_an_image_once"),
            models.UniqueConstraint(fields=["case", "position"], name="case_image_position"),
            models.CheckConstraint(
                name="case_has_at_most_ten_images", condition=models.Q(position__gte=0, position__lt=10)
            ),
        ]
        # Labels, vectors and diagnoses speak of these pixels: another picture is another row.
        triggers = [pgtrigger.ReadOnly(name="case_image_keeps_its_file", fields=["file"])]

    def __str__(self):
        return f"{self.case} image {self.position + 1}"

    def get_preview_url(self):
        return reverse("image-preview", args=[self.pk])

    def get_thumbnail_url(self):
        return reverse("image-thumbnail", args=[self.pk])

    def get_original_url(self):
        return reverse("image-original", args=[self.pk])


class Label(models.Model):
    """What a person said that an image shows: append-only; the newest one counts."""

    class Verdict(models.TextChoices):
        FAULT = "fault", "Fault"
        UNKNOWN = "unknown", "Unknown fault"
        NO_DEFECT = "no_defect", "No defect"
        UNUSABLE = "unusable", "Unusable picture"

    image = models.ForeignKey(CaseImage, on_delete=models.CASCADE, related_name="labels")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    category = models.ForeignKey(
        FaultCategory, on_delete=models.PROTECT, null=True, blank=True, related_name="labels"
    )
    note = models.CharField(max_length=500, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["image", "-id"]
        constraints = [
            models.CheckConstraint(
                name="label_names_a_category_exactly_for_faults",
                condition=models.Q(verdict="fault", category__isnull=False)
                | (~models.Q(verdict="fault") & models.Q(category__isnull=True)),
            )
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="label_append_only", fields=["image", "verdict", "category", "note", "made_at"]
            )
        ]

    def __str__(self):
        return f"{self.image}: {self.category or self.get_verdict_display()}"
