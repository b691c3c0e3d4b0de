"""Who and what a case is about: parts, customers, suppliers, sites."""

import pghistory
from django.db import models

from cases.models.catalogue import validate_code


@pghistory.track()
class Part(models.Model):
    """A part at one revision."""

    number = models.CharField(max_length=60)
    revision = models.CharField(max_length=20, blank=True)
    name = models.CharField(max_length=120, blank=True)
    family = models.CharField(max_length=80, blank=True, db_index=True)

    class Meta:
        ordering = ["number", "revision"]
        constraints = [models.UniqueConstraint(fields=["number", "revision"], name="part_number_revision")]

    def __str__(self):
        revision = f" rev. {self.revision}" if self.revision else ""
        return f"{self.number}{revision}" + (f" {self.name}" if self.name else "")


class Party(models.Model):
    """What customers, suppliers and sites have in common."""

    code = models.CharField(max_length=40, unique=True, validators=[validate_code])
    name = models.CharField(max_length=120)

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self):
        return self.name


@pghistory.track()
class Customer(Party):
    """Who complains."""


@pghistory.track()
class Supplier(Party):
    """Who delivered the part or its material."""


@pghistory.track()
class Site(Party):
    """The plant where the part was made or the fault was found."""
