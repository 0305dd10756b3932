"""`keras.ops.image` on MXNet."""
