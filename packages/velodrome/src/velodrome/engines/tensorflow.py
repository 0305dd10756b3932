"""TensorFlow used directly: variables and one `tf.function` a step."""

import json
import os
from typing import Any

import numpy as np

from velodrome.devices import Devices
from velodrome.engines import libraries
from velodrome.engines.base import LOSS_SCALE, Engine, Inputs, Labels, Order, Totals, dtype_in_use
from velodrome.engines.batches import batches, in_sequence, parts
from velodrome.job import Job, Meeting
from velodrome.record import Ledger
from velodrome.trial import Settings, Trial
from velodrome.workloads.graph import Weights, by_node
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
    ZeroPad,
)
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON, decays


def set_threads(threads: int, replicas: int) -> None:
    """As many threads within an operation, one operation at a time on each replica.

    To be called before TensorFlow starts.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(replicas)


class TensorFlow(Engine):
    """TensorFlow: `tf.Variable`, `tf.GradientTape`, `tf.function`."""

    name = "tensorflow"
    framework = "tensorflow"
    summary = "TensorFlow without Keras, tf.function"
    dtypes = ("float32", "tf32", "bfloat16", "float16")
    one_machine = ""

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """As for every engine; and on several machines TensorFlow takes one CPU of each."""
        devices = Devices.parse(trial.devices)
        if devices.machines > 1 and devices.kind == "cpu" and devices.count > 1:
            return (
                "MultiWorkerMirroredStrategy trains on the GPUs of each machine or on its one "
                f"CPU, not on {devices.count} replicas there: write {devices.machines}xcpu"
            )
        return super().unsupported(trial)

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """Quieter start-up messages; they change no computation."""
        return {"TF_CPP_MIN_LOG_LEVEL": "2"}

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if job.trial.settings == "tuned":
            set_threads(job.threads, len(self.own))
        if self.gpus:
            prepare_gpus(job.trial.dtype)
        self._strategy = (
            _over_machines(job.meeting) if job.meeting else mirrored(self.replicas, self.gpus)
        )

    def build(self) -> None:
        import tensorflow as tf

        tf.random.set_seed(self.job.trial.seed)
        self._compute = tf.as_dtype(self.arithmetic)
        with self._strategy.scope():
            self._make_variables()

        def differentiated(x: Any, y: Any, samples: Any) -> Any:
            """Of the part of a batch of so many samples that a replica has."""
            with tf.GradientTape() as tape:
                logits, moved = self._apply(x, training=True)
                loss = tf.reduce_sum(self._losses(logits, y)) / samples
                scaled = loss * LOSS_SCALE if self.scales_loss else loss
            found = tape.gradient(scaled, self._parameters)
            gradients = {name: tf.convert_to_tensor(each) for name, each in found.items()}
            if self.scales_loss:
                gradients = {name: each / LOSS_SCALE for name, each in gradients.items()}
            return loss, gradients, moved

        def step(x: Any, y: Any, samples: Any) -> None:
            _, gradients, moved = differentiated(x, y, samples)
            replica = tf.distribute.get_replica_context()
            replica.merge_call(self._update, (gradients, moved))

        def check(x: Any, y: Any, samples: Any) -> None:
            self._losses(self._apply(x, training=False)[0], y)

        def gradients(x: Any, y: Any, samples: Any) -> Any:
            loss, found, _ = differentiated(x, y, samples)
            return tf.distribute.get_replica_context().all_reduce("sum", (loss, found))

        self._gradients = self._compiled(gradients)
        self._step = self._compiled(step)
        self._check = self._compiled(check)

    def _make_variables(self) -> None:
        import tensorflow as tf

        trained = self.graph.parameters()
        self._arrays = {
            name: tf.Variable(tf.zeros(array.shape), trainable=name in trained)
            for name, array in self.graph.arrays().items()
        }
        self._parameters = {name: self._arrays[name] for name in trained}
        moments = {"adam": 2, "sgd": 1}[self.job.trial.recipe.optimizer]
        self._moments = [
            {name: tf.Variable(tf.zeros(value.shape)) for name, value in self._parameters.items()}
            for _ in range(moments)
        ]
        self._steps = tf.Variable(0.0)
        self._rate = tf.Variable(self.job.trial.recipe.learning_rate, dtype=tf.float32)
        # Each replica adds up its own; read, they are added together.
        own = {
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.SUM,
        }
        self._loss_sum = tf.Variable(0.0, **own)
        self._correct = tf.Variable(0.0, dtype=tf.float64, **own)

    def _compiled(self, function: Any) -> Any:
        """A `tf.function` of inputs, labels and the batch's number of samples."""
        import tensorflow as tf

        if self.replicas > 1:
            return tf.function(lambda *parts: self._strategy.run(function, parts))
        kind = tf.int32 if self.graph.vocabulary() else tf.float32
        signature = [
            tf.TensorSpec((None, *self.graph.input_shape), kind),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((), tf.float32),
        ]
        return tf.function(function, input_signature=signature)

    def _losses(self, logits: Any, y: Any) -> Any:
        """Cross-entropy of each sample; adds to the totals of the pass."""
        import tensorflow as tf

        if self.graph.binary():
            logit = logits[:, 0]
            right = (logit > 0) == (y > 0)
            each = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(y, logit.dtype), logit)
        else:
            right = tf.argmax(logits, 1, tf.int32) == y
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        self._loss_sum.assign_add(tf.reduce_sum(each))
        self._correct.assign_add(tf.reduce_sum(tf.cast(right, tf.float64)))
        return each

    def _update(self, strategy: Any, gradients: dict[str, Any], moved: dict[str, Any]) -> None:
        """One step of the recipe's optimizer, by its formulas, on all replicas at once.

        Args:
            strategy: what the replicas belong to.
            gradients: each replica's part of the gradient of the batch's mean loss.
            moved: moving statistics as each replica has them; their mean is taken.
        """
        import tensorflow as tf

        extended, add, mean = (
            strategy.extended,
            tf.distribute.ReduceOp.SUM,
            tf.distribute.ReduceOp.MEAN,
        )
        self._steps.assign_add(1.0)
        steps, rate = self._steps.read_value(), self._rate.read_value()
        correction = tf.sqrt(1.0 - BETA_2**steps) / (1.0 - BETA_1**steps)
        pairs = [(gradient, self._parameters[name]) for name, gradient in gradients.items()]
        reduced = extended.batch_reduce_to(add, pairs) if pairs else []
        for name, gradient in zip(gradients, reduced, strict=True):
            moments = [each[name] for each in self._moments]
            arguments = (decays(name), gradient, rate, correction, *moments)
            extended.update(self._parameters[name], self._step_along, arguments)
        for name, value in moved.items():
            array = self._arrays[name]
            extended.update(array, _assign, (extended.reduce_to(mean, value, array),))

    def _step_along(
        self,
        parameter: Any,
        decayed: bool,
        gradient: Any,
        rate: Any,
        correction: Any,
        *moments: Any,
    ) -> None:
        """The step of one array on one replica."""
        import tensorflow as tf

        recipe = self.job.trial.recipe
        if recipe.weight_decay and decayed:
            gradient += recipe.weight_decay * parameter
        if recipe.optimizer == "adam":
            first, second = moments
            first.assign(BETA_1 * first + (1 - BETA_1) * gradient)
            second.assign(BETA_2 * second + (1 - BETA_2) * gradient * gradient)
            parameter.assign_sub(rate * correction * first / (tf.sqrt(second) + EPSILON))
        elif recipe.momentum:
            (velocity,) = moments
            velocity.assign(recipe.momentum * velocity - rate * gradient)
            parameter.assign_add(velocity)
        else:
            parameter.assign_sub(rate * gradient)

    def _apply(self, x: Any, *, training: bool) -> tuple[Any, dict[str, Any]]:
        """Logits for a batch, and what the moving statistics become by it."""
        import tensorflow as tf

        arrays = by_node(self._arrays)
        values = {"input": x}
        moved: dict[str, Any] = {}
        for node in self.graph.nodes:
            own = arrays.get(node.name, {})
            inputs = [values[name] for name in node.inputs]
            match node.layer:
                case BatchNorm() as layer:
                    value, statistics = _batch_norm(layer, own, inputs[0], training)
                    moved |= {f"{node.name}/{name}": each for name, each in statistics.items()}
                case Dropout(rate=rate):
                    value = tf.nn.dropout(inputs[0], rate) if training and rate else inputs[0]
                case layer:
                    value = _compute(layer, own, inputs, self._compute)
            values[node.name] = value
        return tf.cast(values[self.graph.nodes[-1].name], tf.float32), moved

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = x, y

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = x, y

    def set_weights(self, weights: Weights) -> None:
        for name, array in weights.items():
            self._arrays[name].assign(array)
        for moment in self._moments:
            for variable in moment.values():
                variable.assign(np.zeros(variable.shape, np.float32))
        self._steps.assign(0.0)

    def weights(self) -> Weights:
        return {name: value.numpy() for name, value in self._arrays.items()}

    def train(self, order: Order, learning_rate: float) -> Totals:
        self._rate.assign(learning_rate)
        return self._run(self._step, self._train, order)

    def evaluate(self) -> Totals:
        return self._run(self._check, self._validation, in_sequence(len(self._validation[1])))

    def _run(self, function: Any, data: tuple[Inputs, Labels], order: Order) -> Totals:
        self._loss_sum.assign(0.0)
        self._correct.assign(0.0)
        for index in batches(order, self.job.trial.batch_size):
            function(*self._shared(data, index))
        samples = len(order)
        loss, correct = (float(each.read_value()) for each in (self._loss_sum, self._correct))
        return Totals(loss / samples, correct / samples)

    def _shared(self, data: tuple[Inputs, Labels], batch: Order) -> tuple[Any, Any, Any]:
        """Inputs and labels of a batch, a part a replica, and its number of samples."""
        import tensorflow as tf

        samples = tf.constant(len(batch), tf.float32)
        if self.replicas == 1:
            return (*(tf.constant(array[batch]) for array in data), samples)
        own = parts(batch, self.replicas)
        x, y = (
            self._strategy.experimental_distribute_values_from_function(
                lambda replica, array=array: tf.constant(
                    array[own[replica.replica_id_in_sync_group]]
                )
            )
            for array in data
        )
        return x, y, samples

    def gradients(self, order: Order) -> tuple[float, Weights]:
        loss, gradients = self._gradients(*self._shared(self._train, order))
        first = {name: self._first(each) for name, each in gradients.items()}
        return float(self._first(loss)), first

    def _first(self, value: Any) -> Any:
        """What the first replica has."""
        return self._strategy.experimental_local_results(value)[0].numpy()

    def ledger(self) -> Ledger:
        import tensorflow as tf

        tf32 = self.gpus and libraries.tf32(self.framework)
        return Ledger(
            dtype=dtype_in_use(
                {self._compute.name},
                {each.dtype.name for each in self._arrays.values()},
                tf32=tf32,
            ),
            compile_mode=f"tf.function{self._shares()}",
            threads=libraries.threads(self.framework),
            memory_format="channels last",
            data_path="arrays in memory, indexed, copied to a tensor a batch",
            variables=self.variables(self.job.trial.settings, self.job.threads),
            versions={
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
                **libraries.versions(self.framework, self.gpus),
            },
            device=", ".join(each.name for each in tf.config.list_logical_devices()),
            tf32=tf32 if self.gpus else None,
            determinism="op determinism not asked for",
            notes=(
                *(
                    ("batch normalisation per device; moving statistics averaged each step",)
                    if self.replicas > 1 and self.graph.has(BatchNorm)
                    else ()
                ),
                *self.scaling,
                *self._wide(),
            ),
        )

    def _wide(self) -> tuple[str, ...]:
        """What stays in float32 though the rest is narrow."""
        narrow = self.job.trial.dtype == "bfloat16"
        return ("LSTM in float32",) if narrow and self.graph.has(LSTM) else ()

    def _shares(self) -> str:
        if self.replicas == 1:
            return ""
        return ", MultiWorkerMirroredStrategy" if self.job.meeting else ", MirroredStrategy"


ENGINES = (TensorFlow,)


def prepare_gpus(dtype: str) -> None:
    """Take memory as it is needed, and TF32 as it is asked for; before TensorFlow starts."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(dtype == "tf32")


def mirrored(replicas: int, gpus: bool) -> Any:
    """A strategy over so many GPUs or logical CPUs; to be made before TensorFlow does anything."""
    import tensorflow as tf

    if replicas == 1:
        return tf.distribute.get_strategy()
    if gpus:
        return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(replicas)])
    (cpu,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(cpu, logical)
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])


def _over_machines(meeting: Meeting) -> Any:
    """A strategy over the GPUs, or the CPU, of each machine; to be made as `mirrored` is."""
    import tensorflow as tf

    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": meeting.addresses},
            "task": {"type": "worker", "index": meeting.number},
        }
    )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _assign(variable: Any, value: Any) -> None:
    variable.assign(value)


def _batch_norm(
    layer: BatchNorm, own: dict[str, Any], x: Any, training: bool
) -> tuple[Any, dict[str, Any]]:
    """TensorFlow's fused kernel, which takes images: others are made images of width one.

    Its variance for the moving statistic divides by one value less than the graph's.
    """
    import tensorflow as tf

    channels = x.shape[-1]
    image = x if len(x.shape) == 4 else tf.reshape(x, (-1, 1, 1, channels))
    arrays = {name: tf.convert_to_tensor(variable) for name, variable in own.items()}
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        image,
        arrays["gamma"] if layer.scale else tf.ones(channels),
        arrays["beta"],
        None if training else arrays["moving_mean"],
        None if training else arrays["moving_variance"],
        epsilon=layer.epsilon,
        is_training=training,
    )
    y = tf.reshape(y, tf.shape(x))
    y.set_shape(x.shape)
    if not training:
        return y, {}
    values = tf.cast(tf.size(image) // channels, tf.float32)
    keep = layer.momentum
    return y, {
        "moving_mean": keep * arrays["moving_mean"] + (1 - keep) * mean,
        "moving_variance": keep * arrays["moving_variance"]
        + (1 - keep) * variance * (values - 1.0) / values,
    }


def _compute(layer: AnyLayer, own: dict[str, Any], inputs: list[Any], compute: Any) -> Any:
    """One layer; products and convolutions in the dtype `compute`."""
    import tensorflow as tf

    def array(name: str) -> Any:
        return tf.cast(own[name], compute)

    x = inputs[0]
    match layer:
        case Conv():
            y = tf.nn.convolution(
                tf.cast(x, compute), array("kernel"), layer.stride, layer.padding.upper()
            )
            return tf.nn.bias_add(y, array("bias")) if layer.bias else y
        case MaxPool():
            return tf.nn.max_pool(x, layer.window, layer.stride, layer.padding.upper())
        case AveragePool():
            return tf.nn.avg_pool(x, layer.window, layer.stride, layer.padding.upper())
        case GlobalAveragePool():
            return tf.reduce_mean(x, list(range(1, len(x.shape) - 1)))
        case ZeroPad():
            return tf.pad(x, ((0, 0), *layer.pads, (0, 0)))
        case Upsample():
            return tf.repeat(tf.repeat(x, layer.factor, 1), layer.factor, 2)
        case Flatten():
            return tf.reshape(x, (-1, int(np.prod(x.shape[1:]))))
        case Add():
            return tf.add_n(_of_one_dtype(inputs))
        case Concatenate():
            return tf.concat(_of_one_dtype(inputs), -1)
        case Dense():
            y = tf.matmul(tf.cast(x, compute), array("kernel"))
            return tf.nn.bias_add(y, array("bias")) if layer.bias else y
        case Activation():
            return {"relu": tf.nn.relu, "tanh": tf.tanh, "sigmoid": tf.sigmoid}[layer.function](x)
        case LayerNorm():
            wide = tf.cast(x, tf.float32)
            mean, variance = tf.nn.moments(wide, -1, keepdims=True)
            y = tf.nn.batch_normalization(
                wide, mean, variance, own["beta"], own["gamma"], layer.epsilon
            )
            return tf.cast(y, x.dtype)
        case Embedding():
            return tf.nn.embedding_lookup(own["embeddings"], x)
        case PositionEmbedding():
            return x + tf.cast(own["embeddings"], x.dtype)
        case LSTM():
            # Its fused kernel takes no bfloat16.
            wide = tf.float32 if compute == tf.bfloat16 else compute
            kernel, recurrent, bias = (
                tf.cast(own[name], wide) for name in ("kernel", "recurrent_kernel", "bias")
            )
            return _lstm(kernel, recurrent, bias, x)
        case SelfAttention():
            heads = (-1, x.shape[1], layer.heads, x.shape[2] // layer.heads)
            x = tf.cast(x, compute)
            q, k, v = (
                tf.transpose(tf.reshape(tf.matmul(x, array(f"{role}_kernel")), heads), (0, 2, 1, 3))
                for role in ("query", "key", "value")
            )
            scores = tf.nn.softmax(tf.matmul(q * heads[3] ** -0.5, k, transpose_b=True))
            attended = tf.transpose(tf.matmul(scores, v), (0, 2, 1, 3))
            return tf.matmul(tf.reshape(attended, (-1, *x.shape[1:])), array("output_kernel"))
    raise TypeError(f"no layer of TensorFlow for {layer}")


def _of_one_dtype(arrays: list[Any]) -> list[Any]:
    """Some may be of a narrow dtype, others behind what stays in float32."""
    import tensorflow as tf

    if len({each.dtype for each in arrays}) == 1:
        return arrays
    return [tf.cast(each, tf.float32) for each in arrays]


def _lstm(kernel: Any, recurrent_kernel: Any, bias: Any, x: Any) -> Any:
    """TensorFlow's fused kernel for a block of steps, whose gates come as i, g, f, o.

    The first version of the kernel: the gradient of the second takes its gates to be in the
    first one's order.
    """
    import tensorflow as tf

    def reordered(array: Any) -> Any:
        i, f, g, o = tf.split(array, 4, -1)
        return tf.concat((i, g, f, o), -1)

    x = tf.transpose(tf.cast(x, kernel.dtype), (1, 0, 2))
    units = recurrent_kernel.shape[0]
    zeros = tf.zeros((tf.shape(x)[1], units), x.dtype)
    peephole = tf.zeros(units, x.dtype)
    outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(x)[0], tf.int64),
        x=x,
        cs_prev=zeros,
        h_prev=zeros,
        w=reordered(tf.concat((kernel, recurrent_kernel), 0)),
        wci=peephole,
        wcf=peephole,
        wco=peephole,
        b=reordered(bias),
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return outputs.h[-1]
