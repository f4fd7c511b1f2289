"""The Gaussian that goes into a network: its arrays checked, with a batch, and in the structure that came."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastmoments.dispatch import Plan, plan_of
from fastmoments.distributions import flattened, given_by, is_distribution
from fastmoments.dtypes import eps_of
from fastmoments.frameworks import Words, words_of
from fastmoments.graph.kinds import check_floats, check_kinds, check_places
from fastmoments.graph.nodes import parted
from fastmoments.layer_lists import arrays_of, is_list
from fastmoments_kernels import cautions

Array = Any


class Inputs(NamedTuple):
    """Means (rows, *shape) of every input, and their covariance (rows or 1, n, n) or variances like the means.

    `arguments` makes positional and named arguments of the model of a list of arrays. A `single` input came
    without a batch.
    """

    plan: Plan
    means: list[Array]
    cov: Array
    variances: list[Array]
    single: bool
    arguments: Callable[[Sequence[Array]], tuple[list[Array], dict[str, Array]]]

    @property
    def rows(self) -> int:
        """The number of inputs in the batch."""
        return len(self.means[0])

    def of_all_rows(self, words: Words[Any], value: Array) -> Array:
        """Return what may be one for the whole batch for every input in it."""
        if self.single:
            return value[0]
        if len(value) == self.rows:
            return value
        return 1.0 * words.xp.broadcast_to(value, (self.rows, *value.shape[1:]))

    @property
    def features(self) -> int:
        """The number of elements of an input."""
        return sum(math.prod(mean.shape[1:]) for mean in self.means)

    def flattened(self, words: Words[Any], arrays: Sequence[Array] | None = None) -> Array:
        """Return the means, or arrays like them, flattened in order, (rows, n)."""
        # not -1, which a batch without inputs has not
        arrays = [x.reshape(len(x), math.prod(x.shape[1:])) for x in (self.means if arrays is None else arrays)]
        return arrays[0] if len(arrays) == 1 else words.xp.concatenate(arrays, -1)

    def parts(self, rows: Array) -> list[Array]:
        """Return what `flattened` joins, of any number of rows."""
        return parted(rows, (tuple(mean.shape[1:]) for mean in self.means))


def inputs_of(model: Any, mu: Any, cov: Any, covariance: str | None) -> Inputs:
    """Check the arguments of `propagate`; with None for `covariance` the means alone."""
    check_places(model, mu, cov)
    if cov is None and (covariance is not None or is_distribution(mu)):
        mu, cov = _of_distribution(mu, covariance)
    elif is_distribution(mu):
        raise TypeError("cov: a distribution as mu has its own covariance; leave cov out")
    mus, arguments, names = _parts(mu, "mu", model)
    spreads, spread_names = _spreads(cov, covariance)
    named = dict(zip((*names, *spread_names), (*mus, *spreads), strict=True))
    layers = arrays_of(model) if is_list(model) else {}
    check_kinds(model, named)
    plan = plan_of(named | layers)
    # models of PyTorch and JAX have a dtype of their own, and inputs of any shape
    of_vectors = bool(layers) or plan.framework == "numpy"
    if not of_vectors:
        check_floats(named)
        plan = plan._replace(compute=plan.result)
    words = words_of(plan)
    arrays = words.to_arrays(plan, named)
    mus, spreads = [arrays[name] for name in names], [arrays[name] for name in spread_names]
    if covariance == "full" and not of_vectors:
        single = _is_single(names, mus, spreads[0])
    else:
        single = all(x.ndim == 1 for x in mus)
    if single:
        mus, spreads = [x[None] for x in mus], [x[None] for x in spreads]
    _check_rows(names, mus)
    full = None
    if covariance == "full":
        full = _checked_covariance(words, mus, spreads[0], eps_of(cov, spreads[0]), single)
    is_diagonal = covariance not in ("full", None)
    variances = _checked_variances(words, mus, spreads, spread_names, single) if is_diagonal else []
    return Inputs(plan, mus, full, variances, single, arguments)


def _is_single(names: Sequence[str], mus: Sequence[Array], cov: Array) -> bool:
    """Whether the covariance is that of one input without a batch; raise where it may be of a batch of one, too."""
    if cov.ndim != 2 or cov.shape[-1] != sum(map(_elements, mus)):
        return False
    are_ones = all(x.ndim > 1 and len(x) == 1 for x in mus)
    if are_ones and any(x.ndim > 2 for x in mus):
        raise ValueError(
            f"cov: {tuple(cov.shape)} beside {names[0]} {tuple(mus[0].shape)} may be of one input or of a batch of "
            f"one: give cov[None] for the batch, or {names[0]}[None] and cov[None] for the input"
        )
    return not are_ones


def _of_distribution(mu: Any, covariance: str | None) -> tuple[Any, Any]:
    """Mean and covariance, or variances, of a normal distribution."""
    if covariance == "full":
        return flattened(mu)
    given = given_by(mu)
    return given.mean, given.variance


def _spreads(cov: Any, covariance: str | None) -> tuple[list[Any], list[str]]:
    """The covariance, or the variances of every input, and their names."""
    if covariance is None:
        return [], []
    if covariance == "full":
        return [cov], ["cov"]
    spreads, _, names = _parts(cov, "cov")
    return spreads, names


def _parts(value: Any, name: str, model: Any = None) -> tuple[list[Any], Any, list[str]]:
    """The arrays of an argument, how a model takes them, and their names."""
    if _has_jax(value):
        return _leaves(value, name, model)
    if isinstance(value, Mapping):
        keys, by_name = list(value), _takes(model, value)

        def arguments(arrays: Sequence[Array]) -> tuple[list[Any], dict[str, Array]]:
            named = dict(zip(keys, arrays, strict=True))
            return ([], named) if by_name else ([named], {})

        return list(value.values()), arguments, [f"{name}[{key!r}]" for key in keys]
    if isinstance(value, list | tuple) and value and all(hasattr(x, "ndim") for x in value):
        return list(value), lambda arrays: (list(arrays), {}), [f"{name}[{k}]" for k in range(len(value))]
    return [value], lambda arrays: (list(arrays), {}), [name]


def _has_jax(value: Any) -> bool:
    """Whether a value is, or has in it, an array or tracer of JAX."""
    jax = sys.modules.get("jax")
    return jax is not None and any(isinstance(x, jax.Array) for x in jax.tree.leaves(value))


def _leaves(tree: Any, name: str, model: Any) -> tuple[list[Any], Any, list[str]]:
    """Do what `_parts` does for a tree of JAX, in JAX's order: jit, too, sorts the keys of dictionaries."""
    import jax

    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    by_name = isinstance(tree, Mapping) and _takes(model, tree)

    def arguments(arrays: Sequence[Array]) -> tuple[list[Any], dict[str, Any]]:
        given = jax.tree.unflatten(structure, arrays)
        if by_name:
            return [], given
        return (list(given) if isinstance(tree, list | tuple) else [given]), {}

    return [x for _, x in paths], arguments, [name + jax.tree_util.keystr(path) for path, _ in paths]


def _takes(model: Any, named: Mapping[str, Any]) -> bool:
    """Whether the model takes arguments of these names, rather than one argument that has them."""
    try:
        inspect.signature(getattr(model, "forward", model)).bind(**named)
    except (TypeError, ValueError):
        return False
    return True


def _elements(array: Array) -> int:
    return math.prod(array.shape)


def _check_rows(names: Sequence[str], mus: Sequence[Array]) -> None:
    for name, mu in zip(names, mus, strict=True):
        if len(mu) != len(mus[0]):
            raise ValueError(f"{name}: expected a batch of {len(mus[0])} as {names[0]} has, got {len(mu)}")


def _checked_covariance(words: Words[Any], mus: Sequence[Array], cov: Array, eps: float, single: bool) -> Array:
    rows, features = len(mus[0]), sum(math.prod(mu.shape[1:]) for mu in mus)
    if cov.ndim == 2 and tuple(cov.shape) == (features, features):
        cov = cov[None]
    if tuple(cov.shape) not in ((rows, features, features), (1, features, features)):
        raise ValueError(_shapes_told(words.xp, mus, features, cov, single))
    words.check_variances("cov", words.xp.einsum("bii->bi", cov), "its diagonal")
    return words.checked_covariance(cov, eps)


def _shapes_told(xp: Any, mus: Sequence[Array], features: int, cov: Array, single: bool) -> str:
    """Say which shape a covariance should have, and how variances become one."""
    rows, got = len(mus[0]), tuple(cov.shape[1:] if single else cov.shape)
    # one dimension is a batch of numbers only where the covariance says so
    as_one = single or (len(mus) == 1 and mus[0].ndim == 1)
    n = features if single or not as_one else rows
    if as_one:
        message = f"cov: mu ({n},) is one input of {n}: expected cov {(n, n)}, got {got}"
    else:
        all_alike = f"or {(n, n)} for the whole batch"
        message = f"cov: mu is a batch of {rows} of {n}: expected cov {(rows, n, n)}, {all_alike}, got {got}"
    if got not in ((n,), (rows, n)):
        return message
    library = {"torch": "torch", "jax.numpy": "jnp"}.get(xp.__name__, "np")
    if len(got) > 1 and library != "torch":
        eye = f"[..., None] * {library}.eye({n})"
        return f"{message}. Variances? var{eye}. Standard deviations? (sd**2){eye}"
    diag = f"{library}.diag" if len(got) == 1 else "torch.diag_embed"
    return f"{message}. Variances? {diag}(var). Standard deviations? {diag}(sd**2)"


def _checked_variances(
    words: Words[Any], mus: Sequence[Array], variances: Sequence[Array], names: Sequence[str], single: bool
) -> list[Array]:
    if len(variances) != len(mus):
        raise ValueError(f"cov: expected {len(mus)} arrays of variances as mu has, got {len(variances)}")
    found = []
    for name, mu, var in zip(names, mus, variances, strict=True):
        if tuple(var.shape) == tuple(mu.shape[1:]):
            var = words.xp.broadcast_to(var, tuple(mu.shape))
        if tuple(var.shape) != tuple(mu.shape):
            expected, got = (tuple(x.shape[1:] if single else x.shape) for x in (mu, var))
            hint = "; those of a covariance are cov.diagonal(0, -2, -1)" if got[-2:] == 2 * expected[-1:] else ""
            raise ValueError(f"{name}: expected variances {expected}, one for each element of mu, got {got}{hint}")
        _doubt_covariance(words, name, var)
        words.check_variances(name, var)
        found.append(var)
    return found


def _doubt_covariance(words: Words[Any], name: str, var: Array) -> None:
    """Warn of what is likely the covariance of a whole batch: as many inputs as elements, and symmetric."""
    if var.ndim == 2 and len(var) == var.shape[1] and words.may_be_covariance(var):
        cautions.warn(
            f"{name}: {tuple(var.shape)}, symmetric, looks like a covariance, whose variances are "
            f"{name}.diagonal(); here its entries are the variances of {len(var)} inputs of {len(var)}",
            UserWarning,
        )
