"""`python -m infra.training train run RECIPE`: what `keepsake train` becomes in the training environment."""

from infra.training.command import app

if __name__ == "__main__":
    app()
