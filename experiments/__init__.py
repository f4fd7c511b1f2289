"""The sources' claims and the method's limits, measured: `make experiments` writes docs/experiments/.

An experiment is a file here and a name in EXPERIMENTS, with

    FULL, FAST                    how much to compute: dictionaries that JSON can hold
    cases(size)                   what to compute: a function without arguments by name of the case
    page(size, results)           the text of docs/experiments/<name>.md
    draw(size, results, path)     the figure docs/figures/<name>.png

`running.py` computes the cases that docs/experiments/<name>.json lacks, and keeps each as soon as it is there.
Text and figure take every number from that file.
"""

EXPERIMENTS = (
    "exactness",
    "limits",
    "answers",
    "claims",
    "random_networks",
    "california_housing",
    "missing_features",
    "bayesian_network",
    "stochastic_network",
    "stress",
    "volatility",
)
