"""A toy vocabulary for streams of ids: 7 to 10 are the memento tokens, 11 and 12 <think> and </think>, 2 ends a text, 100 + b is the byte b."""

from app.memento.grammar import TokenIds

BS, BE, SS, SE = 7, 8, 9, 10
THINK, UNTHINK, EOS = 11, 12, 2
IDS = TokenIds(BS, BE, SS, SE)


def ids(text: str) -> list[int]:
    return [100 + byte for byte in text.encode()]


class Bytes:
    """Decodes byte by byte, holding unfinished characters back."""

    def __init__(self) -> None:
        self.held = b""

    def step(self, token: int) -> str:
        self.held += bytes([token - 100]) if token >= 100 else b""
        try:
            text, self.held = self.held.decode(), b""
        except UnicodeDecodeError:
            return ""
        return text

    def flush(self) -> str:
        held, self.held = self.held, b""
        return held.decode(errors="replace")


def blank(token: int) -> bool:
    return token < 100 or chr(token - 100).isspace()


def block(text: str, memento: str) -> list[int]:
    return [BS, *ids(text), BE, SS, *ids(memento), SE]
