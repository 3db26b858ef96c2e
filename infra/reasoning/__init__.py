"""Procedural reasoning tasks whose solvers think in blocks and mementos (MEMENTO, arXiv 2604.09852): what the embedded model learns to reason
on, and is measured on.

A family's `step` maps a question and the mementos so far to the next block, or to the answer, and sees nothing else. A trace is `step` iterated,
so each memento is sufficient by construction. Start at `problems.problem`; `base` has the words, `check` judges answers and traces.

Knows no tokens and no model: texts here are what goes between the four memento tokens.
"""
