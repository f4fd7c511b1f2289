"""Front ends: each makes a graph of what one library calls a model. They know no mathematics of Gaussians."""
