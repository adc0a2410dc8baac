"""Nearest training rows: the neighbours that scikit-learn finds, and shares that mean what they say."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from auditkit.attribution import nearest_training_rows
from auditkit.errors import InputError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))


def rows(count: int, seed: int) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_scikit_learn_finds_the_same(distance):
    net, x, known = network(), rows(20, 1), rows(300, 2)
    found = nearest_training_rows(net, x, known, distance=distance, most=7, batch_size=9)
    net.eval()
    with torch.no_grad():
        features, others = (net[:3](part).double().numpy() for part in (x, known))
    apart, places = NearestNeighbors(n_neighbors=7, metric=distance, algorithm="brute").fit(others).kneighbors(features)
    assert found.distances == pytest.approx(apart, abs=1e-6)
    assert (found.rows == places).mean() > 0.99
    assert found.layer == "3"
    assert found.same is None


def test_neighbours_speak_for_the_answer_or_against_it():
    head = nn.Linear(2, 2, bias=False).requires_grad_(False)
    head.weight.copy_(torch.eye(2))
    left, right = torch.tensor([[5.0, 0.1]]), torch.tensor([[0.1, 5.0]])
    known = torch.cat([left + 0.01 * torch.arange(10)[:, None], right + 0.01 * torch.arange(30)[:, None]])
    labels = torch.tensor([0] * 10 + [1] * 30)
    labels[:6] = 1  # most of the left cluster was labelled otherwise
    found = nearest_training_rows(head, torch.cat([left, right]), known, labels, most=10)
    assert found.labels.tolist() == [0, 1]
    assert found.same.tolist() == [0.4, 1.0]
    assert found.by_chance.tolist() == [0.1, 0.9]
    assert (found.lower < found.same).all()
    assert (found.same <= found.upper).all()
    asked = nearest_training_rows(head, left, known, labels, labels=[1], most=10)
    assert asked.same.tolist() == [0.6]


def test_a_training_row_finds_itself_and_direction_is_all_that_cosine_sees():
    net, known = network(), rows(50, 2)
    found = nearest_training_rows(net, known[:5], known, distance="euclidean", most=1)
    assert found.rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert found.distances == pytest.approx(np.zeros((5, 1)), abs=1e-6)
    head = nn.Linear(4, 2)
    scaled = nearest_training_rows(head, 100 * known[:5], known, most=3)
    assert (scaled.rows == nearest_training_rows(head, known[:5], known, most=3).rows).all()


def test_pictures_and_named_layers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    pictures = torch.randn(12, 1, 6, 6)
    found = nearest_training_rows(net, pictures[:2], pictures, layer="0", distance="euclidean", most=12)
    apart = torch.cdist(pictures[:2].flatten(1).double(), pictures.flatten(1).double())
    assert found.distances == pytest.approx(apart.sort(dim=1).values.numpy(), abs=1e-6)


def test_what_enters_a_layer_is_seen_before_it_works_in_place_and_by_keyword():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

        def forward(self, given: Tensor) -> Tensor:
            return self.head(input=self.act(given.clone()))

    x, known = rows(3, 1), rows(20, 2)
    before = nearest_training_rows(Named(), x, known, layer="act", distance="euclidean", most=20)
    after = nearest_training_rows(Named(), x, known, distance="euclidean", most=20)
    for found, one, two in ((before, x, known), (after, x.relu(), known.relu())):
        apart = torch.cdist(one.double(), two.double()).sort(dim=1).values
        assert found.distances == pytest.approx(apart.numpy(), abs=1e-6)


def test_what_cannot_be_found_is_refused():
    net, x = network(), rows(5, 1)
    for problem, settings in {
        "10 neighbours cannot be found among 5": {},
        "did you mean 'cosine'": {"distance": "cosin", "most": 2},
        "whole numbers": {"training_labels": [0.5] * 5, "most": 2},
        "3 labels|\\[3\\] labels": {"training_labels": [1, 2, 3], "most": 2},
        "no layer": {"layer": "head", "most": 2},
    }.items():
        with pytest.raises(InputError, match=problem):
            nearest_training_rows(net, x, **{"training": x, **settings})
    with pytest.raises(InputError, match="there are no rows"):
        nearest_training_rows(net, x[:0], x)
