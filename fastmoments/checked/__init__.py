"""A network's mean and covariance with an error that is checked: points through the model, weighed with a start.

A call passes through these files in turn:

starts        the closure and what cumulants make of it, one answer for every input of the batch
directions    turns the input so that the coordinates that matter most at the output come first
points        independently scrambled Sobol sequences, block by block, in these coordinates
runs          runs the model itself at many points, what it draws taken from the points
statistics    means and covariances of every sequence
weights       the start and the points, each with the weight its error leaves it, and what may be claimed of it
answer        doubles the points of every input until the claim is met
gradients     derivatives of the answer along the input and the model's parameters
result        what `propagate` returns

`corrected` is the answer of cumulants alone; `arrays` reads values, and `progress` shows a bar where a call takes
long.
"""
