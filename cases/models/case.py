"""The case: one complaint or finding, its state, and every change of that state."""

import pghistory
import pgtrigger
from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from cases.models.catalogue import SEVERITY_RANGE
from cases.models.parties import Customer, Part, Site, Supplier


class CaseStatus(models.TextChoices):
    NEW = "new", "New"
    TRIAGED = "triaged", "Triaged"
    CONTAINED = "contained", "Contained"
    ANALYSIS = "analysis", "Analysis"
    ACTIONS = "actions", "Actions"
    EFFECTIVENESS = "effectiveness", "Effectiveness check"
    CLOSED = "closed", "Closed"
    WAITING = "waiting", "Waiting"
    NOT_CONFIRMED = "not_confirmed", "Not confirmed"
    DUPLICATE = "duplicate", "Duplicate"
    REOPENED = "reopened", "Reopened"
    CANCELLED = "cancelled", "Cancelled"

    @classmethod
    def finished(cls):
        return [cls.CLOSED, cls.NOT_CONFIRMED, cls.DUPLICATE, cls.CANCELLED]


#: The 8D way from new to closed, with its side states. The database refuses every other step.
STATUS_TRANSITIONS = {
    CaseStatus.NEW: ["triaged", "waiting", "not_confirmed", "duplicate", "cancelled"],
    CaseStatus.TRIAGED: ["contained", "analysis", "waiting", "not_confirmed", "duplicate", "cancelled"],
    CaseStatus.CONTAINED: ["analysis", "waiting", "not_confirmed", "duplicate", "cancelled"],
    CaseStatus.ANALYSIS: ["actions", "contained", "waiting", "not_confirmed", "duplicate", "cancelled"],
    CaseStatus.ACTIONS: ["effectiveness", "analysis", "waiting", "cancelled"],
    CaseStatus.EFFECTIVENESS: ["closed", "actions", "analysis", "waiting"],
    CaseStatus.CLOSED: ["reopened"],
    CaseStatus.WAITING: ["new", "triaged", "contained", "analysis", "actions", "effectiveness", "cancelled"],
    CaseStatus.NOT_CONFIRMED: ["closed", "reopened"],
    CaseStatus.DUPLICATE: ["reopened"],
    CaseStatus.REOPENED: ["triaged", "contained", "analysis", "actions", "waiting", "cancelled"],
    CaseStatus.CANCELLED: ["reopened"],
}


class CaseQuerySet(models.QuerySet):
    def visible_to(self, user):
        """The cases that `user` may see: all for those with the view permission, else none."""
        return self if user.has_perm("cases.view_case") else self.none()

    def open(self):
        return self.exclude(status__in=Case.Status.finished())

    def with_people_and_parts(self):
        return self.select_related("part", "customer", "supplier", "site", "owner")


class CaseNumberSeries(models.Model):
    """The last case number given out in a year."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "case number series"

    def __str__(self):
        return f"{self.year}: {self.last}"


@pghistory.track()
class Case(models.Model):
    class Kind(models.TextChoices):
        ZERO_KM = "0km", "0-km"
        FIELD = "field", "Field"
        SUPPLIER = "supplier", "Supplier"
        INTERNAL = "internal", "Internal"

    Status = CaseStatus

    number = models.CharField(max_length=20, unique=True, editable=False)
    title = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.FIELD)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.NEW, db_index=True)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, related_name="cases"
    )
    customer_reference = models.CharField(
        "customer reference / RMA",
        max_length=80,
        blank=True,
        help_text="The customer's complaint or RMA number.",
    )
    supplier = models.ForeignKey(
        Supplier, on_delete=models.PROTECT, null=True, blank=True, related_name="cases"
    )
    site = models.ForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True, related_name="cases")
    part = models.ForeignKey(Part, on_delete=models.PROTECT, null=True, blank=True, related_name="cases")
    reported_at = models.DateTimeField(default=timezone.now, db_index=True)
    detection_point = models.CharField(
        max_length=120, blank=True, help_text="Where the fault was found: incoming goods, line 3, field…"
    )
    lot = models.CharField("lot / batch", max_length=60, blank=True)
    serial_number = models.CharField(max_length=60, blank=True)
    produced_on = models.DateField("production date", null=True, blank=True)
    quantity_complained = models.PositiveIntegerField(null=True, blank=True)
    quantity_confirmed = models.PositiveIntegerField(null=True, blank=True)
    severity = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=SEVERITY_RANGE,
        help_text="1 (hardly noticed) to 10 (endangers people).",
    )
    description = models.TextField(blank=True, help_text="What the customer says, in their words.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="owned_cases"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    duplicate_of = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="duplicates"
    )
    source = models.CharField(
        max_length=300,
        blank=True,
        editable=False,
        help_text="Where an imported case came from; the same source is never imported twice.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CaseQuerySet.as_manager()

    class Meta:
        ordering = ["-reported_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="case_severity_1_to_10",
                condition=models.Q(severity__isnull=True) | models.Q(severity__gte=1, severity__lte=10),
            ),
            models.CheckConstraint(
                name="case_confirmed_not_above_complained",
                condition=models.Q(quantity_confirmed__isnull=True)
                | models.Q(quantity_complained__isnull=True)
                | models.Q(quantity_confirmed__lte=models.F("quantity_complained")),
                violation_error_message="More parts are confirmed than were complained about.",
            ),
            models.CheckConstraint(
                name="case_duplicate_names_its_original",
                condition=~models.Q(status="duplicate") | models.Q(duplicate_of__isnull=False),
                violation_error_message="A duplicate names the case that it repeats.",
            ),
            models.CheckConstraint(
                name="case_not_its_own_duplicate", condition=~models.Q(duplicate_of=models.F("id"))
            ),
            models.UniqueConstraint(
                fields=["source"], condition=~models.Q(source=""), name="case_source_imported_once"
            ),
        ]
        indexes = [models.Index(fields=["status", "-reported_at"])]
        triggers = [
            pgtrigger.FSM(
                name="case_status_transitions",
                field="status",
                transitions=[
                    (status.value, following)
                    for status, allowed in STATUS_TRANSITIONS.items()
                    for following in allowed
                ],
            )
        ]
        permissions = [("import_case", "Can import cases and pictures in bulk")]

    def __str__(self):
        return self.number

    def get_absolute_url(self):
        return reverse("case-detail", args=[self.number])

    def get_triage_url(self):
        return reverse("case-triage", args=[self.number])

    def next_statuses(self):
        """The statuses that may follow the present one."""
        return [CaseStatus(value) for value in STATUS_TRANSITIONS[CaseStatus(self.status)]]


class CaseTransition(models.Model):
    """One change of a case's status: append-only."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="transitions")
    from_status = models.CharField(max_length=16, choices=Case.Status.choices, blank=True)
    to_status = models.CharField(max_length=16, choices=Case.Status.choices)
    note = models.CharField(max_length=500, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["made_at", "id"]
        triggers = [
            pgtrigger.ReadOnly(
                name="transition_append_only", fields=["case", "from_status", "to_status", "note", "made_at"]
            )
        ]

    def __str__(self):
        return f"{self.case}: {self.from_status or '-'} to {self.to_status}"
