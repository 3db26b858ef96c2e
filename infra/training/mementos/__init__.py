"""OpenMementos: raw reasoning traces become traces of blocks and mementos to train on (MEMENTO, arXiv 2604.09852, section 3). No torch."""
