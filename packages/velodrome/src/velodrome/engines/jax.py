"""JAX used directly: one jitted step, its state donated, the data on the device."""

from typing import Any

from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches, in_sequence
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.workloads.graph import (
    Activation,
    AnyLayer,
    Conv2D,
    Dense,
    Flatten,
    Graph,
    MaxPool2D,
    Weights,
)


class Jax(Engine):
    """JAX: pure functions under `jax.jit`."""

    name = "jax"
    framework = "jax"
    summary = "JAX, pure functions under jax.jit"

    def __init__(self, job: Job) -> None:
        import jax

        jax.config.update("jax_default_matmul_precision", "float32")
        jax.config.update("jax_enable_x64", job.trial.dtype == "float64")
        self._job = job
        self._dtype = "float64" if job.trial.dtype == "float64" else "float32"

    def build(self) -> None:
        import jax

        recipe = self._job.trial.recipe
        graph = self._job.graph

        def losses(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
            """Mean cross-entropy, and the number told right."""
            import jax.numpy as jnp

            logits = _apply(graph, params, x)
            log_p = jax.nn.log_softmax(logits)
            loss = -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()
            return loss, (logits.argmax(1) == y).sum()

        def add(totals: Any, loss: Any, correct: Any, samples: int) -> Any:
            return totals[0] + loss * samples, totals[1] + correct

        def step(state: Any, data: Any, index: Any, learning_rate: Any) -> Any:
            params, velocity, totals = state
            x, y = data[0][index], data[1][index]
            (loss, correct), grads = jax.value_and_grad(losses, has_aux=True)(params, x, y)

            for name in params:
                if recipe.weight_decay and name.endswith("/kernel"):
                    grads[name] += recipe.weight_decay * params[name]
                if recipe.momentum:
                    velocity[name] = recipe.momentum * velocity[name] - learning_rate * grads[name]
                    params[name] += velocity[name]
                else:
                    params[name] -= learning_rate * grads[name]
            return params, velocity, add(totals, loss, correct, len(index))

        def check(params: Any, totals: Any, data: Any, index: Any) -> Any:
            loss, correct = losses(params, data[0][index], data[1][index])
            return add(totals, loss, correct, len(index))

        def gradients(params: Any, data: Any, index: Any) -> Any:
            x, y = data[0][index], data[1][index]
            (loss, _), grads = jax.value_and_grad(losses, has_aux=True)(params, x, y)
            return loss, grads

        self._gradients = jax.jit(gradients)
        self._step = jax.jit(step, donate_argnums=0)
        self._check = jax.jit(check, donate_argnums=1)

    def load(self, train: tuple[Inputs, Labels], validation: tuple[Inputs, Labels]) -> None:
        import jax

        self._train = jax.device_put((train[0].astype(self._dtype), train[1]))
        self._validation = jax.device_put((validation[0].astype(self._dtype), validation[1]))

    def set_weights(self, weights: Weights) -> None:
        import jax.numpy as jnp

        self._params = {name: jnp.array(array, self._dtype) for name, array in weights.items()}
        moving = self._job.trial.recipe.momentum > 0
        self._velocity = {n: jnp.zeros_like(v) for n, v in self._params.items() if moving}

    def weights(self) -> Weights:
        import numpy as np

        return {name: np.asarray(value) for name, value in self._params.items()}

    def train(self, order: Order, learning_rate: float) -> Totals:
        import jax
        import jax.numpy as jnp

        state = self._params, self._velocity, (jnp.zeros(()), jnp.zeros((), jnp.int32))
        rate = jnp.array(learning_rate, self._dtype)
        for index in batches(order, self._job.trial.batch_size):
            state = self._step(state, self._train, index, rate)
        self._params, self._velocity, (loss, correct) = jax.block_until_ready(state)
        return Totals(float(loss) / len(order), int(correct) / len(order))

    def evaluate(self) -> Totals:
        import jax.numpy as jnp

        totals = jnp.zeros(()), jnp.zeros((), jnp.int32)
        samples = len(self._validation[1])
        for index in batches(in_sequence(samples), self._job.trial.batch_size):
            totals = self._check(self._params, totals, self._validation, index)
        return Totals(float(totals[0]) / samples, int(totals[1]) / samples)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        import numpy as np

        loss, gradients = self._gradients(self._params, self._train, order)
        return float(loss), {name: np.asarray(value) for name, value in gradients.items()}

    def ledger(self) -> Ledger:
        import jax
        import jaxlib
        import numpy as np

        device = jax.devices()[0]
        return Ledger(
            dtype=str(next(iter(self._params.values())).dtype),
            compile_mode="jax.jit, donated state",
            threads=None,
            memory_format="channels last",
            data_path="arrays on the device, indexed in the step",
            variables={},
            versions={
                "jax": jax.__version__,
                "jaxlib": jaxlib.__version__,
                "numpy": np.__version__,
            },
            device=f"{device.platform} ({device.device_kind})",
        )


ENGINES = (Jax,)


def _apply(graph: Graph, params: Any, x: Any) -> Any:
    """Logits of the graph for a batch of inputs."""
    values = {"input": x}
    for node in graph.nodes:
        own = {
            name.split("/")[1]: array
            for name, array in params.items()
            if name.startswith(f"{node.name}/")
        }
        values[node.name] = _compute(node.layer, own, *(values[name] for name in node.inputs))
    return values[graph.nodes[-1].name]


def _compute(layer: AnyLayer, own: dict[str, Any], x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    match layer:
        case Conv2D():
            convolved = jax.lax.conv_general_dilated(
                x,
                own["kernel"],
                window_strides=(1, 1),
                padding=layer.padding.upper(),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            return convolved + own["bias"]
        case MaxPool2D():
            return jax.lax.reduce_window(
                x,
                -jnp.inf,
                jax.lax.max,
                window_dimensions=(1, *layer.pool, 1),
                window_strides=(1, *layer.stride, 1),
                padding="VALID",
            )
        case Flatten():
            return x.reshape(len(x), -1)
        case Dense():
            return x @ own["kernel"] + own["bias"]
        case Activation(function="relu"):
            return jax.nn.relu(x)
        case Activation(function="tanh"):
            return jnp.tanh(x)
