"""PyTorch used directly: an eager training loop, channels last in memory when tuned."""

import contextlib
import math
import os
import sys
from typing import Any

import numpy as np

from velodrome.devices import Devices
from velodrome.engines import channels_first, libraries
from velodrome.engines.base import LOSS_SCALE, Engine, Inputs, Labels, Order, Totals, dtype_in_use
from velodrome.engines.batches import batches, in_sequence, parts
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Trial
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
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON, decays


class Torch(Engine):
    """PyTorch: `torch.nn.functional`, autograd, `torch.optim`."""

    name = "torch"
    framework = "torch"
    summary = "PyTorch, eager, its own optimizers"
    dtypes = ("float32", "tf32", "float64", "bfloat16", "float16")
    one_machine = ""

    @classmethod
    def processes(cls, trial: Trial) -> int:
        """One a device, as DistributedDataParallel has it."""
        return Devices.parse(trial.devices).total

    def __init__(self, job: Job) -> None:
        import torch

        super().__init__(job)
        self._tuned = job.trial.settings == "tuned"
        if self._tuned:
            torch.set_num_threads(max(1, job.threads // len(self.own)))
        self._rank = _join("nccl" if self.gpus else "gloo") if self.replicas > 1 else 0
        self._device = torch.device("cpu")
        if self.gpus:
            self._device = torch.device("cuda", self._rank - self.own.start)
            torch.cuda.set_device(self._device)
            allow_tf32(job.trial.dtype == "tf32")
            torch.backends.cudnn.benchmark = self._tuned
        self._dtype = torch.float64 if job.trial.dtype == "float64" else torch.float32
        # What autocast is told to compute in; None where all is in the parameters' dtype.
        self._narrow = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.arithmetic)

    def build(self) -> None:
        import torch

        trained = self.graph.parameters()
        self._arrays: dict[str, Any] = {
            name: torch.nn.Parameter(self._zero(array.shape))
            if name in trained
            else self._zero(array.shape)
            for name, array in channels_first.from_graph(self.graph, self._zeros()).items()
        }
        if self._tuned:
            for array in self._arrays.values():
                if array.ndim == 4:
                    array.data = array.data.contiguous(memory_format=torch.channels_last)
        self._own = by_node(self._arrays)
        self._parameters = {name: self._arrays[name] for name in trained}

        def trained_on(x: Any, y: Any) -> Any:
            return self._loss(self._apply(x, training=True), y)

        # Gradients of its processes come averaged, its first process's statistics are everyone's.
        self._trained_on: Any = (
            torch.nn.parallel.DistributedDataParallel(_module(self._arrays, trained_on))
            if self.replicas > 1
            else trained_on
        )

    def waited(self) -> float | None:
        """By DistributedDataParallel's own log, of the first ten steps and each hundredth one."""
        if self.replicas == 1:
            return None
        log = self._trained_on._get_ddp_logging_data()
        hidden = log["avg_backward_compute_comm_overlap_time"]
        return float(log["avg_backward_comm_time"] - hidden) / 1e9

    def _zero(self, shape: tuple[int, ...] = ()) -> Any:
        import torch

        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def _zeros(self) -> Weights:
        return {n: np.zeros(each.shape, np.float32) for n, each in self.graph.arrays().items()}

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = self._tensors(x, y)

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = self._tensors(x, y)

    def _tensors(self, x: Inputs, y: Labels) -> tuple[Any, Any]:
        """Images kept as the model reads them: a view with channels first, of either order."""
        import torch

        inputs, labels = torch.from_numpy(x), torch.from_numpy(y).long()
        if inputs.ndim == 4:
            inputs = inputs.to(self._dtype)
            if not self._tuned:
                inputs = inputs.permute(0, 3, 1, 2).contiguous()
        if self.graph.binary():
            labels = labels.to(self._dtype)
        return inputs.to(self._device), labels.to(self._device)

    def _batch(self, data: tuple[Any, Any], order: Order) -> tuple[Any, Any]:
        import torch

        index = torch.from_numpy(order).to(self._device)
        x, y = data[0][index], data[1][index]
        return x.permute(0, 3, 1, 2) if self._tuned and x.ndim == 4 else x, y

    def set_weights(self, weights: Weights) -> None:
        import torch

        with torch.no_grad():
            for name, array in channels_first.from_graph(self.graph, weights).items():
                self._arrays[name].copy_(torch.from_numpy(array))
        torch.manual_seed(self.job.trial.seed)
        recipe = self.job.trial.recipe
        decaying: list[Any] = []
        others: list[Any] = []
        for name, value in self._parameters.items():
            (decaying if recipe.weight_decay and decays(name) else others).append(value)
        groups = [
            {"params": params, "weight_decay": decay}
            for params, decay in ((decaying, recipe.weight_decay), (others, 0.0))
            if params  # each group is a kernel call of its own
        ]
        fused = self._tuned or None
        self._optimizer: Any
        if recipe.optimizer == "adam":
            self._optimizer = torch.optim.Adam(
                groups, lr=recipe.learning_rate, betas=(BETA_1, BETA_2), eps=EPSILON, fused=fused
            )
        else:
            self._optimizer = torch.optim.SGD(
                groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=fused
            )
        # Without a loss scale, it does nothing.
        self._scaler = torch.amp.GradScaler(
            self._device.type, LOSS_SCALE, growth_interval=2**31 - 1, enabled=self.scales_loss
        )
        self._steps = 0

    def weights(self) -> Weights:
        arrays = {name: value.detach().cpu().numpy() for name, value in self._arrays.items()}
        return channels_first.to_graph(self.graph, arrays)

    def train(self, order: Order, learning_rate: float) -> Totals:
        self._set_learning_rate(learning_rate)
        loss_sum = self._zero()
        correct = self._zero().long()
        for index in batches(order, self.job.trial.batch_size):
            loss, right = self._differentiate(index)
            self._step()
            loss_sum += loss
            correct += right
        return self._totals(loss_sum, correct, len(order))

    def _differentiate(self, batch: Order) -> tuple[Any, Any]:
        """Add the gradient of the batch's mean loss to the parameters'.

        Returns:
            Of this process's part of the batch: the sum of losses, and the number told right.
        """
        part = parts(batch, self.replicas)[self._rank]
        loss, right = self._trained_on(*self._batch(self._train, part))
        if self.replicas > 1:
            # Averaged over the processes, whatever the sizes of their parts.
            share = self.replicas * len(part) / len(batch)
            self._scaler.scale(loss * share).backward()
        else:
            self._scaler.scale(loss).backward()
        return loss.detach() * len(part), right

    def _totals(self, loss_sum: Any, correct: Any, samples: int) -> Totals:
        """Added up over the processes."""
        import torch

        totals = torch.stack((loss_sum.double(), correct.double()))
        if self.replicas > 1:
            torch.distributed.all_reduce(totals)
        loss, right = totals.tolist()
        return Totals(loss / samples, right / samples)

    def _step(self) -> None:
        """PyTorch's Adam adds epsilon behind its correction, the recipe's before it."""
        self._steps += 1
        if self.job.trial.recipe.optimizer == "adam":
            for group in self._optimizer.param_groups:
                group["eps"] = EPSILON / math.sqrt(1.0 - BETA_2**self._steps)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        # Here and not before the next step, which is slower (docs/measurement.md).
        self._optimizer.zero_grad(set_to_none=True)

    def _set_learning_rate(self, learning_rate: float) -> None:
        """PyTorch keeps the velocity divided by -learning_rate: rescale it with the rate."""
        for group in self._optimizer.param_groups:
            factor = group["lr"] / learning_rate
            group["lr"] = learning_rate
            for parameter in group["params"]:
                velocity = self._optimizer.state[parameter].get("momentum_buffer")
                if velocity is not None and factor != 1.0:
                    velocity.mul_(factor)

    def evaluate(self) -> Totals:
        import torch

        samples = len(self._validation[1])
        loss_sum = self._zero()
        correct = self._zero().long()
        with torch.inference_mode():
            for index in batches(in_sequence(samples), self.job.trial.batch_size):
                part = parts(index, self.replicas)[self._rank]
                if len(part):
                    x, y = self._batch(self._validation, part)
                    loss, right = self._loss(self._apply(x, training=False), y)
                    loss_sum += loss * len(part)
                    correct += right
        return self._totals(loss_sum, correct, samples)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        kept = {n: value.clone() for n, value in self._arrays.items() if not value.requires_grad}
        loss_sum, right = self._differentiate(order)
        self._scaler.unscale_(self._optimizer)
        self._scaler.update()
        for name, value in kept.items():
            self._arrays[name].copy_(value)
        arrays = {}
        for name, parameter in self._parameters.items():
            arrays[name] = parameter.grad.cpu().numpy()
            parameter.grad = None
        loss = self._totals(loss_sum, right, len(order)).loss
        return loss, channels_first.to_graph(self.graph, arrays)

    def _loss(self, logits: Any, y: Any) -> tuple[Any, Any]:
        """Mean cross-entropy, and the number told right."""
        from torch.nn import functional

        if self.graph.binary():
            logit = logits[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logit, y)
            return loss, ((logit > 0) == (y > 0)).sum()
        return functional.cross_entropy(logits, y), (logits.argmax(1) == y).sum()

    def _apply(self, x: Any, *, training: bool) -> Any:
        """Logits for a batch; while training, moving statistics move."""
        import torch

        values = {"input": x}
        narrow, device = self._narrow, self._device.type
        with torch.autocast(device, narrow) if narrow else contextlib.nullcontext():
            for node in self.graph.nodes:
                inputs = [values[name] for name in node.inputs]
                own = self._own.get(node.name, {})
                values[node.name] = _compute(node.layer, own, inputs, training)
        return values[self.graph.nodes[-1].name].to(self._dtype)

    def ledger(self) -> Ledger:
        import torch

        held = {_word(each.dtype) for each in self._arrays.values()}
        tf32 = self.gpus and libraries.tf32(self.framework)
        return Ledger(
            dtype=dtype_in_use({_word(self._narrow)} if self._narrow else held, held, tf32=tf32),
            compile_mode="eager" + (", DistributedDataParallel" if self.replicas > 1 else ""),
            threads=libraries.threads(self.framework),
            memory_format="channels last" if self._tuned else "channels first",
            data_path="tensors in memory, indexed",
            variables={},
            versions={
                "torch": str(torch.__version__),
                "numpy": np.__version__,
                **libraries.versions(self.framework, self.gpus),
            },
            device=self._devices(),
            tf32=tf32 if self.gpus else None,
            determinism="deterministic algorithms "
            + ("only" if torch.are_deterministic_algorithms_enabled() else "not asked for"),
            notes=(
                f"oneDNN {'available' if torch.backends.mkldnn.is_available() else 'missing'}",
                f"{'fused ' if self._tuned else ''}{type(self._optimizer).__name__}",
                *_normalisation(self.graph, self.replicas),
                *self.scaling,
                *self._wide(),
            ),
        )

    def _wide(self) -> tuple[str, ...]:
        """What stays in float32 though the rest is narrow."""
        import torch

        if self._narrow == torch.float16 and not self.gpus and self.graph.has(LSTM):
            return ("LSTM in float32: on a CPU PyTorch has none in float16",)
        return ()

    def _devices(self) -> str:
        import torch

        here, machines = len(self.own), self.replicas // len(self.own)
        names = "cpu"
        if self.gpus:
            # Those of other machines cannot be seen from here.
            names = ", ".join(torch.cuda.get_device_name(each) for each in range(here))
        if self.replicas == 1:
            return names
        of = f" on one of {machines} machines" if machines > 1 else ""
        return f"{names}{of}, {self.replicas} processes, {torch.distributed.get_backend()}"


ENGINES = (Torch,)


def _word(dtype: Any) -> str:
    """`float32`, where PyTorch says `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def allow_tf32(allowed: bool) -> None:
    """Whether GPUs may round what they multiply in float32; PyTorch lets convolutions, unasked."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _normalisation(graph: Graph, replicas: int) -> tuple[str, ...]:
    """How batch normalisation works on several devices."""
    if replicas == 1 or not graph.has(BatchNorm):
        return ()
    return ("batch normalisation per device; the first one's moving statistics count",)


def _join(backend: str) -> int:
    """Meet the trial's other processes by the variables of torchrun; gives the rank."""
    import torch

    if sys.platform == "linux" and os.environ["MASTER_ADDR"] == "127.0.0.1":
        # All are on this machine, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = torch.distributed.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        processes,
        is_master=rank == 0,
        master_listen_fd=int(os.environ["MASTER_LISTENS"]) if rank == 0 else None,
    )
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=processes)
    return rank


def _module(arrays: dict[str, Any], function: Any) -> Any:
    """A module with these arrays that computes this function."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in arrays.items():
                if isinstance(array, torch.nn.Parameter):
                    self.register_parameter(name.replace("/", "__"), array)
                else:
                    self.register_buffer(name.replace("/", "__"), array)

        def forward(self, x: Any, y: Any) -> Any:
            return function(x, y)

    return Module()


def _compute(layer: AnyLayer, own: dict[str, Any], inputs: list[Any], training: bool) -> Any:
    """One layer: images are (n, channels, height, width), sequences (n, length, channels)."""
    import torch
    from torch.nn import functional

    x = inputs[0]
    image = x.ndim == 4
    match layer:
        case Conv():
            convolve = functional.conv2d if image else functional.conv1d
            kernel, bias = own["kernel"], own.get("bias")
            return _windowed(
                layer, x, 0.0, lambda x, pads: convolve(x, kernel, bias, layer.stride, pads)
            )
        case MaxPool():
            pool = functional.max_pool2d if image else functional.max_pool1d
            return _windowed(
                layer, x, -math.inf, lambda x, pads: pool(x, layer.window, layer.stride, pads)
            )
        case AveragePool():
            mean = functional.avg_pool2d if image else functional.avg_pool1d

            def pooled(x: Any) -> Any:
                return _windowed(
                    layer, x, 0.0, lambda x, pads: mean(x, layer.window, layer.stride, pads)
                )

            if layer.padding == "valid":
                return pooled(x)
            return pooled(x) / pooled(torch.ones_like(x[:1]))
        case GlobalAveragePool():
            return x.mean((2, 3) if image else 1)
        case ZeroPad():
            return functional.pad(x, (*layer.pads[1], *layer.pads[0]))
        case Upsample():
            return functional.interpolate(x, scale_factor=layer.factor, mode="nearest")
        case Flatten():
            return x.flatten(1)
        case Add():
            return sum(inputs[1:], x)
        case Concatenate():
            return torch.cat(inputs, 1 if image else -1)
        case Dense():
            return functional.linear(x, own["kernel"], own.get("bias"))
        case Activation():
            return getattr(torch, layer.function)(x)
        case Dropout():
            return functional.dropout(x, layer.rate, training)
        case BatchNorm():
            if x.ndim == 3:
                return _batch_norm(layer, own, x.mT, training).mT
            return _batch_norm(layer, own, x, training)
        case LayerNorm():
            return functional.layer_norm(x, x.shape[-1:], own["gamma"], own["beta"], layer.epsilon)
        case Embedding():
            return functional.embedding(x, own["embeddings"])
        case PositionEmbedding():
            return x + own["embeddings"]
        case LSTM():
            return _lstm(own, x, training)
        case SelfAttention():
            q, k, v = (
                functional.linear(x, own[f"{role}_kernel"])
                .unflatten(-1, (layer.heads, -1))
                .transpose(1, 2)
                for role in ("query", "key", "value")
            )
            attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            return functional.linear(attended, own["output_kernel"])
    raise TypeError(f"no layer of PyTorch for {layer}")


def _windowed(layer: Windowed, x: Any, filler: float, function: Any) -> Any:
    """Apply a function of (inputs with channels first, padding on both sides of each axis).

    PyTorch pads both sides alike; an odd pad is put there before.
    """
    from torch.nn import functional

    if x.ndim == 3:
        x = x.mT
    pads = layer.pads((*x.shape[2:], x.shape[1]))
    even = [after for before, after in pads if before == after]
    if len(even) < len(pads):
        around = [pad for axis in reversed(pads) for pad in axis]
        x, even = functional.pad(x, around, value=filler), [0] * len(pads)
    y = function(x, even)
    return y.mT if y.ndim == 3 else y


def _lstm(own: dict[str, Any], x: Any, training: bool) -> Any:
    """The last state; PyTorch's gates come in the graph's order, its second bias stays at zero."""
    import torch

    arrays = own["kernel"], own["recurrent_kernel"], own["bias"], torch.zeros_like(own["bias"])
    wide: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if x.device.type == "cpu" and torch.get_autocast_dtype("cpu") == torch.float16:
        # oneDNN has an LSTM for float32 and bfloat16 alone.
        wide, x = torch.autocast("cpu", enabled=False), x.to(own["bias"].dtype)
    with wide:
        state = x.new_zeros(1, len(x), len(own["bias"]) // 4)
        _, h, _ = torch.lstm(x, (state, state), arrays, True, 1, 0.0, training, False, True)
    return h[0]


def _batch_norm(layer: BatchNorm, own: dict[str, Any], x: Any, training: bool) -> Any:
    """PyTorch's moving variance divides by one value less than the graph's: set right after."""
    from torch.nn import functional

    mean, variance = own["moving_mean"], own["moving_variance"]
    before = variance * layer.momentum if training else None
    y = functional.batch_norm(
        x,
        mean,
        variance,
        own.get("gamma"),
        own["beta"],
        training,
        1.0 - layer.momentum,
        layer.epsilon,
    )
    if before is not None:
        # By `data`, since autograd keeps the statistics, though in training it does not use them.
        variance.data.lerp_(before, x.shape[1] / x.numel())
    return y
