from vision.models.adaptation import Adaptation
from vision.models.classifier import ClassifierVersion
from vision.models.diagnosis import Decision, Diagnosis
from vision.models.library import Embedding, EmbeddingFailure, EmbeddingSpace, LibraryChange, RecallAudit

__all__ = [
    "Adaptation",
    "ClassifierVersion",
    "Decision",
    "Diagnosis",
    "Embedding",
    "EmbeddingFailure",
    "EmbeddingSpace",
    "LibraryChange",
    "RecallAudit",
]
