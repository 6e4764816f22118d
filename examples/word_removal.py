"""Which explanations find the words that decide? Word removal, Fig. 11.5 of Arras et al. (2019), on generated sentences.

    pip install -e . torch
    python examples/word_removal.py --out docs/experiments/word_removal.md

Words are removed from a sentence one after the other, in the order of their relevance for its true class. Where the network
was right, the most relevant words go first, and its accuracy should fall fast; where it was wrong, the least relevant words go
first, those that speak against the true class, and its accuracy should rise fast.

Protocol, fixed before anything was trained
-------------------------------------------
Data        sentences of the grammar of `sentence_grammar.py` with up to four clauses and at least ten words (the paper's
            least); seed 1; the first 2000 different ones for training, the next 2000 for testing.
Classes     five, as in the paper: very negative (the values add up to −2.5 or less), negative, neutral (0), positive, very
            positive (2.5 or more).
Networks    those of `train_sentences.py` with five outputs, trained as there; seeds 0 to 4, all of them are used.
Explained   the score of the true class. LRP with the library's defaults, which are the paper's: ε = 0.001, for LRP-prop 0.2.
            Gradient: the squared norm of the gradient in a word's vector. Occlusion: the score (f-diff) or the probability
            (P-diff) minus that with the word's vector set to 0. Random: ten orders.
Removed     up to five words, without computing the relevance again; the rest of the sentence moves together.
Reported    the accuracy after each removal over the sentences that the network read rightly (most relevant first) and those
            that it read wrongly (least relevant first); mean and standard deviation over the networks.
Expected    from the paper: occlusion and LRP-all are best, gradient × input is good, LRP-prop, -abs and -half are about random;
            gradient is good for the first order and worse than random for the second.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sentence_grammar import Sentence, different, vocabulary
from train_sentences import Reader, by_length, relevance_of, to_library, train

from lrp_ref import composites

SEEDS = (0, 1, 2, 3, 4)
TRAINING, TEST, LEAST, REMOVED, RANDOM = 2000, 2000, 10, 5, 10
RULES = ("lstm_all", "lstm_prop", "lstm_abs", "lstm_half")
#: The two curves of each method.
Curves = dict[str, tuple[list[float], list[float]]]
METHODS = ("occlusion, P-diff", "occlusion, f-diff", *RULES, "gradient × input", "gradient", "random")


def class_of(sentence: Sentence) -> int:
    """0 very negative, 1 negative, 2 neutral, 3 positive, 4 very positive."""
    return int(np.digitize(sentence.value, (-2.25, -0.25, 0.25, 2.25)))


def long_sentences(count: int) -> list[Sentence]:
    """The first sentences that are long enough."""
    found: list[Sentence] = []
    drawn = count
    while len(found) < count:
        drawn *= 2
        found = [one for one in different(drawn, seed=1, most=4, zero=True) if len(one.words) >= LEAST]
    return found[:count]


# --- relevance ------------------------------------------------------------------------------------------------------------


def by_gradient(network: Reader, numbers: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient × input and the squared gradient (N, T) of sentences of one length."""
    vectors = network.embedding(torch.from_numpy(numbers)).detach().requires_grad_()
    scores = network.head(network.lstm(vectors)[0][:, -1])
    scores[torch.arange(len(labels)), torch.from_numpy(labels)].sum().backward()
    gradient = vectors.grad
    return (gradient * vectors).sum(dim=2).detach().numpy(), (gradient**2).sum(dim=2).numpy()


@torch.no_grad()
def by_occlusion(network: Reader, numbers: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The differences of scores and of probabilities (N, T) of sentences of one length."""
    vectors, picked = network.embedding(torch.from_numpy(numbers)), (torch.arange(len(labels)), torch.from_numpy(labels))
    scores = network.head(network.lstm(vectors)[0][:, -1])
    by_score, by_probability = [], []
    for t in range(numbers.shape[1]):
        without = vectors.clone()
        without[:, t] = 0
        changed = network.head(network.lstm(without)[0][:, -1])
        by_score.append((scores - changed)[picked])
        by_probability.append((scores.softmax(1) - changed.softmax(1))[picked])
    return torch.stack(by_score, 1).numpy(), torch.stack(by_probability, 1).numpy()


def relevances(network: Reader, numbers: list[np.ndarray], labels: np.ndarray) -> Iterator[tuple[str, list[np.ndarray]]]:
    """For each method the relevance of every word for the true class; random orders are drawn elsewhere."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for group in by_length(numbers):
        stacked = np.stack([numbers[i] for i in group])
        pairs = (("occlusion, f-diff", "occlusion, P-diff"), by_occlusion), (("gradient × input", "gradient"), by_gradient)
        for names, function in pairs:
            for name, values in zip(names, function(network, stacked, labels[group]), strict=True):
                found.setdefault(name, {}).update(zip(group.tolist(), values, strict=True))
    for name, values in found.items():
        yield name, [values[i] for i in range(len(numbers))]
    model = to_library(network)
    for name in RULES:
        yield name, relevance_of(model, numbers, labels, getattr(composites, name)())


# --- removal --------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def right(network: Reader, numbers: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Which sentences are read rightly."""
    found = np.zeros(len(numbers), dtype=bool)
    for group in by_length(numbers):
        scores = network(torch.from_numpy(np.stack([numbers[i] for i in group])))
        found[group] = scores.argmax(1).numpy() == labels[group]
    return found


def curve(network: Reader, numbers: list[np.ndarray], labels: np.ndarray, orders: list[np.ndarray]) -> list[float]:
    """The accuracy after 0 to `REMOVED` words are gone, in the given orders."""
    left = [[np.delete(one, order[:k]) for one, order in zip(numbers, orders, strict=True)] for k in range(REMOVED + 1)]
    return [float(right(network, some, labels).mean()) for some in left]


def curves(
    network: Reader, numbers: list[np.ndarray], labels: np.ndarray, seed: int
) -> dict[str, tuple[list[float], list[float]]]:
    """For each method the two curves: most relevant first where the network is right, least relevant first where it is wrong."""
    good = right(network, numbers, labels)
    parts = [np.flatnonzero(good), np.flatnonzero(~good)]
    random = np.random.default_rng(seed)
    found = {}
    for name, values in relevances(network, numbers, labels):
        both = []
        for part, sign in zip(parts, (-1, 1), strict=True):
            orders = [np.argsort(sign * values[i], kind="stable") for i in part]
            both.append(curve(network, [numbers[i] for i in part], labels[part], orders))
        found[name] = (both[0], both[1])
    drawn = []
    for part in parts:
        some = [numbers[i] for i in part]
        runs = [curve(network, some, labels[part], [random.permutation(len(one)) for one in some]) for _ in range(RANDOM)]
        drawn.append(np.mean(runs, axis=0).tolist())
    found["random"] = (drawn[0], drawn[1])
    return found


def table(found: list[Curves], which: int) -> Iterator[str]:
    yield f"| words removed | {' | '.join(str(k) for k in range(1, REMOVED + 1))} |"
    yield f"| --- |{' ---: |' * REMOVED}"
    for name in METHODS:
        values = 100 * np.array([result[name][which][1:] for result in found])
        cells = [f"{mean:.1f} ({deviation:.1f})" for mean, deviation in zip(values.mean(axis=0), values.std(axis=0), strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Train, explain, remove; with `--out`, write the tables."""
    parser = argparse.ArgumentParser(description="Word removal, Fig. 11.5 of Arras et al. (2019).")
    parser.add_argument("--out", type=Path, help="Markdown file for the tables; without it they are printed")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the sums' order, and so the last bits, depend on the number of threads
    words = vocabulary()
    at = {word: number for number, word in enumerate(words)}
    sentences = long_sentences(TRAINING + TEST)
    numbers = [np.array([at[word] for word in one.words]) for one in sentences]
    labels = np.array([class_of(one) for one in sentences])
    found, accuracies = [], []
    for seed in SEEDS:
        network = train(numbers[:TRAINING], labels[:TRAINING], len(words), 5, seed)
        accuracies.append(right(network, numbers[TRAINING:], labels[TRAINING:]).mean())
        print(f"seed {seed}: {accuracies[-1]:.1%} of the test sentences", flush=True)
        found.append(curves(network, numbers[TRAINING:], labels[TRAINING:], seed))
    lines = [
        f"{len(SEEDS)} networks, {np.mean(accuracies):.1%} ({np.std(accuracies):.1%}) of {TEST} test sentences are read rightly.",
        "",
        "**Most relevant first**, accuracy in % on sentences that were read rightly (the lower, the better):",
        "",
        *table(found, 0),
        "",
        "**Least relevant first**, accuracy in % on sentences that were read wrongly (the higher, the better):",
        "",
        *table(found, 1),
        "",
    ]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
