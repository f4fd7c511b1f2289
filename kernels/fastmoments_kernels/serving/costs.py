"""How long NumPy takes, about: nanoseconds of processor time for one number, measured on x86-64 with AVX-512."""

from fastmoments_kernels.background.entries import Entry, number_of_components
from fastmoments_kernels.kinds import KINDS, OF_NORMAL

AT_LEAST = 1000  # numbers: fewer take as long, the time to start some hundred operations


class Nanoseconds:
    """Of a mean, a variance and its derivatives, a covariance, and its derivatives along all its arguments."""

    def __init__(self, mean: float, var: float, cov: float, partials: float) -> None:
        self.mean, self.var, self.cov, self.partials = mean, var, cov, partials


OF = {
    "relu": Nanoseconds(130, 540, 3300, 11000),
    "leaky_relu": Nanoseconds(620, 1200, 3100, 14000),
    "abs": Nanoseconds(620, 1100, 3200, 11000),
    "heaviside": Nanoseconds(110, 260, 2100, 2200),
    "probit": Nanoseconds(80, 1900, 2100, 2100),
    "bernoulli_probit": Nanoseconds(80, 250, 2000, 2000),
    "erf": Nanoseconds(190, 2100, 2000, 2000),
    "gelu": Nanoseconds(150, 13000, 13000, 58000),
    "sin": Nanoseconds(110, 130, 320, 810),
    "cos": Nanoseconds(110, 130, 320, 810),
    "npn": Nanoseconds(140, 420, 290, 1200),
    "gaussian": Nanoseconds(90, 360, 260, 1100),
    "gaussian_mixture": Nanoseconds(360, 2200, 1700, 6300),  # two components; about their square
    "npn_linear": Nanoseconds(200, 1000, 550, 2100),
}
OF_BIVARIATE = {
    "bivariate_normal_cdf": 3800,
    "log_bivariate_normal_cdf": 8000,
    "bivariate_normal_cdf_partials": 320,
    "log_bivariate_normal_cdf_partials": 4600,
}
PRODUCT = 0.3  # of one multiplication of a linear layer's three products
CONGRUENCE = 1.0  # of one of A cov A^T
MEANS = ("mean", "gain", "mean_dvar", "mean_dparameters")
VALUES = ("cov", "moments", "large_moments", "block")


def seconds_by_numpy(entry: Entry, numbers: int) -> float:
    """About how long NumPy takes for so many neurons, pairs or multiplications."""
    return 1e-9 * _nanoseconds(entry) * (numbers + AT_LEAST)


def _nanoseconds(entry: Entry) -> float:
    function = entry.function
    if function in OF_NORMAL:
        return OF_BIVARIATE[function]
    if function == "linear_marginals":
        return 3 * PRODUCT
    if function == "congruence":
        return CONGRUENCE
    of, components = OF[entry.activation], number_of_components(entry)
    factor = max(0.25 * components * components, 1.0)
    if function in KINDS and KINDS[function].neurons == 1:
        return factor * (of.mean if function in MEANS else of.var)
    return factor * (of.cov if function in VALUES else of.partials)
