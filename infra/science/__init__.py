"""The toy of MEMENTO (arXiv 2604.09852) small enough for two cores: does a memento's key-value cache carry what its text does not say?

`toy` is the task and its layout, `model` the transformer, `train` and `decode` how it learns and how it answers under eviction, `probe` what
can be read from its cache, `rules` what a wrong rule does to it, `experiment` all of that for one seed. `traces` is for real weights. `program`
runs either in the training environment and writes JSON lines, which `figures` and `plots` read. `keepsake bench science` is where it starts.
"""
