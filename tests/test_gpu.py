"""Triton's kernels, interpreted anywhere and on a card where there is one, by the tests of gpu_cases.py."""

import ast
import json
import re
from pathlib import Path

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests.processes import python
from tests.rows import activations

pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton has wheels for Linux only")

LAYERS, BACKWARD = "tests/gpu_layer_cases.py", "tests/gpu_vjp_cases.py"
ELEMENTWISE, LAUNCHES = "tests/gpu_elementwise_cases.py", "tests/gpu_launch_cases.py"
CHECKED, DIVISION = "tests/gpu_compiled_cases.py", "tests/gpu_division_cases.py"
# two tests of matrices, whose pairs take series and formula, and the tests that depend on no activation
SOME = (
    "test_moments[relu-float32-strong-5]",
    "test_tiles_inside_the_matrix[relu-float32-strong]",
    "test_outputs_have_memory_of_their_own[relu]",
    "test_outputs_have_memory_of_their_own[npn]",
    "test_compiled_functions_of_several_outputs",
    "test_negated_memory",
)
INTERPRETED, COMPILED = "1", None


def run(interpret, *cases, **environment):
    command = "-m", "pytest", "-q", "-Wignore", "--tb=short", *cases
    said = python(*command, TRITON_INTERPRET=interpret, **environment)
    # a run that skips all tests succeeds too
    assert "skipped" not in said.splitlines()[-1], said


def run_cases(row, interpret):
    # by exact names, because some are parts of others, which -k would confuse
    run(interpret, "tests/gpu_cases.py", GPU_CASES_OF=row.name)


def test_layers_and_a_matrix_interpreted():
    run(INTERPRETED, LAYERS, ELEMENTWISE, BACKWARD, *(f"tests/gpu_cases.py::{name}" for name in SOME))


@pytest.mark.slow
def test_overfull_tiles_interpreted():
    run(INTERPRETED, "-m", "slow", BACKWARD)


def test_launches_without_a_card():
    run(COMPILED, LAUNCHES)


def test_launched_kernels_are_those_that_gpu_check_compiles():
    run(COMPILED, CHECKED)


def test_wrong_quotients_interpreted():
    run(INTERPRETED, DIVISION)


@pytest.mark.slow
def test_wrong_quotients_of_all_activations_interpreted():
    run(INTERPRETED, DIVISION, "-m", "slow")


@pytest.mark.slow
def test_launches_of_matrices_without_a_card():
    run(COMPILED, LAUNCHES, "-m", "slow")


@pytest.mark.slow  # the interpreter takes minutes an activation
@activations
def test_interpreted(row):
    run_cases(row, INTERPRETED)


# divisions that Triton compiles to div.full, two ulp off, or worse
PTX = "div.full.f32 %r1, %r2, %r3; ex2.approx.ftz.f32 %r1, %r2; sqrt.rn.f32 %r1, %r2; div.rn.f32 %r1, %r2, %r3;"
FROM_GPU_CHECK = f"""
import json, sys
sys.path.append("tools")
import gpu_check
code = lambda *kernel: gpu_check.compile_for(90, *kernel).asm
print(json.dumps({{
    "activations": gpu_check.parsed([]).activation,
    "approximations": gpu_check.approximations("{PTX}"),
    "mean": code("relu", "mean", "float32")["ptx"],
    "mean_dparameters": code("npn", "mean_dparameters", "float64")["ttir"],
}}))
"""


@pytest.fixture(scope="module")
def compiled():
    """The output and the compiled kernels of tools/gpu_check.py, in another process."""
    return json.loads(python("-c", FROM_GPU_CHECK, TRITON_INTERPRET=COMPILED))


def test_gpu_check_takes_all_activations_if_none_is_named(compiled):
    assert compiled["activations"] == [*(row.name for row in CATALOGUE), "none"]


def test_gpu_check_finds_approximations(compiled):
    assert compiled["approximations"] == ["div.full.f32", "ex2.approx.ftz.f32"]


def test_float32_divides_without_approximations(compiled):
    assert "div.rn.f32" in compiled["mean"] and not re.search(r"\.(approx|full)", compiled["mean"])


def test_elementwise_offsets_have_64_bits(compiled):
    """Offsets of blocks and of outputs exceed 32 bits beyond 2^31 elements."""
    code = compiled["mean_dparameters"]
    assert re.search(r"arith.muli .*: i64", code) and not re.search(r"arith.muli .*: i32", code)


def test_what_needs_a_card_is_counted_by_name():
    """A missing test would go unnoticed where all of them skip."""
    found = {}
    for path in Path("tests").glob("test_*.py"):
        module = ast.parse(path.read_text()).body
        whole = any(
            isinstance(line, ast.Assign) and "pytest.mark.gpu" in ast.unparse(line.value) for line in module
        )
        tests = [line for line in module if isinstance(line, ast.FunctionDef) and line.name.startswith("test_")]
        marked = [t.name for t in tests if whole or "pytest.mark.gpu" in map(ast.unparse, t.decorator_list)]
        found |= {path.name: marked} if marked else {}
    assert found == {
        "test_card.py": [
            "test_matrices_are_the_cpu_kernels",
            "test_streams_do_not_race",
            "test_graphs_are_captured_and_replayed",
        ],
        "test_dlpack.py": ["test_cupy_on_a_card"],
        "test_examples.py": ["test_cupy_page"],
        "test_gpu.py": ["test_on_a_card", "test_layers_on_a_card"],
    }


@pytest.fixture
def card():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.gpu
@activations
def test_on_a_card(row, card):
    run_cases(row, COMPILED)


@pytest.mark.gpu
def test_layers_on_a_card(card):
    run(COMPILED, "-m", "slow or not slow", LAYERS, ELEMENTWISE, BACKWARD)
