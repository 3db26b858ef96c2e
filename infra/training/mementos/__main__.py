"""`python -m infra.training.mementos mementos build ...`: what `keepsake mementos` becomes in the training environment."""

from infra.training.mementos.command import app

if __name__ == "__main__":
    app()
