"""Features as a matrix: scaled by the entities of training, saved, and applied to others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dans.data.entity_features import EntityFeatures
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError

AGES = {"ada": 1.0, "bob": 3.0, "cy": 2.0, "gus": 100.0}


def test_numbers_are_standardised_on_entities_of_training_alone(kg: KnowledgeGraph) -> None:
    found = kg.with_features({"age": AGES}).features
    assert found is not None
    column = dict(zip(kg.entities.names, found.values[:, 0].tolist(), strict=True))
    deviation = np.std([1, 2, 3])
    for name, age in AGES.items():
        assert column[name] == pytest.approx((age - 2) / deviation, rel=1e-6)
    assert found.labels == ["age.1", "age missing"]
    assert found.values[:, 1].bool().tolist() == [name not in AGES for name in kg.entities.names]
    assert column["tea"] == 0


def test_missing_numbers_have_a_column_and_constant_ones_are_zero(kg: KnowledgeGraph) -> None:
    rows = np.stack((np.arange(8.0), np.full(8, 0.1)), axis=1)
    rows[2, 0] = np.nan
    found = kg.with_features({"x": rows}).features
    assert found is not None
    assert found.labels == ["x.1", "x.2", "x.1 missing"]
    assert found.values[:, 2].tolist() == [float(i == 2) for i in range(8)]
    assert not found.values[:, 1].any()


def test_embeddings_are_scaled_as_asked(kg: KnowledgeGraph) -> None:
    rows = np.random.default_rng(0).normal(3, 2, (8, 5))
    rows[4] = np.nan
    made = {}
    for scale in ("none", "unit", "standard"):
        table = {"values": rows, "kind": "embeddings", "scale": scale}
        found = kg.with_features({"text": table}).features
        assert found is not None
        assert found.present.flatten().tolist() == [i != 4 for i in range(8)]
        assert found.values[4].tolist() == [0] * 5 + [1]
        made[scale] = found.values[found.present[:, 0], :5].double().numpy()
    plain = rows[found.present[:, 0].numpy()]
    np.testing.assert_allclose(made["none"], plain, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(made["unit"], axis=1), 1, rtol=1e-6)
    seen = made["standard"][kg.seen[found.present[:, 0]].numpy()]
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(0), 1, rtol=1e-6)


def test_saved_features_are_the_same_and_damage_is_seen(kg: KnowledgeGraph, tmp_path: Path) -> None:
    kg = kg.with_features({"age": AGES, "is": {"ada": "é\t", "tea": ["thing", "cat"]}})
    kg.save(tmp_path / "kg")
    found = KnowledgeGraph.load(tmp_path / "kg")
    assert kg.features is not None
    assert found.features is not None
    assert found.features.digest == kg.features.digest
    assert found.features.labels == kg.features.labels
    assert found.digest == kg.digest
    file = tmp_path / "kg" / "features.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    for broken in (bytes(data), data[:50], b""):
        file.write_bytes(broken)
        with pytest.raises(InputError, match=r"features.safetensors: not features as dans saves"):
            KnowledgeGraph.load(tmp_path / "kg")


def test_others_get_the_same_columns(kg: KnowledgeGraph) -> None:
    given = {"age": AGES, "is": {"ada": "man", "tea": "thing"}}
    own = kg.with_features(given).features
    assert own is not None
    again = own.of_others(given, kg.entities.names)
    assert torch.equal(again.values, own.values)
    assert torch.equal(again.present, own.present)
    found = own.of_others({"age": {"eve": 2.0}, "is": {"eve": "man", "x": "new"}}, ["x", "eve"])
    assert found.labels == own.labels
    assert found.values.tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert found.present.tolist() == [[False, True], [True, True]]
    assert own.of_others({}, ["x"]).present.tolist() == [[False, False]]
    with pytest.raises(InputError, match=r"features: agee: unknown; known: age, is; did you mean"):
        own.of_others({"agee": {}}, ["x"])
    with pytest.raises(InputError, match="expected the columns '1'; got '1', '2'"):
        own.of_others({"age": {"x": [1.0, 2.0]}}, ["x"])


def test_a_wider_table_is_read_by_the_names_of_its_columns(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    path, other = tmp_path / "people.csv", tmp_path / "others.csv"
    path.write_text("who,age\nada,1\nbob,3\n")
    own = kg.with_features({"age": path}).features
    assert own is not None
    other.write_text("who,city,age\neve,rome,3\n")
    assert own.of_others({"age": other}, ["eve"]).values.tolist() == [[1, 0]]
    other.write_text("eve,1\nfay,2\n")
    with pytest.raises(
        InputError, match=r"others.csv: its first line names no column; expected 'age'"
    ):
        own.of_others({"age": other}, ["eve", "fay"])
    with pytest.raises(InputError, match="features: expected tables by name, got 3"):
        own.of_others(3, ["eve"])  # type: ignore[arg-type]


def test_a_graph_takes_features_of_its_entities_alone(kg: KnowledgeGraph) -> None:
    features = EntityFeatures.of({"age": AGES}, kg.entities)
    smaller = KnowledgeGraph.of([("ada", "knows", "bob")])
    with pytest.raises(InputError, match="expected a row for each entity, got 8 rows for 2"):
        smaller.with_features(features)
    with pytest.raises(InputError, match="expected tables by name, got"):
        kg.with_features({})
    assert kg.with_features(features).with_features(None).features is None
    assert kg.features is None
