"""LeNet trained by hand in each framework, as its own documentation would write it.

Each module has a function `trainer(x, y, batch_size, threads, learning_rate)` that takes the
data as arrays, images (samples, height, width, channels) float32 and labels (samples,) int32,
and returns a function that trains one epoch in a given order and returns mean loss and
accuracy. Nothing of velodrome is in them.
"""
