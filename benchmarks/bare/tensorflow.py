"""TensorFlow: variables, `tf.GradientTape` and a `tf.function`, as in its training guides."""

import tensorflow as tf


def trainer(x, y, batch_size, threads, learning_rate):
    init = tf.keras.initializers.GlorotUniform(seed=0)
    shapes = ((5, 5, 1, 20), (5, 5, 20, 50), (7 * 7 * 50, 500), (500, 10))
    kernels = [tf.Variable(init(shape)) for shape in shapes]
    biases = [tf.Variable(tf.zeros(shape[-1])) for shape in shapes]
    variables = [*kernels, *biases]
    total_loss, correct = tf.Variable(0.0), tf.Variable(0, dtype=tf.int64)

    def model(images):
        for kernel, bias in zip(kernels[:2], biases[:2], strict=True):
            images = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias))
            images = tf.nn.max_pool2d(images, 2, 2, "VALID")
        flat = tf.reshape(images, (-1, 7 * 7 * 50))
        hidden = tf.nn.relu(tf.matmul(flat, kernels[2]) + biases[2])
        return tf.matmul(hidden, kernels[3]) + biases[3]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 28, 28, 1), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ]
    )
    def train_step(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(each)
        gradients = tape.gradient(loss, variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(learning_rate * gradient)
        total_loss.assign_add(tf.reduce_sum(each))
        right = tf.argmax(logits, 1, tf.int32) == labels
        correct.assign_add(tf.reduce_sum(tf.cast(right, tf.int64)))

    def epoch(order):
        total_loss.assign(0.0)
        correct.assign(0)
        for begin in range(0, len(order), batch_size):
            index = order[begin : begin + batch_size]
            train_step(tf.constant(x[index]), tf.constant(y[index]))
        return float(total_loss) / len(order), int(correct) / len(order)

    return epoch
