"""MXNet: Gluon's `HybridSequential` and `Trainer`, the loop of its tutorials."""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn


def trainer(x, y, batch_size, threads, learning_rate):
    images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    labels = y.astype(np.float32)
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(20, 5, padding=2, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Conv2D(50, 5, padding=2, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Dense(500, activation="relu"),
        nn.Dense(10),
    )
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    loss_fn = gluon.loss.SoftmaxCrossEntropyLoss()
    loss_fn.hybridize()
    step = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": learning_rate})

    def epoch(order):
        total_loss, correct = mx.nd.zeros(1), mx.nd.zeros(1)
        for begin in range(0, len(order), batch_size):
            index = order[begin : begin + batch_size]
            data, label = mx.nd.array(images[index]), mx.nd.array(labels[index])
            with autograd.record():
                output = net(data)
                loss = loss_fn(output, label)
            loss.backward()
            step.step(len(index))
            total_loss += loss.sum()
            correct += (output.argmax(axis=1) == label).sum()
        mx.nd.waitall()
        return total_loss.asscalar() / len(order), correct.asscalar() / len(order)

    return epoch
