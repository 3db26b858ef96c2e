"""Small made-up role calls: the answer repeats the word that the prompt names, so that a tiny model can learn them."""

import random

from infra.training.examples import STREAM, Example

WORDS = ("lamp", "desk", "chair", "river", "stone", "paper", "green", "seven", "cloud", "bread", "glass", "music")


def example(word: str, step: int = 1, role: str = "ledger", seed: int = 0) -> Example:
    prompt = f"{role.upper()}\nTask: bring the {word} to the {WORDS[seed % len(WORDS)]} {seed}\nTrail:\n" + "- done\n" * step
    return Example(role, "order", f"{role}.step {step}", seed, [{"role": "user", "content": prompt}], f"step {step} web: find {word}")


def thinking(word: str, blocks: int = 3, seed: int = 0) -> Example:
    """A role call with a thought before its answer."""
    draw = random.Random(f"{word} {seed}")
    thought = [[" ".join(draw.choices(WORDS, k=draw.randint(3, 9))), draw.choice(WORDS)] for _ in range(blocks)]
    plain = example(word, seed=seed)
    return Example(plain.role, plain.family, plain.kind, seed, plain.messages, plain.completion, thought)


def examples(n: int, first_seed: int = 0) -> list[Example]:
    """`n` different examples, three of each seed that begin alike."""
    made = []
    for i in range(n):
        seed = first_seed + i // 3
        word = random.Random(seed).choice(WORDS)
        made.append(example(word, 1 + i % 3, "web" if seed % 2 else "ledger", seed))
    return made


def conversation() -> Example:
    """A run as one conversation: a page that is left, a step that ends with the model's memento, and an answer that is not to be learned."""
    messages = [
        {"role": "user", "content": "PLAN\nTask: buy 3"},
        {"role": "assistant", "content": "1 web: buy"},
        {"role": "user", "content": "LEDGER", "opens": "yes"},
        {"role": "assistant", "content": "step 1 web: buy"},
        {"role": "user", "content": "WEB"},
        {"role": "assistant", "content": "click link Wrong [9]", "learn": "no"},
        {"role": "user", "content": "Page: B\n[1]-[2] same", "closes": "Done: click Wrong\nlink A [1]", "opens": "yes"},
        {"role": "assistant", "content": "Bought it.", "memento": "yes"},
        {"role": "user", "content": "FINAL", "kept": "Person: hurry\n", "opens": "yes"},
    ]
    return Example(STREAM, "order", "stream.order", 0, messages, "done")
