from vision.models.adaptation import Adaptation
from vision.models.classifier import ClassifierVersion
from vision.models.diagnosis import Decision, Diagnosis
from vision.models.inspection import (
    Evaluation,
    Inspection,
    Inspector,
    InspectorPicture,
    InspectorVersion,
)
from vision.models.library import Embedding, EmbeddingFailure, EmbeddingSpace, LibraryChange, RecallAudit

__all__ = [
    "Adaptation",
    "ClassifierVersion",
    "Decision",
    "Diagnosis",
    "Embedding",
    "EmbeddingFailure",
    "EmbeddingSpace",
    "Evaluation",
    "Inspection",
    "Inspector",
    "InspectorPicture",
    "InspectorVersion",
    "LibraryChange",
    "RecallAudit",
]
