"""Two-stage supervised fine-tuning of models of the Hugging Face hub with TRL: the same recipe twice, under the causal and the memento mask."""
