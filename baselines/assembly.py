"""The objectives and samplers of ``dans``, and those of the baselines beside them."""

from functools import partial

from baselines.published_dans import PublishedDANS
from baselines.sampled import SampledNegatives
from baselines.softmax import SoftmaxCrossEntropy
from baselines.stay_positive import StayPositive
from dans import objectives, samplers
from dans.runs import train as assembly
from dans.runs.build import Objectives, Samplers

OBJECTIVES: Objectives = {
    **objectives.OBJECTIVES,
    "sampled": SampledNegatives,
    "softmax": SoftmaxCrossEntropy,
    "stay_positive": StayPositive,
}

SAMPLERS: Samplers = {**samplers.SAMPLERS, "published_dans": PublishedDANS}

train = partial(assembly.train, objectives=OBJECTIVES, samplers=SAMPLERS)
