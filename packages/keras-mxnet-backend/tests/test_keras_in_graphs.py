"""Keras's own layers, metrics, losses and optimizers: their steps are graphs, but for a few."""

import keras
import numpy as np
import pytest
from keras import layers, losses, metrics, optimizers

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(size=(8, 16, 16, 3)).astype("float32")
SEQUENCES = GENERATOR.normal(size=(8, 6, 4)).astype("float32")
VECTORS = GENERATOR.normal(size=(8, 6)).astype("float32")
TOKENS = GENERATOR.integers(1, 9, (8, 6))
SIGNALS = GENERATOR.normal(size=(8, 400)).astype("float32")
FILMS = GENERATOR.normal(size=(8, 4, 6, 3)).astype("float32")
BITS = (GENERATOR.uniform(size=(8, 1)) > 0.5).astype("float32")
CLASSES = GENERATOR.integers(0, 3, 8)
SHARES = np.eye(3, dtype="float32")[CLASSES]
TEXTS = GENERATOR.integers(1, 5, (8, 3))

ON_IMAGES = {
    "AutoContrast": (),
    "CenterCrop": (8, 8),
    "Conv2DTranspose": (3, 2),
    "DepthwiseConv2D": (2,),
    "Equalization": (),
    "GaussianNoise": (0.1,),
    "GroupNormalization": (3,),
    "MixUp": (),
    "RandomBrightness": (0.2,),
    "RandomContrast": (0.2,),
    "RandomErasing": (),
    "RandomFlip": (),
    "RandomGaussianBlur": (),
    "RandomGrayscale": (),
    "RandomHue": (0.2,),
    "RandomInvert": (),
    "RandomPerspective": (),
    "RandomRotation": (0.2,),
    "RandomSaturation": (0.2,),
    "RandomSharpness": (0.2,),
    "RandomShear": (),
    "RandomTranslation": (0.1, 0.1),
    "RandomZoom": (0.2,),
    "Rescaling": (0.5,),
    "Resizing": (8, 8),
    "SeparableConv2D": (3, 2),
    "Solarization": (),
    "SpatialDropout2D": (0.2,),
    "UpSampling2D": (2, None, "bicubic"),
}
RECURRENT = {
    f"{kind} {name}": (x, lambda i, kind=kind, wrap=wrap: wrap(getattr(layers, kind), i))
    for kind in ("GRU", "LSTM", "SimpleRNN")
    for name, x, wrap in (
        ("both ways", SEQUENCES, lambda cell, i: layers.Bidirectional(cell(3))(i)),
        ("dropout", SEQUENCES, lambda cell, i: cell(3, dropout=0.2, recurrent_dropout=0.2)(i)),
        ("masked", TOKENS, lambda cell, i: cell(3)(layers.Embedding(10, 4, mask_zero=True)(i))),
    )
}
# Input, and what is made of it.
LAYERS = {
    **{
        name: (IMAGES, lambda i, name=name, given=given: getattr(layers, name)(*given)(i))
        for name, given in ON_IMAGES.items()
        if hasattr(layers, name)
    },
    **RECURRENT,
    "AdditiveAttention": (SEQUENCES, lambda i: layers.AdditiveAttention()([i, i])),
    "CategoryEncoding": (TOKENS, lambda i: layers.CategoryEncoding(10)(i)),
    "Conv1D": (SEQUENCES, lambda i: layers.Conv1D(3, 2)(i)),
    "ConvLSTM1D": (FILMS, lambda i: layers.ConvLSTM1D(2, 2)(i)),
    "Discretization": (
        VECTORS,
        lambda i: layers.Discretization([-1.0, 0.0, 1.0], output_mode="one_hot")(i),
    ),
    "GroupQueryAttention": (SEQUENCES, lambda i: layers.GroupQueryAttention(2, 2, 1)(i, i)),
    "MultiHeadAttention": (
        SEQUENCES,
        lambda i: layers.MultiHeadAttention(2, 2, dropout=0.1)(i, i, use_causal_mask=True),
    ),
    "PReLU": (VECTORS, lambda i: layers.PReLU()(i)),
    "RNN": (SEQUENCES, lambda i: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(i)),
    "SpectralNormalization": (
        IMAGES,
        lambda i: layers.SpectralNormalization(layers.Conv2D(3, 2))(i),
    ),
    "TimeDistributed": (SEQUENCES, lambda i: layers.TimeDistributed(layers.Dense(2))(i)),
    "UnitNormalization": (VECTORS, lambda i: layers.UnitNormalization()(i)),
}
OF_BITS = [
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "FalseNegatives",
    "MeanSquaredError",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TruePositives",
]
METRICS = {
    **{
        name: (BITS, lambda name=name: getattr(metrics, name)(*([0.5] if "At" in name else [])))
        for name in OF_BITS
    },
    "CosineSimilarity": (SHARES, metrics.CosineSimilarity),
    "F1Score": (SHARES, metrics.F1Score),
    "FBetaScore": (SHARES, metrics.FBetaScore),
    "KLDivergence": (SHARES, metrics.KLDivergence),
    "OneHotMeanIoU": (SHARES, lambda: metrics.OneHotMeanIoU(3)),
    "SparseTopKCategoricalAccuracy": (CLASSES, lambda: metrics.SparseTopKCategoricalAccuracy(2)),
    "TopKCategoricalAccuracy": (SHARES, lambda: metrics.TopKCategoricalAccuracy(2)),
}
LOSSES = {
    **dict.fromkeys(
        [
            "BinaryFocalCrossentropy",
            "Dice",
            "Hinge",
            "Huber",
            "LogCosh",
            "MeanAbsolutePercentageError",
            "Poisson",
            "SquaredHinge",
            "Tversky",
        ],
        BITS,
    ),
    **dict.fromkeys(
        ["CategoricalFocalCrossentropy", "CategoricalHinge", "CosineSimilarity", "KLDivergence"],
        SHARES,
    ),
    "Circle": CLASSES,
    "CTC": TEXTS,
}
OPTIMIZERS = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
]

# A graph cannot hold these.
EAGER = {
    "CutMix": (IMAGES, lambda i: layers.CutMix()(i)),
    "MelSpectrogram": (
        SIGNALS,
        lambda i: layers.MelSpectrogram(
            fft_length=64, sequence_stride=32, sequence_length=64, num_mel_bins=8
        )(i),
    ),
    "RandAugment": (IMAGES, lambda i: layers.RandAugment()(i)),
    "RandomElasticTransform": (IMAGES, lambda i: layers.RandomElasticTransform()(i)),
}


def fit(x, y, make, loss="mse", optimizer="sgd", metric=None):
    inputs = keras.Input(x.shape[1:], dtype=str(x.dtype))
    model = keras.Model(inputs, make(inputs))
    model.compile(optimizer, loss, metrics=None if metric is None else [metric])
    model.fit(x, y, batch_size=4, verbose=0)
    return model


def fit_layer(x, make):
    y = GENERATOR.normal(size=(8, 2)).astype("float32")
    fit(x, y, lambda i: layers.Dense(2)(layers.Flatten()(make(i))))


def outputs_like(y):
    """Return what makes outputs for labels: a share a class, or one between zero and one."""
    one = y is BITS
    return lambda i: layers.Dense(1 if one else 3, activation="sigmoid" if one else "softmax")(i)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, caplog):
    fit_layer(*LAYERS[name])
    assert "eagerly" not in caplog.text


@pytest.mark.parametrize("name", [name for name in EAGER if hasattr(layers, name)])
def test_layers_that_make_a_step_eager_say_why(name, caplog):
    fit_layer(*EAGER[name])
    assert "train_step runs eagerly: " in caplog.text


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name, caplog):
    y, make = METRICS[name]
    loss = "sparse_categorical_crossentropy" if y is CLASSES else "mse"
    fit(VECTORS, y, outputs_like(y), loss, metric=make())
    assert "eagerly" not in caplog.text


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, caplog):
    y = LOSSES[name]
    make = outputs_like(y)
    if name == "Circle":
        make = lambda i: layers.UnitNormalization()(layers.Dense(3)(i))  # noqa: E731
    x = SEQUENCES if name == "CTC" else VECTORS
    fit(x, y, layers.Dense(5) if name == "CTC" else make, getattr(losses, name)())
    assert "eagerly" not in caplog.text


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if hasattr(optimizers, name)])
def test_optimizers(name, caplog):
    optimizer = getattr(optimizers, name)()
    fit(VECTORS, BITS, lambda i: layers.Dense(1)(layers.Dense(4)(i)), optimizer=optimizer)
    assert "eagerly" not in caplog.text


def test_what_optimizers_do_besides(caplog):
    optimizer = optimizers.Adam(
        global_clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2, weight_decay=0.01
    )
    fit(VECTORS, BITS, layers.Dense(1), optimizer=optimizers.LossScaleOptimizer(optimizer))
    assert "eagerly" not in caplog.text
