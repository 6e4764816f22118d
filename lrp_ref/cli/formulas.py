r"""LaTeX as a terminal can show it: ``\frac{a_j w_{jk}}{z_k}`` becomes ``a_j w_jk / z_k``."""

from __future__ import annotations

import re

_WORDS = {
    "sum": "Σ", "alpha": "α", "beta": "β", "gamma": "γ", "epsilon": "ε", "eta": "η", "lambda": "λ", "sigma": "σ",
    "tau": "τ", "delta": "δ", "kappa": "κ", "mu": "μ", "pm": "±", "mp": "∓", "to": "→", "ge": "≥", "le": "≤", "ne": "≠",
    "in": "∈", "odot": "⊙", "cdot": "·", "times": "×", "ldots": "…", "infty": "∞", "partial": "∂", "tanh": "tanh",
    "exp": "exp", "log": "log", "max": "max", "min": "min", "quad": "\t", "qquad": "\t", "left": "", "right": "",
    "int": "∫", "sim": "~", "Big": "", "big": "", "Bigg": "", "bigg": "", "Delta": "Δ", "Sigma": "Σ", "pi": "π",
    "cup": "∪", "notin": "∉",
}  # fmt: skip
_RAISED = {"+": "⁺", "-": "⁻", "2": "²", "B": "ᴮ", "T": "ᵀ", "\\top": "ᵀ"}


def readable(latex: str) -> str:
    """The text of a formula in one line of plain characters.

    Parameters
    ----------
    latex : the formula
    """
    text, end = _group(latex, 0)
    assert end == len(latex), f"unbalanced braces in {latex}"
    text = re.sub(r"(?<!\w)-", "−", text)  # a hyphen after a letter, as in LRP-0, stays one
    return re.sub(r" *\t *", "   ", re.sub(r" {2,}", " ", text)).strip()


def _group(latex: str, at: int) -> tuple[str, int]:
    """The text of everything up to the brace that closes the group, and where that is."""
    out = ""
    while at < len(latex) and latex[at] != "}":
        part, at = _token(latex, at)
        out += part
    return out, at


def _token(latex: str, at: int) -> tuple[str, int]:
    if latex[at] in "_^":
        content, end = _argument(latex, at + 1)
        return (_lowered if latex[at] == "_" else _raised)(content), end
    if latex[at] == "{":
        return _argument(latex, at)
    if latex[at] == "\\":
        return _command(latex, at)
    return latex[at], at + 1


def _command(latex: str, at: int) -> tuple[str, int]:
    match = re.compile(r"\\([A-Za-z]+|.)").match(latex, at)
    assert match is not None, f"a lone backslash in {latex}"
    name, end = match.group(1), match.end()
    if name in ("frac", "tfrac"):
        upper, end = _argument(latex, end)
        lower, end = _argument(latex, end)
        # The dot keeps what follows a fraction out of its denominator.
        dot = " ·" if re.match(r" *(\\Big\(|[\w(]|\\frac)", latex[end:]) else ""
        return f"{_bracketed(upper)} / {_bracketed(lower, strict=True)}{dot}", end
    if name in ("text", "operatorname", "mathrm", "mathcal"):
        return _argument(latex, end)
    if name == "tilde":
        letter, end = _argument(latex, end)
        return f"{letter}\N{COMBINING TILDE}", end
    if name in (",", ";", ":", " "):
        return " ", end
    return _WORDS.get(name, name), end


def _argument(latex: str, at: int) -> tuple[str, int]:
    """What a command, an index or an exponent applies to: a group or one token."""
    while at < len(latex) and latex[at] == " ":
        at += 1
    if latex[at] == "{":
        text, end = _group(latex, at + 1)
        return text, end + 1
    return _token(latex, at)


def _bracketed(text: str, strict: bool = False) -> str:
    """`text` in brackets where a division would otherwise take only its end (below the line: any product, too)."""
    depth, plain = 0, ""
    for c in text:
        depth += (c in "([") - (c in ")]")
        plain += c if depth == 0 else ""
    enclosed = text.startswith("(") and text.endswith(")") and plain == ")"
    many = any(sign in plain for sign in (" + ", " - ", "Σ", " / ")) or (strict and " " in plain.strip())
    return f"({text})" if many and not enclosed else text


def _lowered(content: str) -> str:
    content = content.replace("-", "−")
    return f"_{content}" if re.fullmatch(r"[\w']+", content) else f"_{{{content}}}"


def _raised(content: str) -> str:
    return _RAISED.get(content, f"^{content}" if len(content) == 1 else f"^({content.replace('-', '−')})")
