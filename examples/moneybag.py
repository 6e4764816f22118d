"""Who earned the reward? Moneybag and coins, the experiment of Arras et al. (2019), §11.5.2, with four product rules.

    pip install -e . torch
    python examples/moneybag.py --out docs/experiments/moneybag.md

An agent walks left and right in a corridor. Coins count only when they are collected after the moneybag, and the reward comes
at the end. An LSTM that is made to be explained (the Markov cell, Eq. 11.12–11.15) predicts it from the events; its relevance
redistributes the reward over the steps. In the paper's figures (11.6 and 11.7, of one episode each) LRP-all misses the
moneybag, because the network lets it act through the input gate, where LRP-all sends nothing; LRP-prop and LRP-half find it.
Coins before the moneybag get about nothing.

Both protocols share
--------------------
World       nine cells, the agent starts in the middle and takes 24 steps, with probability 0.7 in the direction of the last
            one; at a wall it stays. The moneybag lies in one of the other cells, three coins in other free cells; a coin that
            is taken appears again in another free cell. The reward is the number of coins after the moneybag.
Seen        four bits at each step: moneybag collected, coin collected, step to the left, step to the right.
Data        4000 episodes for training, 1000 for validation, 1000 for testing.
Network     Markov cells (a_g = 4, a_h = 4), a linear output of the last step; b_z starts at −3, b_i at −2, all weights from
            N(0, ½²). Adam, learning rate 0.01 falling linearly to 0, batches of 200 episodes, 150 epochs, mean squared error.
            All networks are trained side by side.
Explained   the predicted reward of the test episodes in which the moneybag is found with at least one coin before it and one
            after it.
Reported    the mean relevance of four kinds of steps, in percent of the mean predicted reward: the moneybag's step, a coin
            after it, a coin before it, any other step; mean and standard deviation over the networks. And how often the
            moneybag's step is among the steps with the most relevance, as many of them as there are coins after it, plus one.

The first protocol, fixed before anything was trained, did not reproduce the paper's finding
---------------------------------------------------------------------------------------------
Eight cells, five networks (seeds 0 to 4), all of them explained; the ε-rule with ε = 0.001 for every linear map and sum. The
networks spread the task over cells that cancel each other, and the ε-rule explodes: the cells are made of sigmoids with
negative biases, so that a pre-activation has the other sign than the event that raised it, and may be close to 0.

The second protocol was fixed after that, and after a trial with 30 other networks of two cells
-----------------------------------------------------------------------------------------------
Two cells, the fewest with which the task can be solved as the paper describes it, one to remember the moneybag and one to
count; 40 networks with new seeds (100 to 139) and new data; explained are those with a validation error below 0.05. The
z⁺-rule for every linear map and sum of the cell, for which it is made: everything that enters them is positive. (With positive
factors LRP-abs is LRP-prop.)
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch

import lrp_ref
from lrp_ref import composites, layers, rules

CELLS, STEPS, COINS = 9, 24, 3
EPISODES = {"train": 4000, "validation": 1000, "test": 1000}
SCALE, STATE_SCALE = 4.0, 4.0
EPOCHS, BATCH, RATE = 150, 200, 0.01
KINDS = ("moneybag", "coin after it", "coin before it", "any other step")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What the two protocols do not share: cells, seeds, data, which networks are explained, the rule of linear maps and sums."""

    cells: int
    seeds: range
    data: int
    good_enough: float
    linear: rules.LinearRule
    epsilon: float


PROTOCOLS = {
    "First protocol": Protocol(8, range(5), 0, np.inf, rules.Epsilon(0.001), 0.001),
    "Second protocol": Protocol(2, range(100, 140), 100, 0.05, rules.ZPlus(), 0.0),
}


def products(epsilon: float) -> dict[str, rules.ProductRule]:
    """The four rules of products."""
    stable = {"LRP-prop": rules.ProportionalProduct(epsilon), "LRP-abs": rules.AbsoluteProduct(epsilon)}
    return {"LRP-all": rules.SignalTakesAll()} | stable | {"LRP-half": rules.HalfProduct()}


# --- the world ------------------------------------------------------------------------------------------------------------


def episode(random: np.random.Generator) -> tuple[np.ndarray, float]:
    """What is seen (T, 4), and the reward."""
    place, direction, bagged, reward = CELLS // 2, int(random.choice([-1, 1])), False, 0
    bag, *coins = random.choice([cell for cell in range(CELLS) if cell != place], 1 + COINS, replace=False).tolist()
    seen = np.zeros((STEPS, 4))
    for t in range(STEPS):
        direction = direction if random.random() < 0.7 else -direction
        place = min(max(place + direction, 0), CELLS - 1)
        seen[t, 2 if direction < 0 else 3] = 1
        if place == bag and not bagged:
            bagged, seen[t, 0] = True, 1
        elif place in coins:
            seen[t, 1] = 1
            reward += bagged
            taken = {place, *coins} | (set() if bagged else {bag})
            coins[coins.index(place)] = int(random.choice([cell for cell in range(CELLS) if cell not in taken]))
    return seen, float(reward)


def episodes(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([seed, list(EPISODES).index(name)])
    seen, rewards = zip(*(episode(random) for _ in range(EPISODES[name])), strict=True)
    return np.stack(seen), np.array(rewards)


# --- the networks, trained side by side -----------------------------------------------------------------------------------


def start(protocol: Protocol) -> dict[str, torch.Tensor]:
    """The parameters of all networks, each drawn with its own seed."""
    size = protocol.cells
    shapes = {"given": (4, size), "gate": (size, size), "output": (size, 1)}
    draws = [torch.Generator().manual_seed(seed) for seed in protocol.seeds]
    found = {name: torch.stack([torch.randn(shape, generator=draw) / 2 for draw in draws]) for name, shape in shapes.items()}
    for name, value in (("given_bias", -3.0), ("gate_bias", -2.0)):
        found[name] = torch.full((len(draws), 1, size), value)
    found["output_bias"] = torch.zeros(len(draws), 1, 1)
    return {name: value.requires_grad_() for name, value in found.items()}


def predicted(p: dict[str, torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
    """Rewards (networks, N) of episodes (N, T, 4): z = a_g σ(W x + b), i = σ(U y + b), c = i z + c, y = a_h tanh(c)."""
    z = SCALE * torch.sigmoid(torch.einsum("ntf,kfh->ktnh", seen, p["given"]) + p["given_bias"][:, None])
    y = cell = torch.zeros_like(z[:, 0])
    for t in range(seen.shape[1]):
        cell = torch.sigmoid(y @ p["gate"] + p["gate_bias"]) * z[:, t] + cell
        y = STATE_SCALE * torch.tanh(cell)
    return (y @ p["output"] + p["output_bias"])[..., 0]


def train(protocol: Protocol) -> dict[str, torch.Tensor]:
    seen, rewards = episodes("train", protocol.data)
    parameters, x, wanted = start(protocol), torch.from_numpy(seen).float(), torch.from_numpy(rewards).float()
    steps = EPOCHS * len(x) // BATCH
    optimiser = torch.optim.Adam(parameters.values(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    order = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x), generator=order).split(BATCH):
            optimiser.zero_grad()
            ((predicted(parameters, x[chosen]) - wanted[chosen]) ** 2).mean(dim=1).sum().backward()
            optimiser.step()
            schedule.step()
    return {name: value.detach() for name, value in parameters.items()}


def to_library(p: dict[str, torch.Tensor], k: int) -> lrp_ref.Model:
    """Network `k` as a model of the library, in float64."""
    a = {name: value[k].double().numpy() for name, value in p.items()}
    bias = np.concatenate([a["gate_bias"][0], a["given_bias"][0]])
    cell = layers.LSTM.friendly(a["given"], a["gate"], bias, gates="i", scale=SCALE, state_scale=STATE_SCALE)
    return lrp_ref.Model.sequential([cell, layers.Dense(a["output"], a["output_bias"][0])])


# --- explanations ---------------------------------------------------------------------------------------------------------


def kinds_of(seen: np.ndarray) -> np.ndarray:
    """For each step (N, T) which of `KINDS` it is."""
    bag, coin = seen[..., 0] > 0, seen[..., 1] > 0
    bagged = np.cumsum(bag, axis=1) > 0
    return np.select([bag, coin & bagged, coin & ~bagged], [0, 1, 2], 3)


def row(model: lrp_ref.Model, seen: np.ndarray, through: rules.ThroughTime) -> list[float]:
    """Mean relevance of each kind of step, in percent of the mean prediction, and how often the moneybag is on top."""
    composite = composites.lstm_all(0.001).with_rules({"lstm1": through})
    explanation = lrp_ref.explain(model, seen, target=0, composite=composite)
    relevance, kinds = explanation.relevance.sum(axis=2), kinds_of(seen)
    means = [100 * relevance[kinds == k].mean() / explanation.value.mean() for k in range(len(KINDS))]
    ranks = (relevance > relevance[kinds == 0][:, None]).sum(axis=1)
    return [*means, 100 * (ranks <= (kinds == 1).sum(axis=1)).mean()]


def error_of(model: lrp_ref.Model, seen: np.ndarray, rewards: np.ndarray) -> float:
    """The mean squared error."""
    return float(np.mean((model(seen)[:, 0] - rewards) ** 2))


def networks(protocol: Protocol) -> list[lrp_ref.Model]:
    """The trained networks that are good enough."""
    parameters, (seen, rewards) = train(protocol), episodes("validation", protocol.data)
    models = [to_library(parameters, k) for k in range(len(protocol.seeds))]
    with torch.no_grad():
        expected = predicted(parameters, torch.from_numpy(seen).float()).numpy()
    for model, values in zip(models, expected, strict=True):
        np.testing.assert_allclose(model(seen)[:, 0], values, rtol=0, atol=1e-3)  # PyTorch computed in float32
    return [model for model in models if error_of(model, seen, rewards) < protocol.good_enough]


def report(name: str, protocol: Protocol) -> str:
    """The table of one protocol in Markdown."""
    models, (seen, rewards) = networks(protocol), episodes("test", protocol.data)
    kinds = kinds_of(seen)
    chosen = seen[(kinds[..., None] == np.arange(3)).any(axis=1).all(axis=1)]
    errors = [error_of(model, seen, rewards) for model in models]
    head = (
        f"**{name}**: {len(models)} of {len(protocol.seeds)} networks are explained; their test errors are {min(errors):.3f} to "
        f"{max(errors):.3f}, where the rewards' variance is {rewards.var():.2f}. {len(chosen)} of {len(seen)} test episodes have "
        "coins before and after the moneybag."
    )
    lines = [f"| | {' | '.join(KINDS)} | the moneybag is on top |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for rule, product in products(protocol.epsilon).items():
        through = rules.ThroughTime(product, protocol.linear, protocol.linear)
        rows = np.array([row(model, chosen, through) for model in models])
        pairs = zip(rows.mean(axis=0), rows.std(axis=0), strict=True)
        lines.append(f"| {rule} | {' | '.join(f'{mean:.1f} ({deviation:.1f})'.replace('-', '−') for mean, deviation in pairs)} |")
    return "\n".join([head, "", *lines, ""])


def main() -> None:
    """Train and explain; with `--out`, write the tables."""
    parser = argparse.ArgumentParser(description="Moneybag and coins, Arras et al. (2019), §11.5.2.")
    parser.add_argument("--out", type=Path, help="Markdown file for the tables; without it they are printed")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the sums' order, and so the last bits, depend on the number of threads
    parts = []
    for name, protocol in PROTOCOLS.items():
        parts.append(report(name, protocol))
        print(parts[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
