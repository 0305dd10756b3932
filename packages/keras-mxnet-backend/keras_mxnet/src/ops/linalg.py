"""`keras.ops.linalg` on MXNet."""
