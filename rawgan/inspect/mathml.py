"""The formulas of the table of operations, Unicode in a line, as mathematics on a page.

`html("W̄ = ȳᵀ x")` gives MathML, which browsers draw themselves; words between formulas stay words. What is
read: bars and hats over names, superscripts and subscripts, `^`, fractions, roots, |x|, indices such as
y[n, c].
"""

from __future__ import annotations

import html as escaping
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# Words that are names in formulas; a single letter always is one, other words are English.
NAMES = frozenset(
    [
        "log",
        "exp",
        "mean",
        "var",
        "sign",
        "max",
        "min",
        "tanh",
        "conv",
        "convT",
        "pad",
        "eps",
        "ddof",
        "mask",
        "slope",
        "scale",
        "shift",
        "negative_slope",
        "low",
        "high",
    ]
)
FUNCTIONS = frozenset(
    ["log", "exp", "mean", "var", "sign", "max", "min", "tanh"]
)  # a space stands after them
OVER = {"\u0304": "¯", "\u0302": "^", "\u0303": "~"}
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵀⁿ", "0123456789+−()Tn", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑᵢⱼₖₙₒₓ", "0123456789+−()aeijknox", strict=True))
CLOSING = {"(": ")", "[": "]", "{": "}"}
SIGNS = "+−-·⊙⋆×=≤≥<>≠∈∂,;:…'"

TOKENS = re.compile(
    rf"""(?P<space>\s+)
    |(?P<code>`[^`]*`)
    |(?P<number>\d+(?:\.\d+)?|½)
    |(?P<name>(?:[A-Za-z][A-Za-z_]*(?:'s)?|[α-ωΑ-Ωℝ∂])[{"".join(OVER)}]*)
    |(?P<raised>[{"".join(RAISED)}]+)
    |(?P<lowered>[{"".join(LOWERED)}]+)
    |(?P<open>[(\[{{])|(?P<close>[)\]}}])
    |(?P<sign>\+=|[{re.escape(SIGNS)}])
    |(?P<over>/)|(?P<power>\^)|(?P<bar>\|)|(?P<root>√)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class Token:
    kind: str
    text: str
    spaced: bool = False  # whether there was a space before it


def html(formula: str, names: Iterable[str] = ()) -> str:
    """A formula, or a sentence with formulas in it, as HTML with MathML.

    names: words that are names besides the usual ones.

    >>> html("x² is small")
    '<math displaystyle="true"><mrow><msup><mi>x</mi><mrow><mn>2</mn></mrow></msup></mrow></math> is small'
    """
    known = NAMES | set(names)
    out: list[str] = []
    run: list[Token] = []

    def flush() -> None:
        while run and run[-1].text in ("-", "'"):  # of words such as well-known
            out.append(escaping.escape(run.pop().text))
        if run:
            out.append(f'<math displaystyle="true"><mrow>{_Reader(run, known).row()}</mrow></math>')
            run.clear()

    depth = 0
    tokens = _tokens(formula)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.text == "a" and "a" not in names and following and following.kind == "name":
            token.kind = "word"  # the article
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and token.kind != "close" and _is_word(token, known):
            spaced = token.spaced and bool(out or run)
            flush()
            text = token.text.strip("`")
            said = f"<code>{escaping.escape(text)}</code>" if token.kind == "code" else escaping.escape(text)
            out.append(" " * spaced + said)
        else:
            if token.spaced and out and not run:
                out.append(" ")
            run.append(token)
    flush()
    return unicodedata.normalize("NFC", "".join(out))


def is_formula(text: str) -> bool:
    """Whether a text begins with mathematics, not with words."""
    first = next(iter(_tokens(text)), None)
    return first is not None and not _is_word(first, NAMES)


def _tokens(formula: str) -> list[Token]:
    out, spaced = [], False
    for found in TOKENS.finditer(unicodedata.normalize("NFD", formula)):
        kind, text = found.lastgroup or "other", found.group()
        if kind == "space":
            spaced = True
            continue
        out.append(Token(kind, text, spaced))
        spaced = False
    return out


def _plain(name: str) -> str:
    return name.rstrip("".join(OVER))


def _is_word(token: Token, known: Iterable[str]) -> bool:
    if token.kind == "name":
        return (len(_plain(token.text)) > 1 and _plain(token.text) not in known) or token.text in ("A", "I")
    return token.kind in ("code", "other", "word") or token.text in (",", ";", ":")


class _Reader:
    """Reads tokens into MathML, by descent."""

    def __init__(self, tokens: list[Token], known: Iterable[str]):
        self._tokens, self._at, self._known = tokens, 0, known

    def row(self, until: str = "") -> str:
        """All up to a closing bracket, which is taken too."""
        out: list[str] = []
        factors: list[tuple[str, str]] = []  # what stands side by side: (all of it, without its brackets)
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.text == until:
                self._at += 1
                break
            if token.kind == "sign":
                self._at += 1
                out += [whole for whole, _ in factors]
                factors = []
                out.append(f"<mo>{escaping.escape(token.text.replace('-', '−'))}</mo>")
            elif token.kind == "over":
                self._at += 1
                above = factors[0][1] if len(factors) == 1 else "".join(whole for whole, _ in factors)
                below = self._factor()[1] if self._at < len(self._tokens) else ""
                both = f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"
                factors = [(both, both)]
            else:
                factors.append(self._factor())
        return "".join(out + [whole for whole, _ in factors])

    def _factor(self) -> tuple[str, str]:
        """One factor with all that hangs on it; and the same without the brackets around it."""
        token = self._take()
        bare = ""
        if token.kind == "open":
            inner = self.row(CLOSING[token.text])
            bare = inner if token.text == "(" else ""  # [x > y] is 1 where it holds: that stays
            made = f"<mrow><mo>{token.text}</mo>{inner}<mo>{CLOSING[token.text]}</mo></mrow>"
        elif token.kind == "bar":
            made = f'<mrow><mo stretchy="false">|</mo>{self.row("|")}<mo stretchy="false">|</mo></mrow>'
        elif token.kind == "root":
            made = f"<msqrt>{self._factor()[1]}</msqrt>"
        elif token.kind == "sign":  # such as the minus of e^−x
            made = f"<mrow><mo>{escaping.escape(token.text)}</mo>{self._factor()[0]}</mrow>"
        elif token.kind == "number":
            made = f"<mn>{token.text}</mn>"
        elif token.kind == "name":
            made = self._name(token)
        else:
            made = f"<mtext>{escaping.escape(token.text)}</mtext>"
        hung = self._hung(made)
        return hung, (bare if bare and hung == made else hung)

    def _hung(self, made: str) -> str:
        """With its subscript, superscript, index and power."""
        below = above = ""
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "lowered":
                below += _script(self._take().text, LOWERED)
            elif token.kind == "raised":
                above += _script(self._take().text, RAISED)
            elif token.kind == "power":
                self._take()
                above += self._factor()[1]
            elif token.text == "[" and not token.spaced and "<mi>" in made:
                self._take()
                below += self.row("]")
            else:
                break
        if below and above:
            return f"<msubsup>{made}<mrow>{below}</mrow><mrow>{above}</mrow></msubsup>"
        if below:
            return f"<msub>{made}<mrow>{below}</mrow></msub>"
        return f"<msup>{made}<mrow>{above}</mrow></msup>" if above else made

    def _name(self, token: Token) -> str:
        plain = _plain(token.text)
        if _is_word(token, self._known):
            return self._words(plain)
        if plain == "Σ":
            return '<mo largeop="false">Σ</mo>'
        made = f"<mi>{escaping.escape(plain)}</mi>"
        for mark in token.text[len(plain) :]:
            # Few fonts stretch a bar over a word: the page's style draws one there.
            long = ' class="long"' if len(plain) > 1 else ""
            made = f'<mover accent="true"{long}>{made}<mo stretchy="false">{OVER[mark]}</mo></mover>'
        follows = self._tokens[self._at] if self._at < len(self._tokens) else None
        if plain in FUNCTIONS and follows is not None and follows.spaced:
            made += '<mspace width="0.17em"></mspace>'
        return made

    def _words(self, said: str) -> str:
        """A word, and those that follow, with the spaces that mathematics would swallow."""
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "name":
            if not _is_word(self._tokens[self._at], self._known):
                break
            said += " " + self._take().text
        return f"<mtext>\u00a0{escaping.escape(said)}\u00a0</mtext>"

    def _take(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]


def _script(text: str, to: dict[str, str]) -> str:
    out = ""
    for part in re.findall(r"\d+|\D", "".join(to[c] for c in text)):
        tag = "mn" if part.isdigit() else "mi" if part.isalpha() else "mo"
        out += '<mi mathvariant="normal">T</mi>' if part == "T" else f"<{tag}>{part}</{tag}>"
    return out
