import os

os.environ["KERAS_BACKEND"] = "mxnet"

from keras_mxnet import bridge  # noqa: E402

bridge.on_keras_import()
