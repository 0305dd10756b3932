"""A model of two inputs and two outputs: how urgent is a ticket, and whose is it?

velodrome run examples/my_model/tickets.py:build --data examples/my_model/tickets_data.py:load
"""

import keras
from keras import layers

WORDS, LENGTH, TAGS, DEPARTMENTS = 200, 12, 6, 4


def build():
    title = keras.Input((LENGTH,), dtype="int32", name="title")
    tags = keras.Input((TAGS,), name="tags")

    words = layers.Embedding(WORDS, 32)(title)
    words = layers.Conv1D(32, 3, activation="relu")(words)
    words = layers.GlobalAveragePooling1D()(words)
    both = layers.Concatenate()([words, layers.Dense(16, activation="relu")(tags)])
    both = layers.Dropout(0.2)(both)

    model = keras.Model(
        inputs={"title": title, "tags": tags},
        outputs={
            "priority": layers.Dense(1, activation="sigmoid", name="priority")(both),
            "department": layers.Dense(DEPARTMENTS, name="department")(both),
        },
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        loss={
            "priority": "mean_squared_error",
            "department": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
        loss_weights={"priority": 1.0, "department": 0.5},
        metrics={"department": ["accuracy"]},
    )
    return model
