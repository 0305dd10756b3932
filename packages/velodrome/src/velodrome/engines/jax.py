"""JAX used directly: one jitted step, its state donated, the data on the device."""

import os
from typing import Any

import numpy as np

from velodrome.engines import libraries
from velodrome.engines.base import LOSS_SCALE, Engine, Inputs, Labels, Order, Totals, dtype_in_use
from velodrome.engines.batches import batches, in_sequence
from velodrome.job import Job, Meeting
from velodrome.machine import usable_cpus
from velodrome.record import Ledger
from velodrome.trial import Settings
from velodrome.workloads.graph import Graph, Weights, by_node
from velodrome.workloads.layers import (
    LSTM,
    Activation,
    Add,
    AnyLayer,
    AveragePool,
    BatchNorm,
    Concatenate,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    MaxPool,
    PositionEmbedding,
    SelfAttention,
    Upsample,
    Windowed,
    ZeroPad,
)
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON, Recipe, decays


class Jax(Engine):
    """JAX: pure functions under `jax.jit`."""

    name = "jax"
    framework = "jax"
    summary = "JAX, pure functions under jax.jit"
    dtypes = ("float32", "tf32", "float64", "bfloat16", "float16")
    one_machine = ""

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """On GPUs, memory as it is needed: left alone, JAX takes three quarters at once."""
        return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

    def __init__(self, job: Job) -> None:
        import jax

        super().__init__(job)
        if self.replicas > 1 and not self.gpus:
            share_processor(len(self.own))
        if job.meeting:
            join(job.meeting)
        multiply_in(job.trial.dtype)
        jax.config.update("jax_enable_x64", job.trial.dtype == "float64")
        self._dtype = np.dtype("float64" if job.trial.dtype == "float64" else "float32")

    def build(self) -> None:
        import jax
        import jax.numpy as jnp
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        mesh = Mesh(np.array(jax.devices()[: self.replicas]), ("batch",))
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._shared = NamedSharding(mesh, PartitionSpec("batch"))
        graph, recipe = self.graph, self.job.trial.recipe
        compute = self._compute = jnp.dtype(self.arithmetic)

        def losses(params: Any, statistics: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any]:
            """Mean cross-entropy; the number told right and the new moving statistics."""
            logits, statistics = _apply(graph, params, statistics, x, key, compute)
            loss, correct = _cross_entropy(graph, logits, y)
            return loss, (correct, statistics)

        scale = LOSS_SCALE if self.scales_loss else 1.0

        def scaled(*arguments: Any) -> tuple[Any, Any]:
            loss, others = losses(*arguments)
            return loss * scale, (loss, others)

        def differentiated(params: Any, statistics: Any, data: Any, index: Any, key: Any) -> Any:
            x, y = data[0][index], data[1][index]
            gradient = jax.grad(scaled, has_aux=True)
            gradients, found = gradient(params, statistics, x, y, key)
            return found, jax.tree.map(lambda each: each / scale, gradients)

        def add(totals: Any, loss: Any, correct: Any, samples: int) -> Any:
            return totals[0] + loss * samples, totals[1] + correct

        def step(state: Any, totals: Any, data: Any, index: Any, learning_rate: Any) -> Any:
            params, statistics, moments, key = state
            key, own = jax.random.split(key)
            (loss, (correct, statistics)), gradients = differentiated(
                params, statistics, data, index, own
            )
            params, moments = _update(recipe, params, moments, gradients, learning_rate)
            totals = add(totals, loss, correct, len(index))
            return (params, statistics, moments, key), totals

        def check(params: Any, statistics: Any, totals: Any, data: Any, index: Any) -> Any:
            loss, (correct, _) = losses(params, statistics, data[0][index], data[1][index], None)
            return add(totals, loss, correct, len(index))

        # What comes out is whole on every device, so that it can go in again.
        self._step = jax.jit(step, donate_argnums=(0, 1), out_shardings=self._whole)
        self._check = jax.jit(check, donate_argnums=2, out_shardings=self._whole)
        self._differentiated = jax.jit(differentiated, out_shardings=self._whole)

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = self._on_device(x, y)

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = self._on_device(x, y)

    def _on_device(self, x: Inputs, y: Labels) -> Any:
        import jax

        images = np.issubdtype(x.dtype, np.floating)
        data = x.astype(self._dtype, copy=False) if images else x, y
        return jax.device_put(data, self._whole)

    def _index(self, batch: Order) -> Any:
        """The batch shared by the devices; whole on every one where it does not divide evenly."""
        if self.replicas == 1:
            return batch
        import jax

        even = len(batch) % self.replicas == 0
        sharding = self._shared if even else self._whole
        # Unlike `device_put`, this asks no other machine whether it has the same.
        return jax.make_array_from_callback(batch.shape, sharding, lambda part: batch[part])

    def set_weights(self, weights: Weights) -> None:
        import jax
        import jax.numpy as jnp

        trained = self.graph.parameters()
        arrays = {name: jnp.array(array, self._dtype) for name, array in weights.items()}
        params = {name: array for name, array in arrays.items() if name in trained}
        statistics = {name: array for name, array in arrays.items() if name not in trained}
        moments = _moments(self.job.trial.recipe, params)
        # Made in place: a key cannot be put on another machine's devices.
        key = jax.jit(jax.random.key, static_argnums=0, out_shardings=self._whole)
        placed = jax.device_put((params, statistics, moments), self._whole)
        self._state = *placed, key(self.job.trial.seed)

    def weights(self) -> Weights:
        params, statistics, *_ = self._state
        return {name: np.array(value) for name, value in (params | statistics).items()}

    def train(self, order: Order, learning_rate: float) -> Totals:
        import jax
        import jax.numpy as jnp

        state, totals = self._state, self._no_totals()
        rate = jnp.array(learning_rate, self._dtype)
        for index in batches(order, self.job.trial.batch_size):
            state, totals = self._step(state, totals, self._train, self._index(index), rate)
        self._state, totals = jax.block_until_ready((state, totals))
        return Totals(float(totals[0]) / len(order), int(totals[1]) / len(order))

    def _no_totals(self) -> Any:
        import jax
        import jax.numpy as jnp

        return jax.device_put((jnp.zeros((), self._dtype), jnp.zeros((), jnp.int32)), self._whole)

    def evaluate(self) -> Totals:
        totals = self._no_totals()
        params, statistics, *_ = self._state
        samples = len(self._validation[1])
        for index in batches(in_sequence(samples), self.job.trial.batch_size):
            shared = self._index(index)
            totals = self._check(params, statistics, totals, self._validation, shared)
        return Totals(float(totals[0]) / samples, int(totals[1]) / samples)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        params, statistics, _, key = self._state
        index = self._index(order)
        (loss, _), gradients = self._differentiated(params, statistics, self._train, index, key)
        return float(loss), {name: np.asarray(value) for name, value in gradients.items()}

    def ledger(self) -> Ledger:
        import jax
        import jaxlib

        params, statistics, *_ = self._state
        tf32 = self.gpus and libraries.tf32(self.framework)
        device = jax.devices()[0]
        several = f", {self.replicas} devices by sharding" if self.replicas > 1 else ""
        synchronised = ("batch normalisation over the whole batch, synchronised",)
        return Ledger(
            dtype=dtype_in_use(
                # Without 64 bits, JAX takes float64 for float32.
                {str(jax.dtypes.canonicalize_dtype(self._compute))},
                {str(each.dtype) for each in (params | statistics).values()},
                tf32=tf32,
            ),
            compile_mode="jax.jit, donated state",
            threads=libraries.threads(self.framework),
            memory_format="channels last",
            data_path="arrays on the device, indexed in the step",
            variables=self.variables(self.job.trial.settings, self.job.threads),
            versions={
                "jax": jax.__version__,
                "jaxlib": jaxlib.__version__,
                "numpy": np.__version__,
            },
            device=f"{device.platform} ({device.device_kind}){several}",
            tf32=tf32 if self.gpus else None,
            determinism=f"XLA_FLAGS {os.environ.get('XLA_FLAGS', 'not set')}",
            notes=(*(synchronised if several and self.graph.has(BatchNorm) else ()), *self.scaling),
        )


ENGINES = (Jax,)


def join(meeting: Meeting) -> None:
    """Meet the processes on the trial's other machines; devices are counted over all then."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        meeting.addresses[0],
        num_processes=len(meeting.addresses),
        process_id=meeting.number,
        coordinator_bind_address=meeting.addresses[0],
        cluster_detection_method="deactivate",
    )


def share_processor(devices: int) -> None:
    """Have the processor count as so many devices; before JAX looks for any.

    For devices that share a batch, with each other or with other machines'. XLA runs them all on
    one pool, as many threads as cores. A device holds one thread while it waits in a collective
    and one while its convolution waits for its parts: a pool without a thread to spare stands
    still (seen with two devices on two cores, in each of three runs).
    XLA takes the size from PJRT_NPROC (`DefaultThreadPoolSize` in xla/pjrt/utils.cc).
    """
    import jax

    os.environ["PJRT_NPROC"] = str(max(2 * devices + 1, len(usable_cpus())))
    jax.config.update("jax_num_cpu_devices", devices)


def multiply_in(dtype: str) -> None:
    """Have products of float32 computed as such, or in TF32; left alone, JAX takes the faster."""
    import jax

    precision = "tensorfloat32" if dtype == "tf32" else "float32"
    jax.config.update("jax_default_matmul_precision", precision)


def _cross_entropy(graph: Graph, logits: Any, y: Any) -> tuple[Any, Any]:
    """Mean over the batch, and the number told right."""
    import jax
    import jax.numpy as jnp

    if graph.binary():
        logit = logits[:, 0]
        return (jax.nn.softplus(logit) - logit * y).mean(), ((logit > 0) == y).sum()
    log_p = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean(), (logits.argmax(1) == y).sum()


def _moments(recipe: Recipe, params: Any) -> Any:
    """The optimizer's state before the first step."""
    import jax.numpy as jnp

    def zeros() -> Any:
        return {name: jnp.zeros_like(value) for name, value in params.items()}

    if recipe.optimizer == "adam":
        return jnp.zeros((), jnp.int32), zeros(), zeros()
    return zeros() if recipe.momentum else {}


def _update(recipe: Recipe, params: Any, moments: Any, gradients: Any, rate: Any) -> Any:
    """New parameters and optimizer's state, by the recipe's formulas."""
    import jax.numpy as jnp

    gradients = {
        name: gradient + recipe.weight_decay * params[name]
        if recipe.weight_decay and decays(name)
        else gradient
        for name, gradient in gradients.items()
    }
    if recipe.optimizer == "adam":
        t, first, second = moments
        t += 1
        first = {n: BETA_1 * first[n] + (1 - BETA_1) * g for n, g in gradients.items()}
        second = {n: BETA_2 * second[n] + (1 - BETA_2) * g * g for n, g in gradients.items()}
        rate *= jnp.sqrt(1 - BETA_2 ** t.astype(rate.dtype)) / (1 - BETA_1 ** t.astype(rate.dtype))
        params = {
            n: w - rate * first[n] / (jnp.sqrt(second[n]) + EPSILON) for n, w in params.items()
        }
        return params, (t, first, second)
    if recipe.momentum:
        velocity = {n: recipe.momentum * moments[n] - rate * g for n, g in gradients.items()}
        return {n: w + velocity[n] for n, w in params.items()}, velocity
    return {n: w - rate * gradients[n] for n, w in params.items()}, moments


def _apply(
    graph: Graph, params: Any, statistics: Any, x: Any, key: Any, compute: Any
) -> tuple[Any, Any]:
    """Logits of the graph for a batch, and the moving statistics after it.

    Args:
        graph: the model.
        params: trained arrays.
        statistics: moving statistics.
        x: inputs.
        key: of dropout while training; None to evaluate, by the moving statistics.
        compute: dtype that inputs and kernels of products and convolutions are brought to.
    """
    import jax

    arrays = by_node(params | statistics)
    values = {"input": x}
    updated = dict(statistics)
    for number, node in enumerate(graph.nodes):
        own = arrays.get(node.name, {})
        inputs = [values[name] for name in node.inputs]
        match node.layer:
            case BatchNorm() as layer:
                values[node.name], moved = _batch_norm(layer, own, inputs[0], key is not None)
                updated |= {f"{node.name}/{name}": each for name, each in moved.items()}
            case Dropout(rate=rate):
                values[node.name] = inputs[0]
                if key is not None and rate:
                    own_key = jax.random.fold_in(key, number)
                    kept = jax.random.bernoulli(own_key, 1 - rate, inputs[0].shape)
                    values[node.name] = inputs[0] * kept / (1 - rate)
            case layer:
                values[node.name] = _compute(layer, own, inputs, compute)
    return values[graph.nodes[-1].name].astype(params[next(iter(params))].dtype), updated


def _batch_norm(layer: BatchNorm, own: dict[str, Any], x: Any, training: bool) -> tuple[Any, Any]:
    import jax

    dtype = x.dtype
    x = x.astype(own["beta"].dtype)
    mean, variance = own["moving_mean"], own["moving_variance"]
    moved = {}
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
        keep = layer.momentum
        moved = {
            "moving_mean": keep * own["moving_mean"] + (1 - keep) * mean,
            "moving_variance": keep * own["moving_variance"] + (1 - keep) * variance,
        }
    factor = jax.lax.rsqrt(variance + layer.epsilon)
    if layer.scale:
        factor *= own["gamma"]
    return ((x - mean) * factor + own["beta"]).astype(dtype), moved


def _compute(layer: AnyLayer, own: dict[str, Any], inputs: list[Any], compute: Any) -> Any:
    import jax
    import jax.numpy as jnp

    x = inputs[0]
    match layer:
        case Conv():
            axes = "HW"[: len(layer.window)]
            y = jax.lax.conv_general_dilated(
                x.astype(compute),
                own["kernel"].astype(compute),
                window_strides=layer.stride,
                padding=layer.pads(x.shape[1:]),
                dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
            )
            return y + own["bias"].astype(compute) if layer.bias else y
        case MaxPool():
            return _windows(layer, x, -jnp.inf, jax.lax.max)
        case AveragePool():
            return _windows(layer, x, 0.0, jax.lax.add) / _windows(
                layer, jnp.ones_like(x[:1, ..., :1]), 0.0, jax.lax.add
            )
        case GlobalAveragePool():
            return x.mean(tuple(range(1, x.ndim - 1)))
        case ZeroPad():
            return jnp.pad(x, ((0, 0), *layer.pads, (0, 0)))
        case Upsample():
            return x.repeat(layer.factor, 1).repeat(layer.factor, 2)
        case Flatten():
            return x.reshape(len(x), -1)
        case Add():
            return sum(inputs[1:], x)
        case Concatenate():
            return jnp.concatenate(inputs, -1)
        case Dense():
            y = x.astype(compute) @ own["kernel"].astype(compute)
            return y + own["bias"].astype(compute) if layer.bias else y
        case Activation(function="relu"):
            return jax.nn.relu(x)
        case Activation(function="tanh"):
            return jnp.tanh(x)
        case Activation(function="sigmoid"):
            return jax.nn.sigmoid(x)
        case LayerNorm():
            wide = x.astype(own["beta"].dtype)
            factor = jax.lax.rsqrt(wide.var(-1, keepdims=True) + layer.epsilon) * own["gamma"]
            return ((wide - wide.mean(-1, keepdims=True)) * factor + own["beta"]).astype(x.dtype)
        case Embedding():
            return own["embeddings"][x]
        case PositionEmbedding():
            return x + own["embeddings"].astype(x.dtype)
        case LSTM():
            return _lstm({name: array.astype(compute) for name, array in own.items()}, x)
        case SelfAttention():
            q, k, v = (
                (x.astype(compute) @ own[f"{role}_kernel"].astype(compute)).reshape(
                    *x.shape[:2], layer.heads, -1
                )
                for role in ("query", "key", "value")
            )
            attended = _attended(q, k, v).reshape(x.shape)
            return attended @ own["output_kernel"].astype(compute)
    raise TypeError(f"no layer of JAX for {layer}")


def _attended(q: Any, k: Any, v: Any) -> Any:
    """Of (n, length, heads, units).

    JAX's own function has scores in float32 at the most, and takes no float16 on a CPU.
    """
    import jax
    import jax.numpy as jnp

    if q.dtype != jnp.float64 and (q.dtype != jnp.float16 or jax.default_backend() != "cpu"):
        return jax.nn.dot_product_attention(q, k, v)
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("nqhu,nkhu->nhqk", q, k).astype(wide) * q.shape[-1] ** -0.5
    return jnp.einsum("nhqk,nkhu->nqhu", jax.nn.softmax(scores).astype(q.dtype), v)


def _windows(layer: Windowed, x: Any, start: float, reduce: Any) -> Any:
    import jax

    return jax.lax.reduce_window(
        x,
        np.array(start, x.dtype),
        reduce,
        window_dimensions=(1, *layer.window, 1),
        window_strides=(1, *layer.stride, 1),
        padding=((0, 0), *layer.pads(x.shape[1:]), (0, 0)),
    )


def _lstm(own: dict[str, Any], x: Any) -> Any:
    """The input's products all at once, then a scan over the length."""
    import jax
    import jax.numpy as jnp

    projected = x.astype(own["kernel"].dtype) @ own["kernel"] + own["bias"]

    def step(state: Any, z: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ own["recurrent_kernel"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), own["recurrent_kernel"].shape[0]), projected.dtype)
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), projected.swapaxes(0, 1))
    return h
