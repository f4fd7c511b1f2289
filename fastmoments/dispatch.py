"""The plan of a call: its arrays' framework, the kernels for their device, and the dtype of the arithmetic."""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastmoments.dtypes import LARGEST, REAL, dtype_of, is_weak
from fastmoments_kernels import ahead
from fastmoments_kernels.cpu.compiler import check_installed
from fastmoments_kernels.serving import choice, compilation

PRECISIONS = ("float32", "float64")
FRAMEWORKS = {"numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jax", "dask": "dask", "cupy": "cupy"}
MAIN, DEVICE, MANAGED = 1, 2, 13  # DLPack's numbers for main memory, CUDA memory, and memory of both
CUDA = (DEVICE, MANAGED)
KERNELS = {"cpu": "cpu", "cuda": "gpu", "meta": "meta"}  # by kind of device; all others have "eager"
WHY = {
    "cpu": "arrays in main memory are read and written in place by compiled kernels",
    "gpu": "arrays on a CUDA device are read and written in place by Triton kernels",
    "eager": "there are no kernels for this device (as for AMD's), so the formulas run as torch operations",
    "meta": "tensors without values, so there is nothing to compute but shapes and dtypes",
    "dask": "every block goes through the compiled Numba kernels, when the result is computed",
    "xla": "JAX traces the formulas, so that jit, grad, vmap and sharding work on them",
}

WHEN = {
    "background": "NumPy answers small calls until a process has compiled their kernels",
    "wait": "kernels are compiled at their first call",
    "never": "NumPy answers all calls, by the same formulas",
}

Named = dict[str, Any]  # a call's arguments by the names that errors give them


class Plan(NamedTuple):
    """The arrays' framework and device, the kernels that compute, and the dtypes.

    `compute` is the dtype of the arithmetic and `result` that of the result. They differ for float16 and bfloat16,
    and where `precision=` asks for it.
    """

    framework: str
    device: str
    backend: str
    result: str
    compute: str

    @property
    def why(self) -> tuple[str, str]:
        """The reasons for the kernels and for the dtype of the arithmetic."""
        kernels = WHY.get(self.framework) or WHY[self.backend]
        if self.compute == self.result:
            return kernels, "the dtype of the arrays, or what stands for integers and Python's numbers"
        if self.compute == "float32":
            return kernels, f"{self.result} is computed in float32 and rounded once"
        return kernels, "precision= asks for it"

    @property
    def routes(self) -> dict[str, str]:
        """The kernels that answered the last call of each function in this process, for arrays in main memory.

        By function and dtype, such as "relu_moments (float64)": "compiled", or "numpy" while it is not compiled.
        """
        return choice.routes() if self.backend == "cpu" else {}

    def __str__(self) -> str:
        where = f"{self.framework} arrays on {self.device} -> {self.backend} kernels"
        what = f"computed in {self.compute}, returned in {self.result}"
        lines = [f"{where}, {what}", f"{self.backend}: {self.why[0]}", f"{self.compute}: {self.why[1]}"]
        if self.backend == "cpu":
            lines += _compilation()
            answered = self.routes
            for route, told in (("numpy", "answered by NumPy so far"), ("compiled", "compiled")):
                names = sorted(name for name, answer in answered.items() if answer == route)
                lines += [f"{told}: {', '.join(names)}"] if names else []
        return "\n  ".join(lines)


def _compilation() -> Iterator[str]:
    """Say when the kernels for arrays in main memory are compiled: those that no object code stands for."""
    level, when, rest = ahead.level(), compilation.compilation(), ""
    if level:
        yield f"{level}: compiled before it was installed, all but mixtures (FASTMOMENTS_LEVEL)"
        rest = "mixtures, "
    try:
        if when != "never":
            check_installed()
    except ModuleNotFoundError:
        yield f'{rest or "all, "}which Numba has to compile: python -m pip install "fastmoments[numba]"'
    else:
        yield f"{rest}{when}: {WHEN[when]} (fm.set_compilation)"


def plan(*arrays: Any, precision: str | None = None) -> Plan:
    """Return what would run for these arrays.

    Parameters
    ----------
    *arrays : arguments of a public function. Python numbers and lists take the dtype of the others.
    precision : "float32" or "float64" to compute in that type; default the arrays' own.

    Returns
    -------
    Plan
        Framework, device, backend and dtypes; printed, it also gives the reasons, and for arrays in main memory
        which functions compiled kernels have answered in this process, and which NumPy: `routes`.

    Raises
    ------
    TypeError : mixed frameworks, devices or dtypes, dtypes that are not real numbers, libraries not supported.

    Examples
    --------
    >>> import numpy as np, fastmoments as fm
    >>> print(fm.plan(np.zeros(3), np.eye(3)))
    numpy arrays on cpu -> cpu kernels, computed in float64, returned in float64
      cpu: arrays in main memory are read and written in place by compiled kernels
      float64: the dtype of the arrays, or what stands for integers and Python's numbers
      background: NumPy answers small calls until a process has compiled their kernels (fm.set_compilation)
    """
    return plan_of({f"argument {i + 1}": array for i, array in enumerate(arrays)}, precision)


def plan_of(arguments: Named, precision: str | None = None) -> Plan:
    """Return the plan of arguments given by name, so that errors name them."""
    kinds = _kinds(arguments, precision)
    if kinds is None:
        return _decide(arguments, precision)
    plan = _decided.get(kinds)
    if plan is None:
        plan = _decided[kinds] = _decide(arguments, precision)
    return plan


# Plans already made, by `_kinds`: to decide one takes longer than a call on a few neurons
_decided: dict[tuple[Any, ...], Plan] = {}


def _kinds(arguments: Named, precision: str | None) -> tuple[Any, ...] | None:
    """Return what the plan depends on for NumPy arrays, tensors and numbers; None for others and when compiling."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_compiling():
        return None
    tensor, array = getattr(torch, "Tensor", None), np.ndarray
    kinds: list[Any] = [precision]
    for value in arguments.values():
        kind = type(value)
        if kind is array:
            kinds.append(value.dtype)
        elif kind is tensor:
            kinds += (value.dtype, value.device, value.layout)
        elif kind is float or (kind is int and abs(value) <= LARGEST):
            kinds.append(kind)
        else:
            return None
    return tuple(kinds)


def _decide(arguments: Named, precision: str | None) -> Plan:
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f'precision: expected None, "float32" or "float64", got {precision!r}')
    dtypes = {name: dtype_of(name, value) for name, value in arguments.items()}
    arrays = {name: value for name, value in arguments.items() if not is_weak(value)}
    frameworks = {name: _framework(value) for name, value in arrays.items()}
    if "dask" in frameworks.values():
        # Dask's own functions take NumPy arrays too, as blocks
        frameworks = {name: kind for name, kind in frameworks.items() if kind != "numpy"}
    framework = _the_one("from", frameworks, "numpy")
    device = _the_one("on", {name: _device(framework, value) for name, value in arrays.items()}, "cpu")
    default = _default_dtype(framework)
    told = {
        name: dtype if dtype in REAL else f"{dtype}, which counts as {default}" for name, dtype in dtypes.items()
    }
    asked = {name: dtype if dtype in REAL else default for name, dtype in dtypes.items() if dtype}
    result = _the_one("", asked, default, told)
    compute = precision or ("float32" if result in ("float16", "bfloat16") else result)
    return Plan(framework, device, backend_of(framework, device.partition(":")[0]), result, compute)


def _the_one(relation: str, found: dict[str, str], default: str, told: dict[str, str] | None = None) -> str:
    """Return the value that all arguments share; raise for two that differ, in the words of `told`."""
    first, kind = next(iter(found.items()), ("", default))
    for name, other in found.items():
        if other != kind:
            is_ = f"is {relation} ".rstrip() + " "
            one, two = (kind, other) if told is None else (told[first], told[name])
            raise TypeError(f"{first} {is_}{one} but {name} {is_}{two}: convert one of them to the other's")
    return kind


def _framework(value: Any) -> str:
    """Return the framework of an array: a known library, any library for CUDA memory by DLPack, else NumPy."""
    # not by module: a user's subclass is defined elsewhere, and torch.compile cannot trace where
    if isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ())):
        return "torch"
    library = type(value).__module__.partition(".")[0]
    if library not in FRAMEWORKS and hasattr(value, "__dlpack_device__") and value.__dlpack_device__()[0] in CUDA:
        return library
    return FRAMEWORKS.get(library, "numpy")


def _device(framework: str, value: Any) -> str:
    """Return the device of an array; "jax" for JAX, which places arrays and tracers itself."""
    if framework == "torch":
        return str(value.device)
    if framework in ("numpy", "dask"):
        return "cpu"
    return "jax" if framework == "jax" else _dlpack_device(value)


def _dlpack_device(value: Any) -> str:
    kind, index = value.__dlpack_device__()
    if kind not in (MAIN, *CUDA):
        library = type(value).__module__.partition(".")[0]
        raise TypeError(
            f"arrays of {library} on a device that DLPack numbers {kind}: expected CUDA's (2), or NumPy"
        )
    return "cpu" if kind == MAIN else f"cuda:{index}"


def backend_of(framework: str, device: str) -> str:
    """Name the kernels that compute a framework's arrays on a kind of device, such as "cuda"."""
    if framework == "jax":
        return "xla"
    if device == "cuda" and _is_rocm():
        return "eager"
    return KERNELS.get(device, "eager")


def _is_rocm() -> bool:
    """Whether PyTorch, if imported, was built for AMD's cards, which it also calls cuda."""
    version = getattr(sys.modules.get("torch"), "version", None)
    return getattr(version, "hip", None) is not None


def _default_dtype(framework: str) -> str:
    """Return float64, or float32 for JAX, which has float64 only in x64 mode."""
    jax = sys.modules.get("jax")
    return "float32" if framework == "jax" and jax is not None and not jax.config.jax_enable_x64 else "float64"
