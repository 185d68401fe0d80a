#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The net, data, schedule and augmentation of examples/train_cnn in PyTorch, for comparison.

    apt-get install python3-torch libopenblas0-openmp dataset-fashion-mnist
    time python3 bench/train_cnn_pytorch.py [--epochs 10] [--batch-size 64] [--lr 0.1] [--threads 2]
"""
import argparse
import gzip
import time

import numpy
import torch
from torch import nn


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    dims = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return torch.from_numpy(numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(dims).copy())


def load(directory, part):
    images = read_idx(f"{directory}/{part}-images-idx3-ubyte.gz").float().div_(255)
    return ((images - 0.2860) / 0.3530).unsqueeze(1), read_idx(f"{directory}/{part}-labels-idx1-ubyte.gz").long()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    x, y = load(args.data, "train")
    test_x, test_y = load(args.data, "t10k")
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = len(x) // args.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * steps)
    loss_of = nn.CrossEntropyLoss()
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        order = torch.randperm(len(x))
        total = 0.0
        for i in range(steps):
            batch = order[i * args.batch_size:(i + 1) * args.batch_size]
            images = x[batch]
            flip = torch.rand(len(images)) < 0.5
            images[flip] = images[flip].flip(3)
            if args.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            loss = loss_of(net(images), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            right = sum((net(test_x[i:i + 500]).argmax(1) == test_y[i:i + 500]).sum().item()
                        for i in range(0, len(test_x), 500))
        print(f"epoch {epoch + 1}  loss {total / steps:.4f}  test accuracy {right / len(test_x):.4f}"
              f"  {time.time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
