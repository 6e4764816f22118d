"""What a name may consist of, and how text that is not made for a terminal is spelled."""

from __future__ import annotations

#: Letters that a name may have.
LONGEST = 1_000


def complaint(name: str) -> str:
    """What is wrong with a name, and how it would do; nothing where it can be printed, and stored in a file."""
    if len(name) > LONGEST:
        return f"has {len(name)} letters, and at most {LONGEST} are allowed"
    if name.isprintable():
        return ""
    bad = next((c for c in name if _controls(c)), "")
    return f"holds {bad!a}, a control character: {escaped(name)!a} is allowed" if bad else ""


def escaped(text: str, kept: str = "") -> str:
    r"""The same text with control characters and lone surrogates spelled out, as in \x1b, but for those that are `kept`."""
    if text.isprintable():
        return text
    return "".join(ascii(c)[1:-1] if _controls(c) and c not in kept else c for c in text)


def _controls(character: str) -> bool:
    """Whether a character is one that terminals, files or readers of text obey: controls, surrogates, line separators."""
    import unicodedata  # here, because few names are not printable

    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
