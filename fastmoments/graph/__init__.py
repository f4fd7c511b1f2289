"""Networks as graphs: `propagate` carries a Gaussian through a model of any library.

A call passes through these files in turn:

inputs          checks mu and cov, and knows how the model takes its arguments
frontends       make the graph of a model: PyTorch, JAX, lists of layers, scikit-learn
nodes           the graph: nodes of one value each, and the rules by which one comes from others
rewrite         makes activations of elementwise operations, which `functions` composes and `identify` knows, gates
                of products (`gating`, `factors`), and norms and softmax of what has their values (`recognise`)
selections      joins copies of elements with the weights behind them, where correlations are left out
order           orders the nodes into steps by depth, and judges their sizes
readings        carry moments through the steps: full, diagonal, hybrid, bound; `siblings` groups functions alike

`propagate` and `describe` are the public functions, `rules` makes the nodes that users' own rules return, `noise`
those of a network's own noise, and `grouping` those of functions of groups of elements.
"""
