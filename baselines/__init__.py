"""baselines, on the same data, model, trainer and evaluator as ``dans``.

What lives here replaces the objective: training without negatives (StayPositive), the softmax over
all entities, the sampled losses it is compared with, and the calibration of scores for triple
classification. Each is an ``Objective`` of ``dans`` or stands beside one. This package imports
``dans``; ``dans`` never imports it.

Which comparisons are fair: of losses that lead to the same p(y|x). With p_d the distribution of the
training triples and p_n that of the entities alone,

    softmax                      sampled                          both lead to
    plain                        uniform noise                    p_d
    ``smoothing``                ``self_adversarial`` loss        p_d, flattened
    ``backward_correction``      ``frequency`` noise              ∝ p_d / p_n

Scores with a bound (TransE, RotatE, ``bound``) are too close to one another for a softmax over many
entities: compare such decoders under sampled losses. See ``dans.analysis.theory``.
"""
