"""What torch.export and AOTInductor keep of a function compiled ahead of time."""

import shutil

import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

CALLS = {
    "relu_moments": lambda mu, cov: tuple(fm.relu_moments(mu, cov)),
    "npn_moments": lambda mu, cov: tuple(fm.npn_moments(mu, cov, tau=0.5)),
    "gelu_marginals": lambda mu, cov: tuple(fm.gelu_marginals(mu, cov.diagonal())),
}


@pytest.mark.slow  # compiles C++
@pytest.mark.filterwarnings("ignore")  # torch's own, of what it deprecates
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("name", CALLS)
def test_compiled_ahead_of_time(name, tmp_path):
    class Model(torch.nn.Module):
        def forward(self, mu, cov):
            return CALLS[name](mu, cov)

    given = torch.linspace(-1.0, 1.0, 5), torch.eye(5) + 0.25
    path = torch._inductor.aoti_compile_and_package(
        torch.export.export(Model(), given), package_path=str(tmp_path / "model.pt2")
    )
    loaded = torch._inductor.aoti_load_package(path)
    for got, want in zip(loaded(*given), CALLS[name](*given), strict=True):
        assert torch.equal(got, want)
