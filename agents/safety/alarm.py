"""Whether a text that was read speaks to an assistant as if it were its person. It decides nothing: the gate looks at where values come from, and
this only tells people who are asked anyway what else stands there. Words can always be put otherwise.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

_ORDERS = (
    "instruction prompt rule guideline restriction policy policies filter directive protocol limit safety training anweisung richtlinie regel "
    "vorgabe instruccion reglas directrices istruzion regole linee consigne règle regle"
)
_DROP = "ignor disregard forget overrid bypass supersed vergiss missachte olvid oubli dimentic scorda trascura"
_TELL = (
    "reveal print output show dump repeat tell leak disclose expose give display verrate zeig nenne "
    "révél revel montre affich mostra rivel muestr"
)
_INNER = (
    r"(?:system (?:prompt|message|instructions?)|hidden prompt|(?:your|initial) (?:initial |own |system )?(?:instructions?|prompt)"
    r"|context window|systemanweisung\w*|systemprompt|prompt (?:système|de sistema|di sistema)|instructions système|api keys?"
    r"|instrucciones (?:del|de) sistema|istruzioni di sistema|internal configuration|customer database|confidential data)"
)


def _begun(words: str) -> str:
    """A pattern for words that begin with one of these."""
    return rf"(?:{'|'.join(words.split())})\w*"


_SIGNS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"\b{_begun(_DROP)}\W+(?:\S+\s+){{0,5}}?{_begun(_ORDERS)}",
        rf"\b{_begun(_DROP)}\W+(?:everything|all|anything)\W+(?:\w+\W+)?(?:above|before)\b",
        r"\bignore the user\b",
        rf"\b{_begun(_TELL)}\W+(?:\S+\s+){{0,5}}?{_INNER}\b",
        r"\b(?:no|without|any|beyond|un)\W*(?:any\W+)?(?:rules|filters?|limits?|restrictions?|restricted|content policy)\b",
        r"\b(?:sin restricciones|senza restrizioni|sans restrictions?|ohne einschränkungen|unrestricted|developer mode|jailbreak\w*)\b",
        r"\byou are (?:now|no longer)\b",
        r"\b(?:comply with|answer|obey) (?:every|all|any)(?: request|thing)?\b.{0,40}\b(?:request|question|on)\b|\banswer everything\b",
        r"<\|\w+\|>|\[/?INST\]|<</?SYS>>|^\W*system\s*:|<thinking>|^#+\s*(?:new )?instructions?\b|\bnew (?:instructions?|directive)s?\b",
        r"\b(?:ai|llm)s? (?:assistants?|agents?|models?)\b.{0,30}\b(?:reading|integrating|processing|summari\w+|using|should|must)\b",
        r"\bnote to (?:the )?(?:bot|assistant|ai|agent|model)\b|\bwhen you summari[sz]e\b|\byou must include\b",
        r"\bcall \w+_\w+\b|\bbefore (?:you (?:reply|answer|respond)|responding|replying)\b",
        r"\b(?:in|to) every (?:future )?(?:reply|response|summary)\b|\bshown to the user in every\b",
        r"\bskip (?:all )?(?:safety |the )?(?:checks|confirmations?)\b|\bwithout (?:asking|confirm\w*)(?: again)?\b|\bproceed without\b",
        r"\bgranted permission\b|\bprotocols? disabled\b|\bsafety (?:rules|checks|protocols)\b",
        r"\b(?:decode|decrypt|translate)\b.{0,80}\b(?:and|then)\b.{0,30}\b(?:follow|execute|do|run|obey)\b",
        r"\b(?:save|store) (?:this|the) (?:note|text)? ?(?:to|in) your memory\b|\b(?:verbatim|wortwörtlich|mot pour mot|parola per parola)\b",
        r"\b(?:regeln|regles|règles|regole|linee guida)\b.{0,30}\b(?:gelten nicht|ne s'appliquent pas|non valgono|no se aplican)\b",
    )
)
_MORSE = dict(
    zip(
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(),  # noqa: SIM905
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)
_MOST = 20_000  # characters that are looked through


@lru_cache(maxsize=256)
def alarm(text: str) -> str:
    """The words that speak to an assistant, at most 80 characters of them; empty where none do. Disguised ones are read, too."""
    for reading in _readings(text[:_MOST]):
        for sign in _SIGNS:
            if found := sign.search(reading):
                return " ".join(found[0].split())[:80]
    return ""


def _readings(text: str) -> Iterator[str]:
    """The text, and what it may be in disguise."""
    yield text
    yield codecs.decode(text, "rot13")
    yield text[::-1]
    if "\\u" in text:
        yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    for token in re.findall(r"[A-Za-z0-9+/_-]{20,}={0,2}", text):
        yield from _decoded(
            token, lambda own: base64.b64decode(own + "=" * (-len(own) % 4), altchars=b"-_" if "-" in own or "_" in own else None)
        )
    for token in re.findall(r"\b(?:[0-9a-fA-F]{2}\s?){12,}", text):
        yield from _decoded(token, lambda own: bytes.fromhex("".join(own.split())))
    for token in re.findall(r"\b[A-Z2-7]{24,}={0,6}", text):
        yield from _decoded(token, lambda own: base64.b32decode(own + "=" * (-len(own) % 8)))
    for token in re.findall(r"<~.+?~>", text, re.DOTALL):
        yield from _decoded(token, lambda own: base64.a85decode(own, adobe=True))
    if bits := re.findall(r"\b[01]{8}\b", text):
        yield "".join(chr(int(bit, 2)) for bit in bits)
    if len(signs := re.findall(r"[.-]+|/", text)) > 12:
        yield "".join(" " if sign == "/" else _MORSE.get(sign, "") for sign in signs)


def _decoded(token: str, decode: Callable[[str], bytes]) -> Iterator[str]:
    try:
        yield decode(token).decode("utf-8")
    except (binascii.Error, ValueError):
        return
