"""What to watch while generators and a critic learn, and when to worry."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.batch import Negatives, Positives
from dans.known import KnownFacts
from dans.samplers.filters import unknown
from dans.samplers.nearest import nearest
from dans.samplers.networks import Critic
from dans.samplers.ways import Way

#: Fakes of each way that are held against all entities.
COMPARED = 2000
#: Pairs of entities whose distance is the measure of spread.
PAIRS = 4096

#: Below this a way has collapsed: the draws of one query are one vector.
LEAST_SPREAD = 0.05
#: Outside of these one side of the game has lost.
AUC = (0.2, 0.95)
#: Above this a generator has exploded.
MOST_NORM = 10.0


def auc(real: Tensor, fake: Tensor) -> float:
    """The chance that a real one has the higher logit, ties counting half.

    Example:
        >>> auc(torch.tensor([1., 2.]), torch.tensor([0., 1.]))
        0.875
    """
    ordered = fake.sort().values
    below = torch.searchsorted(ordered, real, right=False)
    below_or_equal = torch.searchsorted(ordered, real, right=True)
    return float((below + below_or_equal).double().mean() / (2 * len(fake)))


def mean_distance(entities: Tensor) -> Tensor:
    """Mean distance between the vectors of two different entities, from random pairs."""
    n = len(entities)
    one = torch.randint(n, (PAIRS,), device=entities.device)
    other = (one + 1 + torch.randint(max(n - 1, 1), (PAIRS,), device=entities.device)) % n
    distances: Tensor = torch.linalg.vector_norm(entities[one] - entities[other], dim=-1)
    return distances.mean()


def spread(draws: Tensor) -> Tensor:
    """Mean distance between two draws of the same query: () from (queries, k, d)."""
    k = draws.shape[1]
    distances = torch.cdist(draws, draws, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.sum((1, 2)).mean() / (k * (k - 1))


def diagnose(
    ways: Mapping[str, Way],
    critic: Critic,
    positives: Positives,
    *,
    draws: int,
    known: KnownFacts | None = None,
) -> dict[str, float]:
    """Numbers about freshly drawn fakes, before any is replaced by an entity.

    Args:
        ways: by name.
        critic: judges the fakes, against the heads and tails of the facts.
        positives: (b) facts; ``draws`` fakes are drawn for each side of each.
        draws: at least two.
        known: facts a fake may fall on.

    Returns:
        Over all fakes:

        - ``critic_auc``: how well the critic tells entities from fakes; .5 is not at all.
        - ``auxiliary_accuracy``: how often it knows the way; with two ways and that question.
        - ``way_cosine``: cosine between the means of the ways; with two ways.

        For each way, by its name:

        - ``norm_ratio_…``: mean norm of fakes over mean norm of entities.
        - ``spread_…``: mean distance between draws of one query over that between entities.
        - ``above_positive_…``: share that scores above the fact it is held against.
        - ``nearest_kept_…``: share whose nearest entity is the kept one.
        - ``nearest_true_…``: share whose nearest entity is the one replaced.
        - ``nearest_known_…``: share whose nearest entity makes a known fact; where those are given.
    """
    side = torch.arange(2 * draws, device=positives.h.device) >= draws
    side = side.expand(len(positives), -1)
    scale = mean_distance(positives.entities)
    numbers: dict[str, float] = {}
    fakes = {name: way(positives, side)[0] for name, way in ways.items()}
    for name, vectors in fakes.items():
        rivals = Negatives(vectors, side)
        norms = vectors.norm(dim=-1).mean() / positives.entities.norm(dim=-1).mean()
        above = rivals.scores(positives) > positives.scores(side)
        queries = torch.cat((vectors[:, :draws], vectors[:, draws:]))
        numbers[f"norm_ratio_{name}"] = float(norms)
        numbers[f"spread_{name}"] = float(spread(queries) / scale)
        numbers[f"above_positive_{name}"] = float(above.double().mean())
        shares = nearest_shares(positives, rivals, known)
        numbers |= {f"{share}_{name}": value for share, value in shares.items()}
    return numbers | judge(critic, positives, fakes)


def nearest_shares(
    positives: Positives, fakes: Negatives, known: KnownFacts | None
) -> dict[str, float]:
    """Whom fakes resemble most: shares of ``nearest_kept``, ``_true`` and ``_known``."""
    side = fakes.replaces_head
    every = max(1, side.numel() // COMPARED)
    rows = torch.arange(side.numel(), device=side.device)[::every]
    facts = positives.triples[rows // side.shape[1]]
    replaces_head = side.flatten()[rows]
    ids = nearest(fakes.vectors.flatten(0, 1)[rows], positives.entities)
    kept = torch.where(replaces_head, facts[:, 2], facts[:, 0])
    true = torch.where(replaces_head, facts[:, 0], facts[:, 2])
    shares = {"nearest_kept": ids == kept, "nearest_true": ids == true}
    if known is not None:
        fresh = unknown(known, facts, ids.unsqueeze(1), replaces_head.unsqueeze(1))
        shares["nearest_known"] = ~fresh.squeeze(1)
    return {name: float(share.double().mean()) for name, share in shares.items()}


def judge(critic: Critic, positives: Positives, fakes: Mapping[str, Tensor]) -> dict[str, float]:
    """The numbers that concern the critic, and the ways together."""
    real = critic(torch.cat((positives.h, positives.t)))
    logits = {name: critic.both(vectors.flatten(0, 1)) for name, vectors in fakes.items()}
    numbers = {
        "critic_auc": auc(real, torch.cat([adversarial for adversarial, _ in logits.values()]))
    }
    if len(fakes) < 2:
        return numbers
    if critic.auxiliary is not None:
        right = (logits["entity"][1] > 0, logits["relation"][1] <= 0)
        numbers["auxiliary_accuracy"] = float(torch.cat(right).double().mean())
    means = [vectors.flatten(0, 1).mean(0) for vectors in fakes.values()]
    numbers["way_cosine"] = float(F.cosine_similarity(means[0], means[1], dim=0))
    return numbers


def warnings(diagnosis: Mapping[str, float]) -> list[str]:
    """What is wrong with generators and critic, in sentences; empty where nothing is.

    Example:
        >>> warnings({"critic_auc": .6, "spread_entity": .3, "norm_ratio_entity": 1.1})
        []
        >>> warnings({"critic_auc": .99})
        ['critic: tells fakes from entities (AUC 0.99); generators stall']
    """
    found = []
    for name, value in diagnosis.items():
        what, _, way = name.rpartition("_")
        if not math.isfinite(value):
            found.append(f"{name}: diverged, it is {value}")
        elif what == "spread" and value < LEAST_SPREAD:
            found.append(
                f"{way} way: collapsed, the draws of one query spread only {value:.3f} of the "
                "distance between entities"
            )
        elif what == "norm_ratio" and value > MOST_NORM:
            found.append(
                f"{way} way: exploded, its fakes are {value:.1f} times as long as entities"
            )
        elif name == "critic_auc" and value > AUC[1]:
            found.append(f"critic: tells fakes from entities (AUC {value:.2f}); generators stall")
        elif name == "critic_auc" and value < AUC[0]:
            found.append(
                f"critic: takes fakes for entities (AUC {value:.2f}); generators ran ahead"
            )
    return found
