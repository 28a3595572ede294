"""Ask a trained run by name, in Python or line by line, and take its embeddings elsewhere."""

from dans.predict.predictor import Predictor
from dans.predict.queries import Answer, LabelledTriple, Query

__all__ = ["Answer", "LabelledTriple", "Predictor", "Query"]
