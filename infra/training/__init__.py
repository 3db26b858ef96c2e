"""The fine-tuning job of the embedded model: examples, selection, packing, training with exact resume, evaluation, the shipped delta."""
