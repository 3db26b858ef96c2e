"""`python -m infra.training.hub train-hub run RECIPE`: what `keepsake train-hub` becomes in the training environment and under torchrun."""

from infra.training.hub.command import app

if __name__ == "__main__":
    app()
