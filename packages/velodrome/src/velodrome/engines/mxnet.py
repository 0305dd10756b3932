"""MXNet used directly: a Gluon block, hybridized with static allocation."""

import os
from typing import Any

import numpy as np

from velodrome.devices import Devices
from velodrome.engines import channels_first, libraries, parameter_server
from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals, dtype_in_use
from velodrome.engines.batches import batches, in_sequence, parts
from velodrome.engines.mxnet_import import import_mxnet
from velodrome.job import Job
from velodrome.machine import openblas_core_type, this_machine
from velodrome.record import Ledger
from velodrome.trial import Settings, Trial
from velodrome.workloads.graph import Graph, Weights, by_node
from velodrome.workloads.initializers import Shape
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
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON, decays

# What MXNet takes for it, as numpy has none.
_BFLOAT16 = np.dtype([("bfloat16", np.uint16)])


NO_FLOAT16 = "MXNet 1.9 multiplies no float16 on a CPU: 'FP16 gemm on cpu not implemented!'"


# Under which the machines add up loss and number told right.
_TOTALS = "totals"


class MXNet(Engine):
    """MXNet: Gluon, `autograd`, `gluon.Trainer`."""

    name = "mxnet"
    framework = "mxnet"
    dtypes = ("float32", "bfloat16")
    summary = "Apache MXNet, hybridized Gluon"
    one_machine = ""

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """As for every engine; and what its CPU build cannot multiply."""
        on_cpu = Devices.parse(trial.devices).kind == "cpu"
        if trial.dtype == "float16" and on_cpu:
            return NO_FLOAT16
        if trial.dtype == "bfloat16" and not (on_cpu and "avx512f" in this_machine().flags):
            return "mxnet's bfloat16 is oneDNN 2's, on a CPU with AVX-512"
        return super().unsupported(trial)

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """One OpenMP thread a core, and OpenBLAS told which processor this is.

        Left alone, MXNet 1.9 runs OpenMP as if on one core, and its OpenBLAS takes
        processors younger than itself for a Prescott.
        """
        if settings == "stock":
            return {}
        core_type = openblas_core_type()
        return {"OMP_NUM_THREADS": str(threads)} | (
            {"OPENBLAS_CORETYPE": core_type} if core_type else {}
        )

    def __init__(self, job: Job) -> None:
        if job.meeting:
            parameter_server.join(job.meeting)
        import_mxnet()
        super().__init__(job)

    def build(self) -> None:
        import mxnet as mx

        self._narrow = self.job.trial.dtype == "bfloat16"
        self._block = _block(self.graph, self._narrow)
        device = mx.gpu if self.gpus else mx.cpu
        self._contexts = [device(number) for number in range(len(self.own))]
        self._block.initialize(ctx=self._contexts)
        self._block.hybridize(static_alloc=True, static_shape=True)
        self._servers = parameter_server.Sums(self._summed()) if self.job.meeting else None

    def _summed(self) -> dict[str, Shape]:
        """Shapes of what the machines add up: gradients, moving statistics, a pass's totals."""
        return {name: each.shape for name, each in self._block.arrays.items()} | {_TOTALS: (2,)}

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = _channels_first(x), y.astype(np.float32)

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = _channels_first(x), y.astype(np.float32)

    def set_weights(self, weights: Weights) -> None:
        import mxnet as mx

        mx.random.seed(self.job.trial.seed)
        self._assign(channels_first.from_graph(self.graph, weights))
        recipe = self.job.trial.recipe
        options = {"learning_rate": recipe.learning_rate, "wd": recipe.weight_decay}
        if recipe.optimizer == "adam":
            options |= {"beta1": BETA_1, "beta2": BETA_2, "epsilon": EPSILON}
        else:
            options |= {"momentum": recipe.momentum}
        self._trainer = mx.gluon.Trainer(
            self._block.collect_params(),
            recipe.optimizer,
            options,
            # Over machines gradients are added up by hand: a trainer is made anew for every
            # start, and the servers' arrays cannot be.
            kvstore="device" if self.replicas > 1 and not self._servers else None,
        )

    def _assign(self, arrays: Weights) -> None:
        """Write by an operator: where evaluation has left the kernel of a 1-D convolution in
        oneDNN's own layout, a copy, as by `set_data`, fails on `IsDefaultData`.
        """
        import mxnet as mx

        for name, array in arrays.items():
            for held in self._block.arrays[name].list_data():
                mx.nd.identity(mx.nd.array(array, held.context), out=held)

    def weights(self) -> Weights:
        return channels_first.to_graph(self.graph, self._read())

    def _read(self) -> Weights:
        return {
            name: each.data(self._contexts[0]).asnumpy()
            for name, each in self._block.arrays.items()
        }

    def train(self, order: Order, learning_rate: float) -> Totals:
        import mxnet as mx

        self._trainer.set_learning_rate(learning_rate)
        totals = self._no_totals()
        for index in batches(order, self.job.trial.batch_size):
            with mx.autograd.record():
                found = self._apply(self._train, index)
            mx.autograd.backward([loss for loss, _ in found])
            self._sum_gradients()
            self._trainer.step(len(index))
            _add(totals, found)
        self._agree()
        mx.nd.waitall()
        return self._totals(totals, len(order))

    def _sum_gradients(self) -> None:
        """Over the machines and their contexts; without machines the trainer sees to it."""
        if self._servers:
            for number, name in enumerate(self.graph.parameters()):
                self._servers.add(name, self._block.arrays[name].list_grad(), -number)

    def _totals(self, totals: list[tuple[Any, Any]], samples: int) -> Totals:
        """Of all contexts, on all machines."""
        import mxnet as mx

        found = np.array([[float(each.asscalar()) for each in own] for own in totals]).sum(0)
        if self._servers:
            summed = mx.nd.array(found)
            self._servers.add(_TOTALS, [summed])
            found = summed.asnumpy()
        return Totals(float(found[0]) / samples, float(found[1]) / samples)

    def _no_totals(self) -> list[tuple[Any, Any]]:
        """Sum of losses and number told right, on each context."""
        import mxnet as mx

        return [(mx.nd.zeros(1, ctx=each), mx.nd.zeros(1, ctx=each)) for each in self._contexts]

    def _apply(self, data: tuple[Any, Any], batch: Order) -> list[tuple[Any, Any]]:
        """Loss of each sample and number told right, on each context for its part of a batch."""
        import mxnet as mx

        inputs, labels = data
        return [
            self._block(mx.nd.array(inputs[part], context), mx.nd.array(labels[part], context))
            for context, part in zip(self._contexts, self._parts(batch), strict=True)
            if len(part)
        ]

    def _parts(self, batch: Order) -> list[Order]:
        """Of a batch, one a context of this machine."""
        return parts(batch, self.replicas)[self.own.start : self.own.stop]

    def _agree(self) -> None:
        """Give every context the mean of all contexts' moving statistics."""
        if self.replicas == 1:
            return
        trained = self.graph.parameters()
        self._assign(
            {
                name: self._sum(name, parameter.list_data()) / self.replicas
                for name, parameter in self._block.arrays.items()
                if name not in trained
            }
        )

    def _sum(self, name: str, arrays: list[Any]) -> Any:
        """Of an array as each context of each machine has it."""
        import mxnet as mx

        total = sum(each.asnumpy() for each in arrays)
        if self._servers:
            summed = mx.nd.array(total)
            self._servers.add(name, [summed])
            total = summed.asnumpy()
        return total

    def evaluate(self) -> Totals:
        import mxnet as mx

        samples = len(self._validation[1])
        totals = self._no_totals()
        for index in batches(in_sequence(samples), self.job.trial.batch_size):
            _add(totals, self._apply(self._validation, index))
        mx.nd.waitall()
        return self._totals(totals, samples)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        import mxnet as mx

        before = self._read()
        with mx.autograd.record():
            losses = [loss.sum() / len(order) for loss, _ in self._apply(self._train, order)]
        mx.autograd.backward(losses)
        trained = self.graph.parameters()
        arrays = {name: self._sum(name, self._block.arrays[name].list_grad()) for name in trained}
        self._assign({name: array for name, array in before.items() if name not in trained})
        loss = self._totals([(each, each) for each in losses], 1).loss
        return loss, channels_first.to_graph(self.graph, arrays)

    def ledger(self) -> Ledger:
        import mxnet as mx

        trial = self.job.trial
        features = mx.runtime.Features()
        arrays = (each.data(self._contexts[0]) for each in self._block.arrays.values())
        held = {np.dtype(each.dtype).name for each in arrays}
        return Ledger(
            dtype=dtype_in_use({"bfloat16"} if self._narrow else held, held, tf32=False),
            compile_mode="hybridized, static_alloc, static_shape",
            threads=libraries.threads(self.framework),
            memory_format="channels first",
            data_path="arrays in memory, indexed, copied to an NDArray a batch",
            variables=self.variables(trial.settings, self.job.threads),
            versions={
                "mxnet": mx.__version__,
                "numpy": np.__version__,
                **libraries.versions(self.framework, self.gpus),
            },
            device=", ".join(str(context) for context in self._contexts),
            determinism="MXNET_ENFORCE_DETERMINISM "
            + os.environ.get("MXNET_ENFORCE_DETERMINISM", "not set"),
            notes=(
                f"oneDNN {'built in' if features.is_enabled('MKLDNN') else 'missing'}",
                *self._several(),
                *self._wide(),
            ),
        )

    def _wide(self) -> tuple[str, ...]:
        """What stays in float32 though convolutions and dense layers are narrow."""
        names: dict[str, type] = {"LSTM": LSTM, "attention": SelfAttention}
        wide = [name for name, layer in names.items() if self.graph.has(layer)]
        return (f"{' and '.join(wide)} in float32",) if self._narrow and wide else ()

    def _several(self) -> tuple[str, ...]:
        if self.replicas == 1:
            return ()
        shared = f"gradients by kvstore {'dist_sync' if self._servers else 'device'}"
        if not self.graph.has(BatchNorm):
            return (shared,)
        return shared, "batch normalisation per device; moving statistics averaged an epoch"


ENGINES = (MXNet,)


def _add(totals: list[tuple[Any, Any]], found: list[tuple[Any, Any]]) -> None:
    for (loss_sum, correct), (loss, right) in zip(totals, found, strict=False):
        loss_sum += loss.sum()
        correct += right


def _channels_first(x: Inputs) -> Inputs:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _block(graph: Graph, narrow: bool) -> Any:
    """The graph with its loss as one hybrid block: (inputs, labels) to (loss, number right).

    The loss has one value a sample; tokens and labels are float32, as MXNet's operators take
    them. `arrays` are its Gluon parameters by the graph's names.
    """
    from mxnet import gluon

    shapes = graph.shapes()

    class Block(gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            zeros = {n: np.zeros(each.shape, np.float32) for n, each in graph.arrays().items()}
            trained = graph.parameters()
            self.arrays: dict[str, Any] = {}
            for name, array in channels_first.from_graph(graph, zeros).items():
                attribute = name.replace("/", "__")
                self.arrays[name] = self.params.get(
                    attribute,
                    shape=array.shape,
                    grad_req="write" if name in trained else "null",
                    differentiable=name in trained,
                    wd_mult=1.0 if decays(name) else 0.0,
                    init="zeros",
                )
                setattr(self, attribute, self.arrays[name])
            self.loss = (
                gluon.loss.SigmoidBinaryCrossEntropyLoss()
                if graph.binary()
                else gluon.loss.SoftmaxCrossEntropyLoss()
            )

        def hybrid_forward(self, F: Any, x: Any, y: Any, **arrays: Any) -> tuple[Any, Any]:
            F = _Narrow(F) if narrow else F
            own = by_node({name.replace("__", "/"): array for name, array in arrays.items()})
            values = {"input": x}
            for node in graph.nodes:
                inputs = [values[name] for name in node.inputs]
                values[node.name] = _compute(
                    F, node.layer, own.get(node.name, {}), inputs, shapes[node.inputs[0]]
                )
            logits = values[graph.nodes[-1].name]
            told = F.reshape(logits, (-1,)) > 0 if graph.binary() else F.argmax(logits, axis=1)
            return self.loss(logits, y), F.BlockGrad(told == y).sum()

    return Block()


class _Narrow:
    """MXNet's operators, of which convolutions and dense layers compute in bfloat16.

    They are the two that MXNet's own mixed precision narrows on a CPU; what goes in and comes
    out is float32, for other operators, such as a transpose, crash on bfloat16.
    """

    def __init__(self, operators: Any) -> None:
        self._operators = operators

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operators, name)

    def Convolution(self, *arrays: Any, **options: Any) -> Any:
        return self._narrow(self._operators.Convolution, arrays, options)

    def FullyConnected(self, *arrays: Any, **options: Any) -> Any:
        return self._narrow(self._operators.FullyConnected, arrays, options)

    def _narrow(self, operator: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> Any:
        cast = self._operators.amp_cast
        return cast(
            operator(*(cast(each, dtype=_BFLOAT16) for each in arrays), **options), dtype="float32"
        )


def _compute(F: Any, layer: AnyLayer, own: dict[str, Any], inputs: list[Any], shape: Shape) -> Any:
    """One layer, by the operators `F` and the graph's shape of its first input.

    Images are (n, channels, height, width), sequences (n, length, channels).
    """
    x = inputs[0]
    image = len(shape) == 3
    match layer:
        case Conv():
            options = {"num_filter": layer.filters, "no_bias": not layer.bias}
            return _windowed(
                F, layer, x, shape, 0.0, F.Convolution, own["kernel"], own.get("bias"), **options
            )
        case MaxPool():
            return _windowed(F, layer, x, shape, -3e38, F.Pooling, pool_type="max")
        case AveragePool():
            pooled = _windowed(F, layer, x, shape, 0.0, F.Pooling, pool_type="avg")
            if layer.padding == "valid":
                return pooled
            ones = F.ones_like(x)
            return pooled / _windowed(F, layer, ones, shape, 0.0, F.Pooling, pool_type="avg")
        case GlobalAveragePool():
            if not image:
                return F.mean(x, axis=1)
            return F.flatten(F.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg"))
        case ZeroPad():
            return _padded(F, x, layer.pads, 0.0)
        case Upsample():
            return F.UpSampling(x, scale=layer.factor, sample_type="nearest")
        case Flatten():
            return F.flatten(x)
        case Add():
            return F.add_n(*inputs)
        case Concatenate():
            return F.concat(*inputs, dim=1 if image else -1)
        case Dense():
            return _product(F, x, own["kernel"], layer.units, own.get("bias"))
        case Activation():
            return F.Activation(x, act_type=layer.function)
        case Dropout():
            return F.Dropout(x, p=layer.rate) if layer.rate else x
        case BatchNorm():
            return F.BatchNorm(
                x,
                own["gamma"] if layer.scale else F.ones_like(own["beta"]),
                own["beta"],
                own["moving_mean"],
                own["moving_variance"],
                eps=layer.epsilon,
                momentum=layer.momentum,
                fix_gamma=not layer.scale,
                axis=len(shape) if len(shape) == 2 else 1,
            )
        case LayerNorm():
            return F.LayerNorm(x, own["gamma"], own["beta"], eps=layer.epsilon)
        case Embedding():
            return F.Embedding(
                x, own["embeddings"], input_dim=layer.vocabulary, output_dim=layer.units
            )
        case PositionEmbedding():
            return F.broadcast_add(x, F.expand_dims(own["embeddings"], 0))
        case LSTM():
            return _lstm(F, layer, own, x)
        case SelfAttention():
            return _attention(F, layer, own, x, shape[-1])
    raise TypeError(f"no layer of MXNet for {layer}")


def _product(F: Any, x: Any, kernel: Any, units: int, bias: Any = None) -> Any:
    arrays = (x, kernel) if bias is None else (x, kernel, bias)
    return F.FullyConnected(*arrays, num_hidden=units, flatten=False, no_bias=bias is None)


def _padded(F: Any, x: Any, pads: tuple[tuple[int, int], ...], filler: float) -> Any:
    """`F.pad` takes images: a sequence goes through it as one of height one."""
    sequence = len(pads) == 1
    if sequence:
        x, pads = F.expand_dims(x, 2), ((0, 0), *pads)
    width = (0, 0, 0, 0, *(pad for axis in pads for pad in axis))
    y = F.pad(x, mode="constant", pad_width=width, constant_value=filler)
    return F.reshape(y, (0, 0, -1)) if sequence else y


def _windowed(
    F: Any,
    layer: Windowed,
    x: Any,
    shape: Shape,
    filler: float,
    operator: Any,
    *arrays: Any,
    **options: Any,
) -> Any:
    """Apply a convolution or pooling, which take channels first.

    MXNet pads both sides alike; an odd pad is put there before.
    """
    pads = layer.pads(shape)
    sequence = len(shape) == 2
    if sequence:
        x = F.transpose(x, (0, 2, 1))
    if any(before != after for before, after in pads):
        x, pads = _padded(F, x, pads, filler), ((0, 0),) * len(pads)
    y = operator(
        x,
        *(array for array in arrays if array is not None),
        kernel=layer.window,
        stride=layer.stride,
        pad=tuple(after for _, after in pads),
        **options,
    )
    return F.transpose(y, (0, 2, 1)) if sequence else y


def _lstm(F: Any, layer: LSTM, own: dict[str, Any], x: Any) -> Any:
    """The fused operator: gates in the graph's order, a second bias that stays at zero."""
    flat = [F.reshape(own[name], (-1,)) for name in ("kernel", "recurrent_kernel", "bias")]
    state = F.zeros_like(F.slice(x, begin=(None, 0, 0), end=(None, 1, 1)))
    state = F.transpose(F.broadcast_axis(state, axis=2, size=layer.units), (1, 0, 2))
    outputs = F.RNN(
        F.transpose(x, (1, 0, 2)),
        F.concat(*flat, F.zeros_like(own["bias"]), dim=0),
        state,
        state,
        state_size=layer.units,
        num_layers=1,
        mode="lstm",
    )
    return F.reshape(F.slice_axis(outputs, axis=0, begin=-1, end=None), (-3, 0))


def _attention(F: Any, layer: SelfAttention, own: dict[str, Any], x: Any, units: int) -> Any:
    q, k, v = (
        F.reshape(
            F.transpose(
                F.reshape(_product(F, x, own[f"{role}_kernel"], units), (0, 0, layer.heads, -1)),
                (0, 2, 1, 3),
            ),
            (-3, -2),
        )
        for role in ("query", "key", "value")
    )
    scale = (units // layer.heads) ** -0.5
    scores = F.softmax(F.batch_dot(q * scale, k, transpose_b=True))
    attended = F.reshape(F.batch_dot(scores, v), (-4, -1, layer.heads, -2))
    merged = F.reshape(F.transpose(attended, (0, 2, 1, 3)), (0, 0, -3))
    return _product(F, merged, own["output_kernel"], units)
