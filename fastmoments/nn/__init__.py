"""Gaussians through PyTorch networks: `propagate`, layers of Gaussian weights, and how to read the result."""

import typing as _typing
from importlib.util import find_spec as _find_spec

if _find_spec("torch") is None:
    raise ImportError("fm.nn needs PyTorch: pip install fastmoments[torch]")

from fastmoments.graph.propagate import propagate as propagate
from fastmoments.graph.rules import affine as affine
from fastmoments.graph.rules import elementwise as elementwise
from fastmoments.nn.classes_and_conditioning import class_probabilities as class_probabilities
from fastmoments.nn.classes_and_conditioning import condition as condition
from fastmoments.nn.convolutions import BayesConv1d as BayesConv1d
from fastmoments.nn.convolutions import BayesConv2d as BayesConv2d
from fastmoments.nn.convolutions import BayesConv3d as BayesConv3d
from fastmoments.nn.modules import Activation as Activation
from fastmoments.nn.modules import BayesLinear as BayesLinear
from fastmoments.nn.modules import kl_divergence as kl_divergence
from fastmoments.nn.noise import AdditiveNoise as AdditiveNoise
from fastmoments.nn.noise import MultiplicativeNoise as MultiplicativeNoise
from fastmoments.nn.noise import StochasticDepth as StochasticDepth

# type checkers would take it for leave to name anything
if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> _typing.Any:
        import torch

        from fastmoments.hints import no_attribute

        if isinstance(getattr(torch.nn, name, None), type):
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}; PyTorch's own is taken as it is: torch.nn.{name}"
            )
        raise no_attribute(__name__, name, globals())
