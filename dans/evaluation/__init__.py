"""Filtered ranking, classification and calibration of a model's scores."""
