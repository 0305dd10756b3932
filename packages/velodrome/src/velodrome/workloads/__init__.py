"""The jobs that are raced: a file a workload, each with a tuple `WORKLOADS`.

A model of the user's own is one too: it is named `FILE.py:FUNCTION`, and has no graph here.
"""

from velodrome import user_code
from velodrome.registry import Registry
from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Graph
from velodrome.workloads.recipe import Recipe

registry: Registry[Workload] = Registry("workload", __name__, "WORKLOADS")


def get(name: str) -> Workload:
    """The workload of that name, or a stand-in for the user's model that it names.

    Raises:
        UserError: there is none; nothing of the user's is read.
    """
    if not user_code.is_reference(name):
        return registry.get(name)
    user_code.parse(name)
    # Its optimizer is in the file: of the recipe nothing is used.
    return Workload(
        name=name,
        summary="a Keras model of one's own",
        graph=Graph((), ()),
        recipe=Recipe(learning_rate=1.0),
        dataset="",
        batch_size=32,
        epochs=5,
    )
