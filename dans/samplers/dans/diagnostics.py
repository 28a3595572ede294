"""Diagnostics of DANS: discriminator AUC, diversity, norms and nearest entities, and warnings."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.models.auc import share_above
from dans.models.batch import Negatives, Positives
from dans.models.model import eval_mode
from dans.samplers.base import NegativeSampler
from dans.samplers.corruption import any_of, end
from dans.samplers.dans.networks import Discriminator
from dans.samplers.nearest import nearest, nearest_of_drawn

#: Generated negatives of each pathway that are held against all entities.
COMPARED = 2000
#: Of more entities, the nearest is searched among so many that are drawn.
SEARCHED = 50_000
#: Pairs of entities whose distance is the measure of diversity.
PAIRS = 4096

#: Below this a pathway has collapsed: the draws of one query are one embedding.
LEAST_DIVERSITY = 0.05
#: Outside this range of AUC, generators or discriminator dominate.
AUC = (0.2, 0.95)
#: Above this a generator has exploded.
MOST_NORM = 10.0


def mean_distance(entities: Tensor) -> Tensor:
    """Mean distance between the embeddings of two different entities, from random pairs."""
    n = len(entities)
    one = torch.randint(n, (PAIRS,), device=entities.device)
    other = (one + 1 + torch.randint(max(n - 1, 1), (PAIRS,), device=entities.device)) % n
    distances: Tensor = torch.linalg.vector_norm(entities[one] - entities[other], dim=-1)
    return distances.mean()


def distance_within_query(draws: Tensor) -> Tensor:
    """Mean distance between two draws of the same query: () from (queries, k, d)."""
    k = draws.shape[1]
    distances = torch.cdist(draws, draws, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.sum((1, 2)).mean() / (k * (k - 1))


#: Triples and sides (b, k) to generated negatives (b, k, d), and something beside them.
Draw = Callable[[Positives, Tensor], tuple[Tensor, object]]


@torch.no_grad()
def diagnose(
    sampler: NegativeSampler,
    pathways: Mapping[str, Draw],
    discriminator: Discriminator,
    positives: Positives,
    *,
    known: KnownTriples | None = None,
) -> dict[str, float]:
    """Numbers about freshly drawn generated negatives, before any is replaced by an entity.

    Neither the random state nor running statistics are moved.

    Of the sampler's k negatives half are drawn for each side of each triple, at least two.

    Returns:
        Over all generated negatives:

        - ``discriminator_auc``: how well it tells entities from generated; .5 is not at all.
        - ``auxiliary_accuracy``: how often the auxiliary head is right; with two pathways.
        - ``pathway_cosine``: cosine between the means of the pathways; with two pathways.

        For each pathway, by its name:

        - ``norm_ratio_…``: mean norm of generated negatives over mean norm of entities.
        - ``diversity_…``: mean distance between draws of one query over that between entities.
        - ``above_positive_…``: share that scores above the triple it is held against.
        - ``nearest_uncorrupted_…``: share whose nearest entity is the uncorrupted one.
        - ``nearest_true_…``: share whose nearest entity is the one replaced.
        - ``nearest_known_…``: share whose nearest entity makes a known triple, if given.

        Of more than ``SEARCHED`` entities, the nearest one is that among so many, drawn anew, and
        those of the triple.
    """
    device, draws = positives.h.device, max(2, sampler.k // 2)
    side = (torch.arange(2 * draws, device=device) >= draws).expand(len(positives), -1)
    with torch.random.fork_rng([] if device.type == "cpu" else [device]), eval_mode(sampler):
        scale = mean_distance(positives.entities)
        generated = {name: pathway(positives, side)[0] for name, pathway in pathways.items()}
        numbers: dict[str, float] = {}
        for name, embeddings in generated.items():
            negatives = Negatives(embeddings, side)
            norms = embeddings.norm(dim=-1).mean() / positives.entities.norm(dim=-1).mean()
            above = negatives.scores(positives) > positives.scores(side)
            queries = torch.cat((embeddings[:, :draws], embeddings[:, draws:]))
            numbers[f"norm_ratio_{name}"] = float(norms)
            numbers[f"diversity_{name}"] = float(distance_within_query(queries) / scale)
            numbers[f"above_positive_{name}"] = float(above.double().mean())
            shares = nearest_shares(positives, negatives, known)
            numbers |= {f"{share}_{name}": value for share, value in shares.items()}
        return numbers | discriminator_numbers(discriminator, positives, generated)


def nearest_shares(
    positives: Positives, generated: Negatives, known: KnownTriples | None
) -> dict[str, float]:
    """Shares of nearest entities that are the uncorrupted one, the true one, or known."""
    side = generated.corrupt_head
    every = max(1, side.numel() // COMPARED)
    rows = torch.arange(side.numel(), device=side.device)[::every]
    triples = positives.triples[rows // side.shape[1]]
    corrupt_head = side.flatten()[rows]
    embeddings, n = generated.embeddings.flatten(0, 1)[rows], positives.num_entities
    if n > SEARCHED:
        drawn = any_of(n, SEARCHED, device=rows.device)
        ids = nearest_of_drawn(embeddings, positives, drawn, triples[:, ::2])
    else:
        ids = nearest(embeddings, positives.entities)
    shares = {
        "nearest_uncorrupted": ids == end(triples, ~corrupt_head),
        "nearest_true": ids == end(triples, corrupt_head),
    }
    if known is not None:
        found = known.is_known_corrupted(triples, ids.unsqueeze(1), corrupt_head.unsqueeze(1))
        shares["nearest_known"] = found.squeeze(1)
    return {name: float(share.double().mean()) for name, share in shares.items()}


def discriminator_numbers(
    discriminator: Discriminator, positives: Positives, generated: Mapping[str, Tensor]
) -> dict[str, float]:
    """The numbers that concern the discriminator, and the pathways together."""
    real = discriminator(torch.cat((positives.h, positives.t)))
    logits = {
        name: discriminator.both(embeddings.flatten(0, 1)) for name, embeddings in generated.items()
    }
    generated_logits = torch.cat([adversarial for adversarial, _ in logits.values()])
    numbers = {"discriminator_auc": share_above(real, generated_logits)}
    if len(generated) < 2:
        return numbers
    if discriminator.auxiliary is not None:
        right = (logits["entity"][1] > 0, logits["relation"][1] <= 0)
        numbers["auxiliary_accuracy"] = float(torch.cat(right).double().mean())
    means = [embeddings.flatten(0, 1).mean(0) for embeddings in generated.values()]
    numbers["pathway_cosine"] = float(F.cosine_similarity(means[0], means[1], dim=0))
    return numbers


def warnings(diagnosis: Mapping[str, float]) -> list[str]:
    """What is wrong with generators and discriminator, in sentences; empty where nothing is.

    Example:
        >>> warnings({"discriminator_auc": .6, "diversity_entity": .3, "norm_ratio_entity": 1.1})
        []
        >>> warnings({"discriminator_auc": .99})
        ['discriminator: tells generated from real (AUC 0.99); generators stall']
    """
    found = []
    for name, value in diagnosis.items():
        what, _, pathway = name.rpartition("_")
        if not math.isfinite(value):
            found.append(f"{name}: diverged, it is {value}")
        elif what == "diversity" and value < LEAST_DIVERSITY:
            found.append(
                f"{pathway} pathway: collapsed, the draws of one query lie only {value:.3f} of the "
                "distance between entities"
            )
        elif what == "norm_ratio" and value > MOST_NORM:
            found.append(
                f"{pathway} pathway: exploded, its embeddings are {value:.1f} times as long "
                "as those of entities"
            )
        elif name == "discriminator_auc" and value > AUC[1]:
            found.append(
                f"discriminator: tells generated from real (AUC {value:.2f}); generators stall"
            )
        elif name == "discriminator_auc" and value < AUC[0]:
            found.append(
                f"discriminator: takes generated for real (AUC {value:.2f}); generators ran ahead"
            )
    return found
