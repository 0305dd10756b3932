"""What a workload is."""

import hashlib

import msgspec

from velodrome.datasets.base import InputSpec
from velodrome.workloads.graph import Graph
from velodrome.workloads.recipe import Recipe


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its training recipe.

    Attributes:
        name: what users type.
        summary: one line for `velodrome list`.
        graph: the model.
        recipe: how it is trained; a study may change its parameters.
        dataset: the data set it trains on unless the study names another.
        batch_size: samples a step, unless the study says otherwise.
        epochs: passes over the data, unless the study says otherwise.
    """

    name: str
    summary: str
    graph: Graph
    recipe: Recipe
    dataset: str
    batch_size: int
    epochs: int

    @property
    def own(self) -> bool:
        """Whether it is a model of the user's, which only a worker can look into."""
        return not self.graph.nodes

    def takes(self) -> InputSpec:
        """What a data set must provide for it."""
        vocabulary = self.graph.vocabulary()
        return InputSpec(
            "image" if vocabulary is None else "tokens",
            self.graph.input_shape,
            self.graph.classes(),
            vocabulary,
        )

    def digest(self) -> str:
        """SHA-256 of the graph (the recipe stands in the trial itself)."""
        return hashlib.sha256(msgspec.json.encode(self.graph, order="sorted")).hexdigest()
