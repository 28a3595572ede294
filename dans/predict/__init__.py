"""Ask a trained run by name, in Python or line by line, and take its vectors elsewhere."""

from dans.predict.predictor import Predictor
from dans.predict.questions import Answer, Fact, Question

__all__ = ["Answer", "Fact", "Predictor", "Question"]
