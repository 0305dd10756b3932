"""The recurrent network of 2017 on film reviews: embedding, convolution, LSTM."""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import sequential
from velodrome.workloads.layers import LSTM, Activation, Conv, Dense, Embedding, MaxPool
from velodrome.workloads.recipe import Recipe

WORKLOADS = (
    Workload(
        name="imdb-rnn",
        summary="LSTM behind an embedding and a convolution, 500 words of 5000",
        graph=sequential(
            (500,),
            Embedding(vocabulary=5000, units=32),
            Conv(filters=32, window=(3,), stride=(1,)),
            Activation(function="relu"),
            MaxPool(window=(2,), stride=(2,)),
            LSTM(units=100),
            Dense(units=1),
        ),
        recipe=Recipe(optimizer="adam", learning_rate=0.001),
        dataset="imdb",
        batch_size=64,
        epochs=5,
    ),
)
