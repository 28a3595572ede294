"""Names that 0.1 used in recipes, metrics and checkpoints, and what they are called now."""

from collections.abc import Mapping
from typing import Any

#: Sections and options, by their full name.
KEYS = {
    "start": "init_from",
    "train.dump": "train.log_negatives",
    "phase.critic": "phase.discriminator",
    "phase.entity_way": "phase.entity_pathway",
    "phase.relation_way": "phase.relation_pathway",
    "sampler.critic_repeats": "sampler.discriminator_repeats",
    "sampler.exclude_kept": "sampler.exclude_uncorrupted",
    "sampler.ways": "sampler.pathways",
}

#: Values of options, by the option's new name.
VALUES = {
    "loss.balance": {"facts": "triples"},
    "sampler.name": {"kept": "self_loop"},
    "train.batch_by": {"facts": "triples", "questions": "queries"},
}

#: Sampler settings of 0.1's recipes.
SETTINGS = {
    "dans-kept": "dans-self-loop",
    "kept": "self-loop",
    "kept-filtered": "self-loop-filtered",
    "kept-self-adversarial": "self-loop-self-adversarial",
}

#: Parts of the names under which a checkpoint keeps weights, optimizers and buffers.
PARTS = {
    "critic": "discriminator",
    "entity_way": "entity_pathway",
    "relation_way": "relation_pathway",
    "heard": "seen",
}

#: Numbers of a sampler's diagnosis in ``metrics.jsonl``; those of a pathway end in its name.
DIAGNOSIS = {
    "critic_auc": "discriminator_auc",
    "way_cosine": "pathway_cosine",
    "spread_entity": "diversity_entity",
    "spread_relation": "diversity_relation",
    "nearest_kept_entity": "nearest_uncorrupted_entity",
    "nearest_kept_relation": "nearest_uncorrupted_relation",
}


def renamed_options(plain: Any, path: str = "") -> Any:
    """A configuration, or the part of one at a path, with new names for the old ones in it.

    Example:
        >>> renamed_options({"start": "pretrain/umls", "sampler": ["kept"]})
        {'init_from': 'pretrain/umls', 'sampler': ['self_loop']}
    """
    if isinstance(plain, Mapping):
        found: dict[str, Any] = {}
        for key, value in plain.items():
            full = f"{path}.{key}" if path else str(key)
            new = KEYS.get(full, full)
            # Where both are given, the old name stays, and is refused as unknown.
            if new.rpartition(".")[2] in plain:
                new = full
            found[new.rpartition(".")[2]] = renamed_options(value, new)
        return found
    if isinstance(plain, list):
        return [renamed_options(part, path) for part in plain]
    if path == "sampler":
        path = "sampler.name"
    known = VALUES.get(path, {})
    return known.get(plain, plain) if isinstance(plain, str) else plain


def renamed_state(state: Any) -> Any:
    """The state of a checkpoint with new names for the old ones in it.

    Example:
        >>> renamed_state({"optimizers": {"critic": 1}, "objective": {"sampler.critic.bias": 2}})
        {'optimizers': {'discriminator': 1}, 'objective': {'sampler.discriminator.bias': 2}}
    """
    if isinstance(state, Mapping):
        return {
            ".".join(PARTS.get(part, part) for part in key.split("."))
            if isinstance(key, str)
            else key: renamed_state(value)
            for key, value in state.items()
        }
    return [renamed_state(part) for part in state] if isinstance(state, list) else state


def renamed_metrics(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of ``metrics.jsonl`` under today's names.

    Example:
        >>> renamed_metrics({"train": {"critic": 1.4}, "sampler": {"spread_entity": 0.3}})
        {'train': {'discriminator': 1.4}, 'sampler': {'diversity_entity': 0.3}}
    """
    names = {"train": PARTS, "sampler": DIAGNOSIS}
    return {
        part: {names[part].get(key, key): value for key, value in content.items()}
        if part in names and isinstance(content, Mapping)
        else content
        for part, content in line.items()
    }
