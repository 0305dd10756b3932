"""Neon on its CPU backend, where someone has it: it is on no registry, so its Python is adopted.

Neon 2.6 runs on Python 3.11 with numpy below 1.24 once `inspect.getargspec` exists.
"""

import inspect
from collections import namedtuple
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from velodrome.engines import channels_first
from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches, in_sequence
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Trial
from velodrome.workloads.graph import Graph, Weights
from velodrome.workloads.layers import Activation, BatchNorm, Conv, Dense, Flatten, MaxPool

_WORKLOADS = ("cifar10-conv", "lenet", "lenet-official", "lenet-tanh", "mlp")
_CHAINS = "velodrome builds chains of Neon's layers, with no branches that are put together again"
_LACKING = {
    "imdb-rnn": "Neon has embeddings, an LSTM and Adam, but velodrome's engine does not use them",
    "inception-v3": _CHAINS,
    "resnet50": _CHAINS,
    "transformer-imdb": "Neon has neither attention nor layer normalisation",
}


class Neon(Engine):
    """Neon: its layers, costs and optimizers, a loop as in its `Model.fit`."""

    name = "neon"
    framework = "neon"
    no_gpu = "its CPU backend is what is raced"
    one_device = "its CPU backend knows no second one"
    summary = "Neon on its CPU backend, in a Python that has it"

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """Chains of convolutions and dense layers are what Neon's CPU backend is raced on."""
        reason = super().unsupported(trial)
        if reason is None and trial.workload not in _WORKLOADS:
            raced = f"neon is raced on {', '.join(_WORKLOADS)}, not on {trial.workload}"
            why = _LACKING.get(trial.workload)
            return f"{raced}: {why}" if why else raced
        return reason

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        _restore_getargspec()
        from neon.backends import gen_backend

        self._backend = gen_backend("cpu", rng_seed=job.trial.seed, batch_size=1)

    def build(self) -> None:
        from neon.optimizers import GradientDescentMomentum, MultiOptimizer

        recipe = self.job.trial.recipe
        if recipe.optimizer != "sgd":
            raise Unsupported("neon trains with SGD here: velodrome's engine does not use its Adam")
        self._rules = [
            GradientDescentMomentum(recipe.learning_rate, recipe.momentum, wdecay=decay)
            for decay in (recipe.weight_decay, 0.0)
        ]
        kernels, others = self._rules
        self._optimizer = MultiOptimizer({"default": kernels, "Bias": others, "BatchNorm": others})
        # Buffers are made for one batch size: a net for each, which share their arrays.
        self._nets: dict[int, _Net] = {}
        self._net(self.job.trial.batch_size)

    def _net(self, samples: int) -> "_Net":
        self._backend.bsz = samples
        if samples not in self._nets:
            net = _net(self.graph)
            if self._nets:
                _share(next(iter(self._nets.values())), net)
            self._nets[samples] = net
        return self._nets[samples]

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = _columns(x), y

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = _columns(x), y

    def set_weights(self, weights: Weights) -> None:
        self._assign(weights)
        for layer in self._first().model.layers_to_optimize:
            nested = layer.states if type(layer).__name__ == "BatchNorm" else [layer.states]
            for states in nested:
                states.clear()

    def _first(self) -> "_Net":
        return next(iter(self._nets.values()))

    def _assign(self, weights: Weights) -> None:
        for name, array in channels_first.from_graph(self.graph, weights).items():
            tensor = self._first().arrays[name]
            tensor.set(np.ascontiguousarray(_to_neon(array).reshape(tensor.shape)))

    def weights(self) -> Weights:
        return self._in_graph(self._first().arrays)

    def _in_graph(self, tensors: dict[str, Any]) -> Weights:
        zeros = {n: np.zeros(each.shape, np.float32) for n, each in self.graph.arrays().items()}
        shapes = channels_first.from_graph(self.graph, zeros)
        arrays = {
            name: _from_neon(tensor.get(), shapes[name].shape) for name, tensor in tensors.items()
        }
        return channels_first.to_graph(self.graph, arrays)

    def train(self, order: Order, learning_rate: float) -> Totals:
        for rule in self._rules:
            rule.learning_rate = learning_rate
        loss, correct = 0.0, 0
        for index in batches(order, self.job.trial.batch_size):
            net = self._net(len(index))
            cost, right, delta = self._forward(net, self._train, index, training=True)
            net.model.bprop(delta)
            self._optimizer.optimize(net.model.layers_to_optimize, epoch=0)
            loss += cost * len(index)
            correct += right
        return Totals(loss / len(order), correct / len(order))

    def evaluate(self) -> Totals:
        loss, correct, samples = 0.0, 0, len(self._validation[1])
        for index in batches(in_sequence(samples), self.job.trial.batch_size):
            cost, right, _ = self._forward(
                self._net(len(index)), self._validation, index, training=False
            )
            loss += cost * len(index)
            correct += right
        return Totals(loss / samples, correct / samples)

    def _forward(
        self, net: "_Net", data: tuple[Inputs, Labels], index: Order, *, training: bool
    ) -> tuple[float, int, Any]:
        """Mean cross-entropy, the number told right, and the error to propagate back."""
        x, y = data
        net.x.set(np.ascontiguousarray(x[:, index]))
        net.t.set(np.eye(self.graph.classes(), dtype=np.float32)[:, y[index]])
        p = net.model.fprop(net.x, inference=not training)
        cost = float(net.cost.get_cost(p, net.t)[0, 0])
        right = int((p.get().argmax(0) == y[index]).sum())
        return cost, right, net.cost.get_errors(p, net.t) if training else None

    def gradients(self, order: Order) -> tuple[float, Weights]:
        before = self.weights()
        net = self._net(len(order))
        cost, _, delta = self._forward(net, self._train, order, training=True)
        net.model.bprop(delta)
        trained = self.graph.parameters()
        # Neon's gradients are sums over the batch, until its optimizers divide them.
        gradients = self._in_graph({name: net.gradients[name] for name in trained})
        self._assign({name: array for name, array in before.items() if name not in trained})
        share = np.float32(len(order))
        return cost, {name: array / share for name, array in gradients.items()}

    def ledger(self) -> Ledger:
        from neon.version import SHORT_VERSION

        return Ledger(
            dtype=np.dtype(self._backend.default_dtype).name,
            compile_mode="none: numpy expressions",
            threads=None,
            memory_format="channels first, samples last",
            data_path="arrays in memory, indexed, copied to a tensor a batch",
            variables={},
            versions={"neon": str(SHORT_VERSION), "numpy": np.__version__},
            device="cpu",
        )


ENGINES = (Neon,)


class _Net(NamedTuple):
    """A network with its buffers, for one batch size; arrays by the graph's names."""

    model: Any
    cost: Any
    x: Any
    t: Any
    arrays: dict[str, Any]
    gradients: dict[str, Any]


def _restore_getargspec() -> None:
    """Neon still asks for what Python 3.11 dropped."""
    if not hasattr(inspect, "getargspec"):
        spec = namedtuple("spec", "args varargs keywords defaults")
        setattr(inspect, "getargspec", lambda f: spec(*inspect.getfullargspec(f)[:4]))  # noqa: B010


def _columns(x: Inputs) -> Inputs:
    """A sample a column: channels, then height, then width."""
    return np.ascontiguousarray(x.transpose(3, 1, 2, 0).reshape(-1, len(x)))


def _to_neon(array: Any) -> Any:
    """Convolution kernels as (in, height, width, out); the rest as with channels first."""
    return array.transpose(1, 2, 3, 0) if array.ndim == 4 else array


def _from_neon(array: Any, shape: tuple[int, ...]) -> Any:
    if len(shape) == 4:
        out, *rest = shape
        return array.reshape(*rest, out).transpose(3, 0, 1, 2)
    return array.reshape(shape)


def _net(graph: Graph) -> _Net:
    from neon.layers import GeneralizedCost
    from neon.models import Model
    from neon.transforms import CrossEntropyMulti

    named = list(_layers(graph))
    model = Model(layers=[layer for _, layer in named])
    cost = GeneralizedCost(costfunc=CrossEntropyMulti())
    height, width, channels = graph.input_shape
    model.initialize((channels, height, width), cost)
    arrays, gradients = {}, {}
    for node, layer in named:
        for name, value, gradient in _held(layer):
            arrays[f"{node}/{name}"] = value
            if gradient is not None:
                gradients[f"{node}/{name}"] = gradient
    return _Net(
        model,
        cost,
        model.be.iobuf((channels, height, width)),
        model.be.iobuf(graph.classes()),
        arrays,
        gradients,
    )


def _held(layer: Any) -> Iterator[tuple[str, Any, Any]]:
    """A layer's arrays: the graph's name, value and gradient, None for a moving statistic."""
    match type(layer).__name__:
        case "BatchNorm":
            yield "gamma", layer.gamma, layer.grad_gamma
            yield "beta", layer.beta, layer.grad_beta
            yield "moving_mean", layer.gmean, None
            yield "moving_variance", layer.gvar, None
        case "Bias":
            yield "bias", layer.W, layer.dW
        case "Convolution" | "Linear":
            yield "kernel", layer.W, layer.dW


def _share(first: _Net, other: _Net) -> None:
    """Have another net use the arrays and the optimizer's states of the first."""
    pairs = zip(first.model.layers.layers, other.model.layers.layers, strict=True)
    for mine, yours in pairs:
        for name in ("W", "beta", "gamma", "gmean", "gvar", "params", "inf_params", "states"):
            if hasattr(mine, name):
                setattr(yours, name, getattr(mine, name))


def _layers(graph: Graph) -> Iterator[tuple[str, Any]]:
    """Neon's layers with the node that each belongs to."""
    from neon import layers, transforms
    from neon.initializers import Constant

    shapes = graph.shapes()
    zero = Constant(0.0)
    for node in graph.nodes:
        match node.layer:
            case Conv() as layer:
                (top, bottom), (left, right) = layer.pads(shapes[node.inputs[0]])
                if (top, left) != (bottom, right):
                    raise Unsupported("neon pads both sides of an image alike")
                yield (
                    node.name,
                    layers.Convolution(
                        (*layer.window, layer.filters),
                        strides=dict(zip(("str_h", "str_w"), layer.stride, strict=True)),
                        padding={"pad_h": top, "pad_w": left},
                        init=zero,
                    ),
                )
                if layer.bias:
                    yield node.name, layers.Bias(init=zero)
            case Dense() as layer:
                yield node.name, layers.Linear(layer.units, init=zero)
                if layer.bias:
                    yield node.name, layers.Bias(init=zero)
            case BatchNorm() as layer if layer.scale:
                yield node.name, layers.BatchNorm(rho=layer.momentum, eps=layer.epsilon)
            case MaxPool(padding="valid") as layer:
                strides = dict(zip(("str_h", "str_w"), layer.stride, strict=True))
                yield node.name, layers.Pooling(layer.window, op="max", strides=strides)
            case Activation(function="relu"):
                yield node.name, layers.Activation(transforms.Rectlin())
            case Activation(function="tanh"):
                yield node.name, layers.Activation(transforms.Tanh())
            case Flatten():
                pass
            case layer:
                raise Unsupported(f"neon's engine has no {type(layer).__name__}")
    yield "softmax", layers.Activation(transforms.Softmax())
