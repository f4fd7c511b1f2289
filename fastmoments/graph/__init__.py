"""Networks as graphs: `propagate` carries a Gaussian through a model of any library.

nodes           a graph: nodes of one value each, and the rules by which one comes from others
frontends       make the graph of a model: PyTorch, JAX, lists of layers, scikit-learn
rewrite         elementwise operations become activations (`functions`, `identify`)
order           steps by depth, and the limit of features
readings        carry moments through the steps: full, diagonal, hybrid, bound (`siblings` computes activations
                of one step together)
propagate       the public function, and `describe`
"""
