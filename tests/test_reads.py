"""Every way in which Python lets a formula name a function: it is bound, or binding says what to write instead."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from fastmoments_kernels import reads, vocabulary
from fastmoments_kernels.bind import Binding, bind
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.formulas.identity import interface_of

# What the functions below call, in a formula's own module
HEAD = "from fastmoments_kernels.vocabulary import exp\ndef helper(x): return exp(x)\n"
BOUND = {
    "imported": "from fastmoments_kernels.formulas.normal import pdf\ndef f(x): return pdf(x)",
    "under another name": "from fastmoments_kernels.formulas.normal import pdf as g\ndef f(x): return g(x)",
    "assigned": "other = helper\ndef f(x): return other(x)",
    "in a nested function": "def f(x):\n    def inner(y): return helper(y)\n    return inner(x)",
    "in a nested lambda": "def f(x): return (lambda y: helper(y))(x)",
    "in a comprehension": "def f(x): return [helper(y) for y in (x,)][0]",
    "in a nested class": "def f(x):\n    class Inner:\n        found = helper(1.0)\n    return Inner.found",
    "by a local name": "def f(x):\n    g = helper\n    return g(x)",
}
# The same after the functions are put where binding cannot follow, and what its error says
REFUSED = {
    "module": (
        "from fastmoments_kernels.formulas import relu\ndef f(x): return relu.mean(x)",
        r"made\.f reads the module fastmoments_kernels\.formulas\.relu as `relu`.*`from .*relu import \.\.\.`",
    ),
    "module whose function has the name of its caller": (
        "from fastmoments_kernels.formulas import relu\ndef f(x): return mean(x)\ndef mean(x): return relu.mean(x)",
        r"made\.mean reads the module",
    ),
    "module by an alias": (
        "import fastmoments_kernels.formulas.relu as r\ndef f(x): return r.mean(x)",
        r"reads the module .*\.relu as `r`",
    ),
    "package": (
        "import fastmoments_kernels.formulas.relu\ndef f(x): return fastmoments_kernels.formulas.relu.mean(x)",
        "reads the module fastmoments_kernels as",
    ),
    "vocabulary": (
        "from fastmoments_kernels import vocabulary as v\ndef f(x): return v.exp(x)",
        r"reads the module fastmoments_kernels\.vocabulary as `v`",
    ),
    "word by another name": (
        "from fastmoments_kernels.vocabulary import exp as e\ndef f(x): return e(x)",
        "reads the word `exp` as `e`.*import `exp`",
    ),
    "partial": ("from functools import partial\ng = partial(helper)\ndef f(x): return g(x)", "partial as `g`"),
    "cache": ("from functools import cache\ng = cache(helper)\ndef f(x): return g(x)", "in which .*helper"),
    "closure": (
        "def make(g):\n    def f(x): return g(x)\n    return f\nf = make(helper)",
        "is a closure over g: .*`bind`",
    ),
    "called closure": (
        "def make(g):\n    def inner(x): return g(x)\n    return inner\ng = make(helper)\ndef f(x): return g(x)",
        r"make\.<locals>\.inner is a closure over g",
    ),
    "default": ("def f(x, g=helper): return g(x)", "has a function for a default"),
    "default of a keyword": ("def f(x, *, g=exp): return g(x)", "has a function for a default"),
    "lambda": ("g = lambda x: exp(x)\ndef f(x): return g(x)", "is a lambda: write a function with a name"),
    "dict": ("table = {'a': [helper]}\ndef f(x): return table['a'][0](x)", "reads `table`, in which .*helper"),
    "tuple": ("table = (1.0, (helper,))\ndef f(x): return table[1][0](x)", "reads `table`, in which .*helper"),
    "tuple of words": ("table = (exp,)\ndef f(x): return table[0](x)", "reads .*exp as `table`"),
    "NamedTuple": (
        "from typing import NamedTuple\nclass Two(NamedTuple):\n    g: object\n"
        "two = Two(helper)\ndef f(x): return two.g(x)",
        "reads `two`, in which .*helper",
    ),
    "NamedTuple with a method": (
        "from typing import NamedTuple\nclass Two(NamedTuple):\n    x: float\n    def g(self): return exp(self.x)\n"
        "def f(x): return Two(x).g()",
        r"reads .*made\.Two",
    ),
    "class": (
        "class Two:\n    g = staticmethod(helper)\ndef f(x): return Two.g(x)",
        r"reads `Two`, in which .*made\.Two",
    ),
    "method": (
        "class Two:\n    def g(self, x): return exp(x)\ng = Two().g\ndef f(x): return g(x)",
        "reads `g`, in which .*g would stay unbound",
    ),
    "import in the body": (
        "def f(x):\n    from fastmoments_kernels.formulas.relu import mean\n    return mean(x)",
        "imports in its body",
    ),
    "import in a nested body": (
        "def f(x):\n    def inner(y):\n        import math\n        return math.exp(y)\n    return inner(x)",
        "imports in its body",
    ),
    "another library": ("import numpy as np\ndef f(x): return np.exp(x)", "reads numpy as `np`: use the words"),
    "another library's function": (
        "from math import tanh\ndef f(x): return tanh(x)",
        "tanh as `tanh`",
    ),
    "Python's function": ("def f(x): return abs(x)", "reads `abs`, which is Python's own"),
    "Python's globals": ("def f(x): return globals()['helper'](x)", "reads `globals`, which is Python's own"),
    "a name that is not there": ("def f(x): return absent(x)", "reads `absent`, which is not defined"),
    "itself": ("def f(x): return f(x - 1.0)", "calls itself"),
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a formula's module of its source."""

    def make(source, name="fastmoments_kernels.formulas.made"):
        path = tmp_path / "made.py"
        path.write_text(HEAD + source)
        spec = spec_from_file_location(name, path)
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return make


@pytest.mark.parametrize("way", BOUND)
def test_a_function_is_bound(way, made):
    assert bind(made(BOUND[way]).f, {"exp": lambda x: 0.0})(2.0) == 0.0


@pytest.mark.parametrize("way", REFUSED)
def test_what_would_stay_unbound_is_an_error(way, made):
    source, message = REFUSED[way]
    with pytest.raises(ValueError, match=f"^bind: fastmoments_kernels.formulas.*{message}"):
        bind(made(source).f, {"exp": min})


def test_a_kernel_may_read_a_record(made):
    """A NamedTuple without methods, of which compilers make a structure."""
    source = "from typing import NamedTuple\nclass Two(NamedTuple):\n    x: float\ndef f(x): return exp(Two(x).x)"
    kernel = made(source, "fastmoments_kernels.cpu.made").f
    assert bind(kernel, {"exp": lambda x: -x})(2.0) == -2.0


def test_a_users_function_is_bound_with_what_it_calls_of_the_package(made):
    """By the same words; of other libraries it calls what it likes."""
    source = (
        "import math\nfrom fastmoments_kernels.formulas.normal import pdf\ndef f(x): return pdf(x), math.exp(0.0)"
    )
    exchanged = bind(made(source, "notebook").f, {"exp": lambda x: 3.0, "PDF_0": 2.0})
    assert exchanged(2.0) == (6.0, 1.0)
    with pytest.raises(ValueError, match=r"^bind: notebook\.f reads the module"):
        bind(
            made(
                HEAD + "from fastmoments_kernels.formulas import relu\ndef f(x): return relu.var(x)", "notebook"
            ).f,
            {},
        )


def test_names_of_attributes_are_no_globals(made):
    module = made("size = 3\ndef f(x): return x.size")
    assert "size" in module.f.__code__.co_names
    assert not reads.reads(module.f, {})


def test_numbers_in_defaults_are_exchanged(made):
    """One float64 would make float64 of all that it meets."""
    half = Binding({}, literal=lambda x: 10.0 * x)(made("def f(x, by=0.5, n=2): return by").f)
    assert half(0) == 5.0 and half.__defaults__ == (5.0, 2)
    names = [
        Binding({}, compile=lambda f: f)(made(f"def f(x, by={by}): return by").f).__qualname__ for by in (1, 2)
    ]
    assert len(set(names)) == 2


def test_every_formula_keeps_to_the_words():
    """Bound with nothing exchanged: no activation's function is refused, and none is copied."""
    for row in CATALOGUE:
        for function in interface_of(row.formula).values():
            assert Binding({})(function) is function


# Written over other words, in any dtype: a vocabulary that leaves these out has them by binding.
GENERAL = {"polynomial", "gauss_legendre", "fitted_legendre", "summed", "collected", "either", "shortcut"}


def test_general_words_are_made_of_words():
    for name in GENERAL:
        word = reads.WORDS[name]
        own = reads.names_in(word.__code__) - set(reads.ANNOTATIONS)
        assert {n for n in own if n in vars(vocabulary)} <= reads.WORDS.keys()


def vocabularies():
    """Every backend's: a library, and its words."""
    torch = "fastmoments_kernels.eager.on_torch"
    yield "numba", "fastmoments_kernels.cpu.vocabulary", lambda m: m.VOCABULARY.values()
    yield "triton", "fastmoments_kernels.gpu.vocabulary", lambda m: (m.VOCABULARY_32, m.VOCABULARY_64)
    yield "jax", "fastmoments_kernels.xla.vocabulary", lambda m: (m.VOCABULARY,)
    yield "torch", torch, lambda m: (m.words(dtype).vocabulary for dtype in m.SPLITTING)
    yield "numpy", "fastmoments_kernels.eager.on_numpy", lambda m: (m.WORDS.vocabulary,)
    yield "mpmath", "tests.mpmath_vocabulary", lambda m: (m.MPMATH,)


@pytest.mark.parametrize("library, module, words", [pytest.param(*v, id=v[0]) for v in vocabularies()])
def test_every_word_has_a_meaning_on_every_backend(library, module, words):
    pytest.importorskip(library)
    assert len(reads.WORDS) > len(GENERAL)
    for exchanged in words(import_module(module)):
        missing = reads.WORDS.keys() - GENERAL - exchanged.keys()
        assert not missing
        if library == "numba":  # which leaves no word to NumPy's definition
            assert exchanged.keys() == reads.WORDS.keys()
