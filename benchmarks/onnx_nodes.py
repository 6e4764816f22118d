"""How many node cases of the `onnx` package pass, operator by operator, and why the others are out of scope.

python benchmarks/onnx_nodes.py [--list]
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import onnx_cases


def reason(outcome: onnx_cases.Outcome) -> str:
    """Why a case has no signal that could be explained: what a batch of signals met, without the names of this one case."""
    signals = [why for why in outcome.reasons if not why.startswith("constants: ")] or outcome.reasons
    return signals[0].split(": ", 1)[-1] if signals else ""


def main() -> int:
    verdicts: Counter[str] = Counter()
    by_operator: dict[str, Counter[str]] = defaultdict(Counter)
    outside: dict[str, list[str]] = defaultdict(list)
    for case in onnx_cases.collected():
        outcome = onnx_cases.tried(case)
        verdicts[outcome.verdict] += 1
        by_operator[case.model.graph.node[0].op_type][outcome.verdict] += 1
        if outcome.wrong:
            print("WRONG", case.name, outcome.wrong)
        elif not outcome.passed:
            outside[reason(outcome)].append(case.name)
    for operator, counts in sorted(by_operator.items()):
        print(f"{operator:<24}" + "  ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items(), reverse=True)))
    print("\nout of scope:")
    for why, names in sorted(outside.items(), key=lambda item: -len(item[1])):
        print(f"  {len(names):>3}  {why[:200]}\n       {', '.join(n.removeprefix('test_') for n in names)}")
    print(
        "\n" + ", ".join(f"{verdict}: {count}" for verdict, count in sorted(verdicts.items())),
        f"of {sum(verdicts.values())} cases",
    )
    return 1 if verdicts["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
