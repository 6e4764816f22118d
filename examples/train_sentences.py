"""Train the network of sentences that ships with the package, `zoo:sentences`, which says whether a sentence is positive.

    pip install -e . torch
    python examples/train_sentences.py --out lrp_ref/zoo

The sentences are generated (`sentence_grammar.py`), so that for every word it is known whether it matters; a sentence is
positive where the values of its clauses add up to more than 0. The library explains networks, it does not train them: training
is PyTorch's.

Protocol, fixed before anything was trained
-------------------------------------------
Data        the first 6000 different sentences that the grammar makes with seed 0, but those whose values cancel: the first
            4000 for training, the next 500 for validation, the last 1500 for testing. No sentence is in two parts.
Network     Embedding (16 numbers for a word), LSTM (32 cells, last output), Dense (2 scores: negative, positive).
Training    Adam, learning rate 0.005, batches of up to 64 sentences of one length, cross-entropy, 30 epochs; the last
            weights are the result. Five networks, seeds 0 to 4; the **first** is shipped, whatever the others give.
Choices     none of these numbers was compared with another, so that the validation part stays unused.
Required    at least 97 % on the test part for the first network; the script fails otherwise.
Reported    for each rule, over the test sentences and the predicted class: the share of Σ |R| that the words that matter
            get (beside their share of the words), how often the word with the largest |R| is one of them, and how often
            the relevance of a clause has the sign of the clause's value (for the class "negative": the other sign).
Shipped     the network, the vocabulary, and the first 200 test sentences with the words that matter.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sentence_grammar import CLASSES, Sentence, different, vocabulary
from torch import nn

import lrp_ref
from lrp_ref import composites, layers
from lrp_ref.formats import npz

SEEDS = (0, 1, 2, 3, 4)
PARTS = {"training": 4000, "validation": 500, "test": 1500}
SHIPPED = 200
REQUIRED = 0.97
EMBEDDING, CELLS, EPOCHS, BATCH, RATE = 16, 32, 30, 64, 0.005
RULES = ("lstm_all", "lstm_prop", "lstm_abs", "lstm_half")

# --- training -------------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Embedding, LSTM, Dense."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, CELLS, batch_first=True)
        self.head = nn.Linear(CELLS, classes)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Scores (N, classes) of sentences (N, T)."""
        return self.head(self.lstm(self.embedding(numbers))[0][:, -1])


def by_length(numbers: list[np.ndarray]) -> list[np.ndarray]:
    """Positions of sentences of one length each."""
    lengths = np.array([len(sample) for sample in numbers])
    return [np.flatnonzero(lengths == length) for length in np.unique(lengths)]


def train(numbers: list[np.ndarray], labels: np.ndarray, words: int, classes: int, seed: int, epochs: int = EPOCHS) -> Reader:
    """Train from scratch and return the last weights."""
    torch.manual_seed(seed)
    network, groups = Reader(words, classes), by_length(numbers)
    optimiser, loss = torch.optim.Adam(network.parameters(), lr=RATE), nn.CrossEntropyLoss()
    stacked = [torch.from_numpy(np.stack([numbers[i] for i in group])) for group in groups]
    classes_of = [torch.from_numpy(labels[group]) for group in groups]
    for _ in range(epochs):
        batches = [(g, rows) for g, group in enumerate(groups) for rows in torch.randperm(len(group)).split(BATCH)]
        for k in torch.randperm(len(batches)).tolist():
            group, rows = batches[k]
            optimiser.zero_grad()
            loss(network(stacked[group][rows]), classes_of[group][rows]).backward()
            optimiser.step()
    return network.eval()


def to_library(network: Reader) -> lrp_ref.Model:
    """The same network as a model of the library: words as numbers (N, T) in, scores out."""
    values = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
    bias = values["lstm.bias_ih_l0"] + values["lstm.bias_hh_l0"]
    weights = (values[f"lstm.weight_{kind}_l0"].T for kind in ("ih", "hh"))  # PyTorch's rows are outputs, the library's inputs
    lstm = layers.LSTM.from_arrays(*weights, bias, gate_order="ifgo")
    head = layers.Dense(values["head.weight"].T, values["head.bias"])
    return lrp_ref.Model.sequential([layers.Embedding(values["embedding.weight"]), lstm, head])


def scores_of(model: lrp_ref.Model, numbers: list[np.ndarray]) -> np.ndarray:
    """Scores of sentences of several lengths."""
    found: dict[int, np.ndarray] = {}
    for group in by_length(numbers):
        scores = model(np.stack([numbers[i] for i in group]).astype(np.float32))
        found |= dict(zip(group.tolist(), scores, strict=True))
    return np.stack([found[i] for i in range(len(numbers))])


def check(model: lrp_ref.Model, network: Reader, numbers: list[np.ndarray]) -> None:
    """The library must compute what PyTorch computes, to 1e-5 of the largest score."""
    with torch.no_grad():
        expected = np.stack([network(torch.from_numpy(sample)[None])[0].numpy() for sample in numbers])
    difference = float(np.abs(scores_of(model, numbers) - expected).max() / np.abs(expected).max())
    print(f"    library against PyTorch: {difference:.1e} of the largest score apart")
    if difference > 1e-5:
        raise SystemExit("the library's prediction differs from PyTorch's: nothing written")


# --- how good the explanations are ----------------------------------------------------------------------------------------


def relevance_of(model: lrp_ref.Model, numbers: list[np.ndarray], target: object, composite: object) -> list[np.ndarray]:
    """The relevance of every word, for sentences of several lengths; `target` as `explain` takes it, or one for each."""
    explainer, found = lrp_ref.Explainer(model, composite), {}
    for group in by_length(numbers):
        asked = target[group] if isinstance(target, np.ndarray) else target
        explained = explainer(np.stack([numbers[i] for i in group]).astype(np.float32), asked)
        found |= dict(zip(group.tolist(), explained.relevance.astype(np.float64), strict=True))
    return [found[i] for i in range(len(numbers))]


def judged(sentences: list[Sentence], predicted: np.ndarray, relevance: list[np.ndarray]) -> tuple[float, float, float]:
    """The share of Σ |R|, how often the strongest word matters, how often a clause has the right sign."""
    shares, hits, signs = [], [], []
    for one, label, r in zip(sentences, predicted, relevance, strict=True):
        marks = np.array(one.matters)
        shares.append(np.abs(r[marks]).sum() / np.abs(r).sum())
        hits.append(marks[np.abs(r).argmax()])
        belongs = np.array(one.clause)
        for number, value in enumerate(one.values):
            signs.append(np.sign(r[belongs == number].sum()) == np.sign(value) * (1 if label else -1))
    return float(np.mean(shares)), float(np.mean(hits)), float(np.mean(signs))


def report(sentences: list[Sentence], model: lrp_ref.Model, numbers: list[np.ndarray]) -> Iterator[str]:
    """A table in Markdown: a row for each rule."""
    predicted = scores_of(model, numbers).argmax(axis=1)
    known = np.concatenate([np.array(one.matters) for one in sentences]).mean()
    yield f"| rule | words that matter ({known:.0%} of all): share of Σ \\|R\\| | strongest word matters | clause's sign |"
    yield "| --- | ---: | ---: | ---: |"
    for name in RULES:
        found = judged(sentences, predicted, relevance_of(model, numbers, "predicted", getattr(composites, name)()))
        yield f"| {name} | {' | '.join(f'{value:.1%}' for value in found)} |"


def main() -> None:
    """Train five networks; with `--out`, write the first, its vocabulary and held-out sentences there."""
    parser = argparse.ArgumentParser(description="Train lrp_ref.zoo's network of sentences.")
    parser.add_argument("--out", type=Path, help="folder of the zoo; without it nothing is written")
    parser.add_argument("--report", type=Path, help="Markdown file for the table of the rules")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the sums' order, and so the last bits, depend on the number of threads
    words = vocabulary()
    at = {word: number for number, word in enumerate(words)}
    sentences = different(sum(PARTS.values()))
    numbers = [np.array([at[word] for word in one.words]) for one in sentences]
    labels = np.array([one.label for one in sentences])
    held_out, models, accuracies = slice(PARTS["training"] + PARTS["validation"], None), [], []
    for seed in SEEDS:
        network = train(numbers[: PARTS["training"]], labels[: PARTS["training"]], len(words), len(CLASSES), seed)
        models.append(to_library(network))
        check(models[-1], network, numbers[held_out])
        correct = scores_of(models[-1], numbers[held_out]).argmax(axis=1) == labels[held_out]
        accuracies.append(correct.mean())
        wrong = int((~correct).sum())
        print(f"    seed {seed}: {correct.mean():.2%} of the test sentences ({wrong} of {len(correct)} wrong)", flush=True)
    print(f"    mean {np.mean(accuracies):.2%}, worst {min(accuracies):.2%}")
    if accuracies[0] < REQUIRED:
        raise SystemExit(f"{accuracies[0]:.2%} for the first network, at least {REQUIRED:.0%} are required")
    table = "\n".join(report(sentences[held_out], models[0], numbers[held_out])) + "\n"
    print(table)
    if options.report:
        options.report.write_text(table, encoding="utf-8")
    if options.out:
        npz.save(models[0], options.out / "sentences.npz", overwrite=True)
        (options.out / "sentences.vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        shipped = sentences[held_out][:SHIPPED]
        (options.out / "sentences.txt").write_text("".join(f"{one}\n" for one in shipped), encoding="utf-8")


if __name__ == "__main__":
    main()
