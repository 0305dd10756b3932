import os

os.environ["KERAS_BACKEND"] = "mxnet"

from keras_mxnet import bridge

bridge.on_keras_import()
