"""Rival methods, on the same data, model, trainer and evaluator as ``dans``.

What lives here replaces the objective: training without negatives (StayPositive), the softmax over
all entities, the sampled losses it is compared with, and the calibration of scores for triple
classification. Each is a ``dans.objectives.Objective`` or stands beside one. This package imports
``dans``; ``dans`` never imports it.
"""
