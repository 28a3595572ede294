"""The objectives of ``dans``, and the rivals beside them."""

from functools import partial

from baselines.sampled import SampledNegatives
from baselines.softmax import SoftmaxCrossEntropy
from baselines.stay_positive import StayPositive
from dans import assembly, objectives
from dans.building import Objectives

OBJECTIVES: Objectives = {
    **objectives.OBJECTIVES,
    "sampled": SampledNegatives,
    "softmax": SoftmaxCrossEntropy,
    "stay_positive": StayPositive,
}

train = partial(assembly.train, objectives=OBJECTIVES)
