"""Predictions of a trained run by name, and its embeddings for other programs."""

from dans.predict.predictor import Predictor
from dans.predict.queries import Answer, Query, ScoredTriple

__all__ = ["Answer", "Predictor", "Query", "ScoredTriple"]
