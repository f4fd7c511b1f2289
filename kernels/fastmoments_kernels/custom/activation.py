"""The activation that a user writes, and the ready-made ones: no closed form, so to a tolerance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments_kernels.parameters import Explained

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Custom(metaclass=Explained):
    """An elementwise function, by quadrature to a tolerance.

    Parameters
    ----------
    function : takes a float64 array, returns f of every element, a real number that depends on it alone, in an
        array of the same shape. One that does not is an error when it is called. For JAX arrays it is traced, so
        it has to be written with jax.numpy.
    tol : |error| <= tol sqrt(Var f(X_i) Var f(X_j)) for covariances, tol sqrt(E (f(X) - f(mu))^2) for means.
        Without variance f' and f'' are differences that agree to it, nan where they do not, as on a jump.
    kinks : points where f or f' breaks; without them a kinked function needs a coarse tol. Put them around what is
        narrower than a tenth of a standard deviation as well, unless it is one wide and at 0: nothing else says
        that it is there.
    lipschitz : sup |f'|, for error bounds alone; nothing looks whether it is right.
    """

    function: Callable[[Any], Any]
    tol: float = 1e-10
    kinks: tuple[float, ...] = ()
    lipschitz: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function: expected a function of an array, got {self.function!r}")
        try:
            kinks = tuple(float(kink) for kink in self.kinks)
        except (TypeError, ValueError):
            raise TypeError(f"kinks: expected a tuple of numbers, got {self.kinks!r}") from None
        if not all(np.isfinite(kinks)):
            raise ValueError(f"kinks: expected finite numbers, got {kinks}")
        object.__setattr__(self, "kinks", kinks)  # a list could not be hashed
        if not isinstance(self.tol, int | float) or not 0.0 < self.tol < 1.0:
            raise ValueError(f"tol: expected a number between 0 and 1, got {self.tol!r}")
        bound = self.lipschitz
        if bound is not None and not (isinstance(bound, int | float) and bound >= 0.0):
            raise ValueError(f"lipschitz: expected None or a number >= 0, got {bound!r}")


class ToleranceError(ValueError):
    """The tolerance cannot be met; the message says where, and what helps. On JAX arrays the result is nan."""


class _OnNumpy:
    """The words of the ready-made functions on NumPy arrays."""

    tanh, exp, log1p, abs, maximum = np.tanh, np.exp, np.log1p, np.abs, np.maximum

    @staticmethod
    def expit(x: Array) -> Array:
        # scipy takes longer to import than everything else
        from scipy.special import expit

        value: Array = expit(x)
        return value


@dataclass(frozen=True)
class Formula:
    """A function in the words of any array library, formula(words, x); called, it takes NumPy arrays."""

    formula: Callable[[Any, Any], Any]

    def __call__(self, x: Array) -> Array:
        value: Array = self.formula(_OnNumpy, x)
        return value


def _tanh(xp: Any, x: Any) -> Any:
    return xp.tanh(x)


def _sigmoid(xp: Any, x: Any) -> Any:
    return xp.expit(x)


def _silu(xp: Any, x: Any) -> Any:
    return x * xp.expit(x)


def _softplus(xp: Any, x: Any) -> Any:
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def _gelu_tanh(xp: Any, x: Any) -> Any:
    # not by 1 + tanh(u), which is nothing but rounding where it is small
    return x * xp.expit(np.sqrt(8.0 / np.pi) * (x + 0.044715 * x**3))


READY = {
    "tanh": Custom(Formula(_tanh), lipschitz=1.0),
    "sigmoid": Custom(Formula(_sigmoid), lipschitz=0.25),
    "silu": Custom(Formula(_silu), lipschitz=1.0998393201288670),
    "softplus": Custom(Formula(_softplus), lipschitz=1.0),
    "gelu_tanh": Custom(Formula(_gelu_tanh), lipschitz=1.1289930686587719),
}
