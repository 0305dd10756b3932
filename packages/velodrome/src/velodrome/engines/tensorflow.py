"""TensorFlow used directly: variables and one `tf.function` a step."""

from typing import Any

import numpy as np

from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches, in_sequence
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Settings
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


class TensorFlow(Engine):
    """TensorFlow: `tf.Variable`, `tf.GradientTape`, `tf.function`."""

    name = "tensorflow"
    framework = "tensorflow"
    summary = "TensorFlow without Keras, tf.function"

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """Quieter start-up messages; they change no computation."""
        return {"TF_CPP_MIN_LOG_LEVEL": "2"}

    def __init__(self, job: Job) -> None:
        import tensorflow as tf

        self._job = job
        if job.trial.settings == "tuned":
            tf.config.threading.set_intra_op_parallelism_threads(job.threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)

    def build(self) -> None:
        import tensorflow as tf

        graph, recipe = self._job.graph, self._job.trial.recipe
        self._params = {
            name: tf.Variable(tf.zeros(shape), name=name)
            for name, shape in graph.parameters().items()
        }
        self._velocity = {
            name: tf.Variable(tf.zeros_like(value)) for name, value in self._params.items()
        }
        self._rate = tf.Variable(recipe.learning_rate, dtype=tf.float32)
        self._loss_sum = tf.Variable(0.0)
        self._correct = tf.Variable(0, dtype=tf.int64)

        def losses(x: Any, y: Any) -> Any:
            logits = _apply(graph, self._params, x)
            right = tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == y, tf.int64))
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            self._loss_sum.assign_add(tf.reduce_sum(each))
            self._correct.assign_add(right)
            return tf.reduce_mean(each)

        def gradients(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = losses(x, y)
            return loss, tape.gradient(loss, self._params)

        def step(x: Any, y: Any) -> None:
            for name, gradient in gradients(x, y)[1].items():
                parameter, velocity = self._params[name], self._velocity[name]
                if recipe.weight_decay and name.endswith("/kernel"):
                    gradient += recipe.weight_decay * parameter
                if recipe.momentum:
                    velocity.assign(recipe.momentum * velocity - self._rate * gradient)
                    parameter.assign_add(velocity)
                else:
                    parameter.assign_sub(self._rate * gradient)

        signature = [
            tf.TensorSpec((None, *graph.input_shape), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ]
        self._gradients = tf.function(gradients, input_signature=signature)
        self._step = tf.function(step, input_signature=signature)
        self._check = tf.function(losses, input_signature=signature)

    def load(self, train: tuple[Inputs, Labels], validation: tuple[Inputs, Labels]) -> None:
        self._train = train
        self._validation = validation

    def set_weights(self, weights: Weights) -> None:
        for name, array in weights.items():
            self._params[name].assign(array)
            self._velocity[name].assign(np.zeros_like(array))

    def weights(self) -> Weights:
        return {name: value.numpy() for name, value in self._params.items()}

    def train(self, order: Order, learning_rate: float) -> Totals:
        self._rate.assign(learning_rate)
        return self._run(self._step, self._train, order)

    def evaluate(self) -> Totals:
        return self._run(self._check, self._validation, in_sequence(len(self._validation[1])))

    def _run(self, function: Any, data: tuple[Inputs, Labels], order: Order) -> Totals:
        import tensorflow as tf

        self._loss_sum.assign(0.0)
        self._correct.assign(0)
        x, y = data
        for index in batches(order, self._job.trial.batch_size):
            function(tf.constant(x[index]), tf.constant(y[index]))
        samples = len(order)
        return Totals(float(self._loss_sum) / samples, int(self._correct) / samples)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        import tensorflow as tf

        x, y = self._train
        loss, gradients = self._gradients(tf.constant(x[order]), tf.constant(y[order]))
        return float(loss), {name: value.numpy() for name, value in gradients.items()}

    def ledger(self) -> Ledger:
        import tensorflow as tf

        tuned = self._job.trial.settings == "tuned"
        return Ledger(
            dtype=next(iter(self._params.values())).dtype.name,
            compile_mode="tf.function",
            threads=self._job.threads if tuned else None,
            memory_format="channels last",
            data_path="arrays in memory, indexed, copied to a tensor a batch",
            variables=self.variables(self._job.trial.settings, self._job.threads),
            versions={"tensorflow": tf.__version__, "numpy": np.__version__},
            device=tf.config.list_logical_devices()[0].name,
        )


ENGINES = (TensorFlow,)


def _apply(graph: Graph, params: dict[str, Any], x: Any) -> Any:
    """Logits of the graph for a batch of inputs."""
    values = {"input": x}
    for node in graph.nodes:
        own = {
            name.split("/")[1]: variable
            for name, variable in params.items()
            if name.startswith(f"{node.name}/")
        }
        values[node.name] = _compute(node.layer, own, *(values[name] for name in node.inputs))
    return values[graph.nodes[-1].name]


def _compute(layer: AnyLayer, own: dict[str, Any], x: Any) -> Any:
    import tensorflow as tf

    match layer:
        case Conv2D():
            convolved = tf.nn.conv2d(x, own["kernel"], strides=1, padding=layer.padding.upper())
            return tf.nn.bias_add(convolved, own["bias"])
        case MaxPool2D():
            return tf.nn.max_pool2d(x, layer.pool, layer.stride, padding="VALID")
        case Flatten():
            return tf.reshape(x, (tf.shape(x)[0], x.shape[1] * x.shape[2] * x.shape[3]))
        case Dense():
            return tf.nn.bias_add(tf.matmul(x, own["kernel"]), own["bias"])
        case Activation(function="relu"):
            return tf.nn.relu(x)
        case Activation(function="tanh"):
            return tf.tanh(x)
