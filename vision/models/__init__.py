from vision.models.diagnosis import Decision, Diagnosis
from vision.models.library import Embedding, EmbeddingFailure, EmbeddingSpace, LibraryChange

__all__ = ["Decision", "Diagnosis", "Embedding", "EmbeddingFailure", "EmbeddingSpace", "LibraryChange"]
