"""Small made-up role calls: the answer repeats the word that the prompt names, so that a tiny model can learn them."""

import random

from infra.training.examples import Example

WORDS = ("lamp", "desk", "chair", "river", "stone", "paper", "green", "seven", "cloud", "bread", "glass", "music")


def example(word: str, step: int = 1, role: str = "ledger", seed: int = 0) -> Example:
    prompt = f"{role.upper()}\nTask: bring the {word} to the {WORDS[seed % len(WORDS)]} {seed}\nTrail:\n" + "- done\n" * step
    return Example(role, "order", f"{role}.step {step}", seed, [{"role": "user", "content": prompt}], f"step {step} web: find {word}")


def examples(n: int, first_seed: int = 0) -> list[Example]:
    """`n` different examples, three of each seed that begin alike."""
    made = []
    for i in range(n):
        seed = first_seed + i // 3
        word = random.Random(seed).choice(WORDS)
        made.append(example(word, 1 + i % 3, "web" if seed % 2 else "ledger", seed))
    return made
