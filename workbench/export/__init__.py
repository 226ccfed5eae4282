"""What a person takes home: the adapter with its card, and the synthetic data set.

Nothing that leaves carries a path of this machine, an environment variable or markup from a model.
"""
