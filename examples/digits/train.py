#!/usr/bin/env python3
"""Trains the digits net with numpy alone and writes it as safetensors with a description that Kiln reads.

A squeeze-excitation residual tower: stem conv3x3, batch norm, relu; blocks of conv3x3, batch norm, relu, conv3x3, batch
norm, squeeze-excitation, + block input, relu; mean over the board; linear to 10. Arrays are [item, row, column, channel]
inside and have PyTorch's layouts in the file. The same seed gives the same net on one machine and numpy.

The held-out images are looked at once, after the last epoch: nothing is chosen by them.
"""
import argparse
import json
import os

import numpy as np

import tensors

FOLDER = os.path.dirname(os.path.abspath(__file__))
EPSILON, MOMENTUM = 1e-5, 0.1


# ---- layers: forward keeps what backward needs; parameters and their gradients by name ----


class Layer:
    def __init__(self):
        self.values, self.gradients = {}, {}


class Conv(Layer):
    """3x3, no bias: a batch norm follows."""

    def __init__(self, rng, inputs, outputs):
        super().__init__()
        scale = np.sqrt(2 / (9 * inputs))
        self.values["weight"] = (rng.standard_normal((9 * inputs, outputs)) * scale).astype(np.float32)

    def forward(self, x, training):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        self.shape = x.shape
        self.columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[3])
        return (self.columns @ self.values["weight"]).reshape(x.shape[:3] + (-1,))

    def backward(self, g):
        n, h, w, c = self.shape
        g = g.reshape(n * h * w, -1)
        self.gradients["weight"] = self.columns.T @ g
        columns = (g @ self.values["weight"].T).reshape(n, h, w, 3, 3, c)
        padded = np.zeros((n, h + 2, w + 2, c), g.dtype)
        for y in range(3):
            for x in range(3):
                padded[:, y : y + h, x : x + w] += columns[:, :, :, y, x]
        return padded[:, 1:-1, 1:-1]

    def tensors(self, name):
        weight = self.values["weight"]
        return {f"{name}.weight": weight.reshape(3, 3, -1, weight.shape[1]).transpose(3, 2, 0, 1)}


class BatchNorm(Layer):
    def __init__(self, channels):
        super().__init__()
        self.values = {"weight": np.ones(channels, np.float32), "bias": np.zeros(channels, np.float32)}
        self.mean, self.var = np.zeros(channels, np.float32), np.ones(channels, np.float32)

    def forward(self, x, training):
        if training:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.mean += MOMENTUM * (mean - self.mean)
            self.var += MOMENTUM * (var - self.var)
        else:
            mean, var = self.mean, self.var
        self.scale = 1 / np.sqrt(var + EPSILON)
        self.normed = (x - mean) * self.scale
        return self.normed * self.values["weight"] + self.values["bias"]

    def backward(self, g):
        axes = (0, 1, 2)
        self.gradients = {"weight": (g * self.normed).sum(axes), "bias": g.sum(axes)}
        centred = g - g.mean(axes) - self.normed * (g * self.normed).mean(axes)
        return centred * (self.scale * self.values["weight"])

    def tensors(self, name):
        values = dict(self.values, running_mean=self.mean, running_var=self.var)
        return {f"{name}.{key}": value for key, value in values.items()}


class Linear(Layer):
    def __init__(self, rng, inputs, outputs):
        super().__init__()
        scale = np.sqrt(2 / inputs)
        self.values["weight"] = (rng.standard_normal((inputs, outputs)) * scale).astype(np.float32)
        self.values["bias"] = np.zeros(outputs, np.float32)

    def forward(self, x, training):
        self.x = x
        return x @ self.values["weight"] + self.values["bias"]

    def backward(self, g):
        self.gradients = {"weight": self.x.T @ g, "bias": g.sum(0)}
        return g @ self.values["weight"].T

    def tensors(self, name):
        return {f"{name}.weight": self.values["weight"].T, f"{name}.bias": self.values["bias"]}


class SqueezeExcitation:
    """x * sigmoid(fc2(relu(fc1(mean of x over the board)))): one factor for each item and channel."""

    def __init__(self, rng, channels, reduced):
        self.fc1, self.fc2 = Linear(rng, channels, reduced), Linear(rng, reduced, channels)

    def forward(self, x, training):
        self.x = x
        self.hidden = np.maximum(self.fc1.forward(x.mean((1, 2)), training), 0)
        self.gate = 1 / (1 + np.exp(-self.fc2.forward(self.hidden, training)))
        return x * self.gate[:, None, None]

    def backward(self, g):
        gate = (g * self.x).sum((1, 2)) * self.gate * (1 - self.gate)
        mean = self.fc1.backward(self.fc2.backward(gate) * (self.hidden > 0))
        points = self.x.shape[1] * self.x.shape[2]
        return g * self.gate[:, None, None] + mean[:, None, None] / points


# ---- the net ----


class Net:
    def __init__(self, rng, blocks, channels, reduced):
        self.stem, self.stem_bn = Conv(rng, 1, channels), BatchNorm(channels)
        self.blocks = [
            {
                "conv1": Conv(rng, channels, channels),
                "bn1": BatchNorm(channels),
                "conv2": Conv(rng, channels, channels),
                "bn2": BatchNorm(channels),
                "se": SqueezeExcitation(rng, channels, reduced),
            }
            for _ in range(blocks)
        ]
        self.head = Linear(rng, channels, 10)

    def layers(self):
        """Those with parameters, by name."""
        layers = {"stem.conv": self.stem, "stem.bn": self.stem_bn}
        for i, block in enumerate(self.blocks):
            layers.update({f"blocks.{i}.{name}": block[name] for name in ("conv1", "bn1", "conv2", "bn2")})
            layers.update({f"blocks.{i}.se.fc1": block["se"].fc1, f"blocks.{i}.se.fc2": block["se"].fc2})
        return {**layers, "head": self.head}

    def forward(self, x, training=False):
        self.relus = []

        def relu(x):
            self.relus.append(x > 0)
            return np.maximum(x, 0)

        x = relu(self.stem_bn.forward(self.stem.forward(x, training), training))
        for block in self.blocks:
            y = relu(block["bn1"].forward(block["conv1"].forward(x, training), training))
            y = block["bn2"].forward(block["conv2"].forward(y, training), training)
            x = relu(block["se"].forward(y, training) + x)
        self.points = x.shape[1] * x.shape[2]
        return self.head.forward(x.mean((1, 2)), training)

    def backward(self, g):
        g = self.head.backward(g)[:, None, None] / np.float32(self.points) * self.relus.pop()
        for i, block in reversed(list(enumerate(self.blocks))):
            y = block["conv2"].backward(block["bn2"].backward(block["se"].backward(g))) * self.relus.pop()
            g = (g + block["conv1"].backward(block["bn1"].backward(y))) * self.relus.pop()
        self.stem.backward(self.stem_bn.backward(g))

    def tensors(self):
        return {key: value for name, layer in self.layers().items() for key, value in layer.tensors(name).items()}

    def as_double(self):
        for layer in self.layers().values():
            layer.values = {name: value.astype(np.float64) for name, value in layer.values.items()}

    def description(self):
        layers = [{"op": "conv", "in": "image", "out": "x0", "weights": "stem.conv.weight", "bn": "stem.bn", "act": "relu"}]
        for i in range(len(self.blocks)):
            at, x = f"blocks.{i}", f"x{i}"
            layers += [
                {"op": "conv", "in": x, "out": f"{at}.conv1", "weights": f"{at}.conv1.weight", "bn": f"{at}.bn1", "act": "relu"},
                {"op": "conv", "in": f"{at}.conv1", "out": f"{at}.conv2", "weights": f"{at}.conv2.weight", "bn": f"{at}.bn2"},
                {"op": "se", "in": f"{at}.conv2", "out": f"x{i + 1}", "fc1": f"{at}.se.fc1", "fc2": f"{at}.se.fc2",
                 "residual": x, "act": "relu"},
            ]
        layers += [
            {"op": "pool", "in": f"x{len(self.blocks)}", "out": "pooled", "form": "mean"},
            {"op": "linear", "in": "pooled", "out": "head", "weights": "head.weight", "bias": "head.bias"},
        ]
        return {
            "name": f"digits-{len(self.blocks)}x{self.head.values['weight'].shape[0]}",
            "board": 8,
            "inputs": [{"name": "image", "shape": "board", "channels": 1}],
            "layers": layers,
            "outputs": [{"name": "logits", "from": "head"}],
        }


# ---- training ----


class Adam:
    """Kingma and Ba 2015, with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, layers):
        self.slots = [(layer, name, np.zeros_like(v), np.zeros_like(v)) for layer in layers for name, v in layer.values.items()]
        self.step = 0

    def update(self, rate, decay):
        self.step += 1
        for layer, name, first, second in self.slots:
            g, value = layer.gradients[name], layer.values[name]
            first += 0.1 * (g - first)
            second += 0.001 * (g * g - second)
            step = (first / (1 - 0.9**self.step)) / (np.sqrt(second / (1 - 0.999**self.step)) + 1e-8)
            if value.ndim > 1:
                step += decay * value
            value -= (rate * step).astype(value.dtype)


def jitter(rng, images):
    """Turns, scales and shifts each image a little, bilinearly."""
    n, h, w, _ = images.shape
    turn, zoom = rng.uniform(-0.2, 0.2, n), rng.uniform(0.9, 1.1, n)
    shift = rng.uniform(-0.7, 0.7, (2, n))
    ys, xs = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    cos, sin = (np.cos(turn) * zoom)[:, None, None], (np.sin(turn) * zoom)[:, None, None]
    y = np.clip(cos * ys - sin * xs + shift[0][:, None, None] + (h - 1) / 2 + 1, 0, h + 0.999)
    x = np.clip(sin * ys + cos * xs + shift[1][:, None, None] + (w - 1) / 2 + 1, 0, w + 0.999)
    padded = np.pad(images[..., 0], ((0, 0), (1, 1), (1, 1)))
    y0, x0, item = y.astype(int), x.astype(int), np.arange(n)[:, None, None]
    fy, fx = y - y0, x - x0
    top = padded[item, y0, x0] * (1 - fx) + padded[item, y0, x0 + 1] * fx
    bottom = padded[item, y0 + 1, x0] * (1 - fx) + padded[item, y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + bottom * fy)[..., None].astype(np.float32)


def loss_gradient(logits, labels, smoothing=0.1):
    e = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = e / e.sum(1, keepdims=True)
    target = np.full_like(logits, smoothing / 10)
    target[np.arange(len(labels)), labels] += 1 - smoothing
    loss = -(target * np.log(probabilities)).sum(1).mean()
    return loss, (probabilities - target) / np.float32(len(labels))


def train(net, images, labels, rng, epochs, batch=64, rate=4e-3, decay=0.01):
    adam = Adam(net.layers().values())
    steps = epochs * (len(images) // batch)
    for epoch in range(epochs):
        losses = []
        for items in np.array_split(rng.permutation(len(images)), len(images) // batch):
            loss, g = loss_gradient(net.forward(jitter(rng, images[items]), True), labels[items])
            net.backward(g.astype(np.float32))
            warm = min(1, (adam.step + 1) / 50)
            adam.update(rate * warm * 0.5 * (1 + np.cos(np.pi * adam.step / steps)), decay)
            losses.append(loss)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--reduced", type=int, default=8, help="channels between the two layers of squeeze-excitation")
    parser.add_argument("--out", default=FOLDER, help="folder for digits-net.safetensors and digits-golden.safetensors")
    options = parser.parse_args()

    data = tensors.load(os.path.join(FOLDER, "digits.safetensors"))
    held_out = data["held_out"] != 0
    images, labels = data["image"].astype(np.float32), data["labels"].astype(int)
    rng = np.random.default_rng(options.seed)
    net = Net(rng, options.blocks, options.channels, options.reduced)
    train(net, images[~held_out], labels[~held_out], rng, options.epochs)

    net.as_double()
    logits = net.forward(images[held_out].astype(np.float64))
    right = logits.argmax(1) == labels[held_out]
    print(f"held out: {right.sum()} of {len(right)} right, {right.mean():.4f}")

    weights = {name: value.astype(np.float32) for name, value in net.tensors().items()}
    description = json.dumps(net.description(), separators=(",", ":"))
    tensors.save(os.path.join(options.out, "digits-net.safetensors"), weights, {"kiln": description})
    golden = {"image": data["image"][held_out][:128], "logits": logits[:128].astype(np.float32)}
    tensors.save(os.path.join(options.out, "digits-golden.safetensors"), golden)


if __name__ == "__main__":
    main()
