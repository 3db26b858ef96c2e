"""sandboxd: the one service of a deployment that holds an engine."""
