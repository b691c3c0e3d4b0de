"""Vectors and the change log of the similarity library: the truth from which every index is built."""

import pgtrigger
from django.db import models

from cases.models import CaseImage

# One lock for all writers, so that sequence numbers become visible in the order in which they were given
# out: a reader that has seen number n has seen everything up to n.
LIBRARY_LOCK = "pg_advisory_xact_lock(hashtext('vision.library'))"

_LOG_EMBEDDING = f"""
IF EXISTS (SELECT 1 FROM cases_caseimage
           WHERE id = NEW.image_id AND confirmed_category_id IS NOT NULL AND role <> 'label') THEN
    PERFORM {LIBRARY_LOCK};
    INSERT INTO vision_librarychange (space_id, image_id, operation, made_at)
    VALUES (NEW.space_id, NEW.image_id, 'add', now());
END IF;
RETURN NEW;
"""

_LOG_EMBEDDING_DELETED = f"""
PERFORM {LIBRARY_LOCK};
INSERT INTO vision_librarychange (space_id, image_id, operation, made_at)
VALUES (OLD.space_id, OLD.image_id, 'remove', now());
RETURN OLD;
"""


class EmbeddingSpace(models.Model):
    """Everything that makes two vectors comparable: network, weights, preprocessing, projection.

    A space either holds what a network says (`base` is empty), or the vectors of such a space, projected by
    an adaptation. Building, then active, then retired; a retired one may be built up and activated again.
    """

    class State(models.TextChoices):
        BUILDING = "building", "Building"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    slug = models.CharField(max_length=80, unique=True)
    backbone = models.CharField(max_length=40)
    weights_sha256 = models.CharField(max_length=64)
    preprocessing = models.CharField(max_length=40)
    dimension = models.PositiveIntegerField()
    base = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="projections",
        help_text="The network's own space, whose vectors the adaptation projects.",
    )
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The space that it was adapted from; undoing goes back there.",
    )
    adaptation = models.ForeignKey(
        "vision.Adaptation", on_delete=models.PROTECT, null=True, blank=True, related_name="spaces"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="active"), name="one_active_embedding_space"
            )
        ]

    def __str__(self):
        return self.slug

    @property
    def network(self):
        """The space of the network whose vectors these are, as they came or projected."""
        return self.base or self

    @property
    def root(self):
        """The space of the configured network from which this one was adapted, in however many steps."""
        space = self
        while space.parent:
            space = space.parent
        return space


class Embedding(models.Model):
    """The vector of one image in one space: little-endian float16, `space.dimension` numbers, unit length."""

    image = models.ForeignKey(CaseImage, on_delete=models.CASCADE, related_name="embeddings")
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="embeddings")
    vector = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["space", "image"], name="one_embedding_per_image_and_space")
        ]
        triggers = [
            pgtrigger.Trigger(
                name="log_library_add",
                operation=pgtrigger.Insert,
                when=pgtrigger.After,
                func=_LOG_EMBEDDING,
            ),
            pgtrigger.Trigger(
                name="log_library_remove",
                operation=pgtrigger.Delete,
                when=pgtrigger.After,
                func=_LOG_EMBEDDING_DELETED,
            ),
            # A vector that changed in place would stay unknown to every process that has loaded it.
            pgtrigger.Protect(name="embedding_immutable", operation=pgtrigger.Update),
        ]

    def __str__(self):
        return f"{self.image} in {self.space}"


class EmbeddingFailure(models.Model):
    """An image that could not be embedded in a space: set aside, so that it holds up no other."""

    image = models.ForeignKey(CaseImage, on_delete=models.CASCADE, related_name="embedding_failures")
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="failures")
    error = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["space", "image"], name="one_failure_per_image_and_space")
        ]

    def __str__(self):
        return f"{self.image} in {self.space}: {self.error}"


class LibraryChange(models.Model):
    """One step of the library, written by database triggers only: an image came in or went out.

    The id is the sequence number. The library itself is the set of embedded images with a confirmed
    category; a process that has applied every row up to n serves exactly the state at n.
    """

    class Operation(models.TextChoices):
        ADD = "add", "Add"
        REMOVE = "remove", "Remove"

    id = models.BigAutoField(primary_key=True)
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="changes")
    image_id = models.BigIntegerField(help_text="No foreign key: a removal outlives its image.")
    operation = models.CharField(max_length=6, choices=Operation.choices)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["space", "id"])]

    def __str__(self):
        return f"{self.id} {self.operation} {self.image_id}"


class RecallAudit(models.Model):
    """One search that was repeated exactly, to see how many of the nearest an approximate engine misses."""

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="audits")
    generation = models.CharField(max_length=20, help_text="Number of the snapshot that was searched.")
    nearest = models.PositiveSmallIntegerField(help_text="How many the exact search found.")
    found = models.PositiveSmallIntegerField(help_text="How many of these the approximate search found.")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["space", "generation"])]

    def __str__(self):
        return f"{self.found} of {self.nearest} in {self.generation}"
