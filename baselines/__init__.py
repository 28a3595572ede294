"""Baselines: objectives without a negative sampler of ``dans``, on its data, models and trainer.

Training without negatives (`StayPositive`), the softmax over all entities, and the sampled losses
that it is compared with. This package imports ``dans``; ``dans`` never imports it.

Losses are comparable if they lead to the same p(y|x). With p_d the distribution of the training
triples and p_n that of the entities alone,

    softmax                      sampled                          both lead to
    plain                        uniform noise                    p_d
    ``smoothing``                ``self_adversarial`` loss        p_d, flattened
    ``backward_correction``      ``frequency`` noise              ∝ p_d / p_n

Bounded scores (TransE, RotatE, ``bound``) differ too little for a softmax over many entities:
compare such decoders under sampled losses. See ``scripts/benchmarks/theory.py``.
"""
