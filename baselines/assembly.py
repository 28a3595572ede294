"""The objectives of ``dans`` and of the baselines by name, and training with them."""

from functools import partial

from baselines.sampled import SampledNegatives
from baselines.softmax import SoftmaxCrossEntropy
from baselines.stay_positive import StayPositive
from dans.objectives import base as objectives
from dans.runs import train as assembly
from dans.runs.build import Objectives

OBJECTIVES: Objectives = {
    **objectives.OBJECTIVES,
    "sampled": SampledNegatives,
    "softmax": SoftmaxCrossEntropy,
    "stay_positive": StayPositive,
}

train = partial(assembly.train, objectives=OBJECTIVES)
