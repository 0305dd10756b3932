"""PyTorch: `nn.Sequential` and the loop of its quickstart, on tensors in memory."""

import torch
from torch import nn


def trainer(x, y, batch_size, threads, learning_rate):
    torch.set_num_threads(threads)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)  # channels first by name, last in memory
    labels = torch.from_numpy(y).long()
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 50, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    ).to(memory_format=torch.channels_last)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, fused=True)

    def epoch(order):
        model.train()
        total_loss = torch.zeros(())
        correct = torch.zeros((), dtype=torch.long)
        for index in torch.from_numpy(order).split(batch_size):
            inputs, targets = images[index], labels[index]
            pred = model(inputs)
            loss = loss_fn(pred, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total_loss += loss.detach() * len(index)
            correct += (pred.argmax(1) == targets).sum()
        return total_loss.item() / len(order), correct.item() / len(order)

    return epoch
