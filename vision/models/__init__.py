from vision.models.diagnosis import Decision, Diagnosis
from vision.models.library import Embedding, EmbeddingSpace, LibraryChange

__all__ = ["Decision", "Diagnosis", "Embedding", "EmbeddingSpace", "LibraryChange"]
