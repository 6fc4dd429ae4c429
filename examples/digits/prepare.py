#!/usr/bin/env python3
"""Makes digits.safetensors from the 1,797 digits as a CSV of 64 pixels and a label a line (plain or .gz).

Half of the images of each digit are held out: of its images in file order, those that a seeded shuffle puts first.
"""
import argparse
import os

import numpy as np

import tensors

FOLDER = os.path.dirname(os.path.abspath(__file__))


def split(labels, seed):
    held_out = np.zeros(len(labels), np.uint8)
    rng = np.random.default_rng(seed)
    for digit in range(10):
        items = np.flatnonzero(labels == digit)
        held_out[rng.permutation(items)[: len(items) // 2]] = 1
    return held_out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default=os.path.join(FOLDER, "digits.safetensors"))
    options = parser.parse_args()
    rows = np.loadtxt(options.csv, delimiter=",")
    assert rows.shape == (1797, 65) and rows.min() == 0 and rows[:, :64].max() == 16
    labels = rows[:, 64].astype(np.uint8)
    data = {
        "image": rows[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1),
        "labels": labels,
        "held_out": split(labels, options.seed),
    }
    tensors.save(options.out, data, {"source": "UCI Machine Learning Repository, doi 10.24432/C50P49", "licence": "CC BY 4.0"})
    print(f"{options.out}: {len(labels)} images, {int(data['held_out'].sum())} held out")


if __name__ == "__main__":
    main()
