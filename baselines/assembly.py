"""The objectives and samplers of ``dans``, and those of the baselines beside them."""

from collections import ChainMap
from functools import partial

from baselines.published_dans import PublishedDANS
from baselines.sampled import SampledNegatives
from baselines.softmax import SoftmaxCrossEntropy
from baselines.stay_positive import StayPositive
from dans import objectives, samplers
from dans.runs import train as assembly
from dans.runs.build import Objectives, Samplers

# Views, not copies: a class that is entered in the tables of dans later is known here too.
OBJECTIVES: Objectives = ChainMap(
    {
        "sampled": SampledNegatives,
        "softmax": SoftmaxCrossEntropy,
        "stay_positive": StayPositive,
    },
    objectives.OBJECTIVES,
)

SAMPLERS: Samplers = ChainMap({"published_dans": PublishedDANS}, samplers.SAMPLERS)

train = partial(assembly.train, objectives=OBJECTIVES, samplers=SAMPLERS)
