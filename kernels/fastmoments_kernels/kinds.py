"""The kinds of elementwise functions: what goes in, what comes out, and which kinds are the derivatives."""

from typing import NamedTuple


class Kind(NamedTuple):
    """An elementwise function that every activation has.

    A function of one neuron takes (mu, var, *parameters), one of two neurons (mu_1, mu_2, var_1, var_2, cov_12,
    *parameters), the parameters in pairs, and one of none, of the bivariate normal, (h, k, rho). `outputs` is None
    where there is an output per parameter. `slopes` are the kinds that give the derivatives along the inputs, in
    the inputs' order.
    """

    neurons: int
    outputs: int | None
    doc: str
    slopes: tuple[str, ...] = ()


FIXED = {0: 3, 1: 2, 2: 5}  # inputs beside the parameters, by the number of neurons
KINDS = {
    "mean": Kind(1, 1, "(mu, var, ...) -> E f(X)", ("gain", "mean_dvar", "mean_dparameters")),
    "var": Kind(1, 1, "(mu, var, ...) -> Var f(X)", ("var_partials", "var_dparameters")),
    "gain": Kind(1, 1, "(mu, var, ...) -> E f'(X)"),
    "marginals": Kind(1, 2, "(mu, var, ...) -> (E f(X), Var f(X))"),
    "mean_dvar": Kind(1, 1, "(mu, var, ...) -> d E f(X) / d var"),
    "var_partials": Kind(1, 2, "(mu, var, ...) -> (d Var f(X) / d mu, d Var f(X) / d var)"),
    "mean_dparameters": Kind(1, None, "(mu, var, ...) -> d E f(X) along each parameter"),
    "var_dparameters": Kind(1, None, "(mu, var, ...) -> d Var f(X) along each parameter"),
    "cov": Kind(
        2,
        1,
        "(mu_1, mu_2, var_1, var_2, cov_12, ...) -> Cov(f(X_1), f(X_2))",
        ("cov_partials", "cov_dparameters"),
    ),
    "cov_partials": Kind(2, 5, "the derivatives of cov along its first five arguments"),
    "cov_dparameters": Kind(2, None, "the derivatives of cov along its parameters"),
}
OF_NORMAL = {
    "bivariate_normal_cdf": Kind(0, 1, "(h, k, rho) -> P(X <= h, Y <= k)", ("bivariate_normal_cdf_partials",)),
    "log_bivariate_normal_cdf": Kind(
        0, 1, "(h, k, rho) -> log P(X <= h, Y <= k)", ("log_bivariate_normal_cdf_partials",)
    ),
    "bivariate_normal_cdf_partials": Kind(0, 3, "(h, k, rho) -> d P(X <= h, Y <= k) along each"),
    "log_bivariate_normal_cdf_partials": Kind(0, 3, "(h, k, rho) -> d log P(X <= h, Y <= k) along each"),
}
ALL = KINDS | OF_NORMAL


def outputs_of(name: str, inputs: int) -> int:
    """The number of outputs of a function that takes `inputs` inputs."""
    kind = ALL[name]
    return inputs - FIXED[kind.neurons] if kind.outputs is None else kind.outputs


def is_of_pair(name: str) -> bool:
    """Whether a function takes two neurons, and the slack of their determinant."""
    return ALL[name].neurons == 2


def slack_of(n: int, eps: float) -> float:
    """How far below 0 rounding may put a pair's determinant, in var_1 var_2, for a covariance of n neurons."""
    return 64 * n * eps
