"""Files agree on versions and commands."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import fastmoments as fm

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 is the first to read TOML")

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(r"^## \[(\d.*)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert (citation["version"], str(citation["date-released"])) == released[0]
    assert fm.__version__ == citation["version"]
    assert "version" in PROJECT["dynamic"]


def test_the_recipe_asks_for_what_the_package_does():
    jinja2 = pytest.importorskip("jinja2")
    recipe = yaml.safe_load(jinja2.Template((ROOT / "recipe" / "meta.yaml").read_text()).render(PYTHON="python"))
    assert str(recipe["package"]["version"]) == fm.__version__
    asked = [Requirement(line.replace("python ", "python")) for line in recipe["requirements"]["run"]]
    packaged = [Requirement(line) for line in [f"python{PROJECT['requires-python']}", *PROJECT["dependencies"]]]
    assert [(x.name, x.specifier) for x in asked] == [(x.name, x.specifier) for x in packaged]
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert recipe["about"]["license"] == PROJECT["license"]


def test_the_hosted_site_is_built_as_here():
    hosted = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())
    assert (ROOT / hosted["sphinx"]["configuration"]).exists() and hosted["sphinx"]["fail_on_warning"]
    *_, package = hosted["build"]["jobs"]["install"]
    assert package.endswith('-c constraints.txt ".[docs]"')


def test_the_version_is_a_literal():
    """The build reads it without importing anything."""
    source = ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]
    (found,) = re.findall(r'^__version__ = (".*")$', source.read_text(), re.M)
    assert ast.literal_eval(found) == fm.__version__


def test_the_same_pythons_are_claimed_and_tested():
    minors = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert WORKFLOWS["checks"]["jobs"]["tests"]["strategy"]["matrix"]["python"] == minors
    assert PROJECT["requires-python"] == f">={minors[0]}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{minors[0].replace('.', '')}"
    assert set(WORKFLOWS["checks"]["jobs"]["oldest"]["strategy"]["matrix"]["python"]) <= set(minors)


def test_pinned_versions_are_admitted():
    """constraints.txt agrees with pyproject.toml, for the Python that runs the tests."""
    claimed = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    pinned = {
        pin.name.lower(): str(pin.specifier) for pin in here((ROOT / "constraints.txt").read_text().splitlines())
    }
    for requirement in here(claimed):
        if requirement.specifier:
            version = pinned[requirement.name.lower()].removeprefix("==")
            assert requirement.specifier.contains(version), requirement


def here(lines):
    """Requirements that count on this machine."""
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return [x for x in requirements if not x.marker or x.marker.evaluate()]


def test_commands_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*?[^\\])$", makefile, re.M | re.S)[1].replace("\\", "").split())
    helped = set(re.findall(r'@echo "make ([\w-]+)', makefile))
    assert helped <= phony
    told = set(re.findall(r"`make ([\w-]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    told |= set(re.findall(r"`make ([\w-]+)", (ROOT / "RELEASING.md").read_text()))
    assert told <= phony
    ran = [
        step.get("run", "")
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job.get("steps", ())
    ]
    assert {target for run in ran if run.startswith("make ") for target in run.split()[1:]} <= phony


def test_the_readme_links_to_what_an_index_follows():
    """A package index shows the page without the files beside it; what it links to is in the repository."""
    links = re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert all(link.startswith("https://") for link in links)
    own = [re.sub(r".*?/main/|#.*", "", link) for link in links if "/fastmoments/fastmoments/" in link]
    own = [path for path in own if not path.startswith("https://")]  # the workflow's badge
    assert len(own) > 5
    assert [path for path in own if not (ROOT / path).exists()] == []


def test_hooks_run_the_pinned_tools():
    """Hooks run the tools of .venv, which constraints.txt pins, and bring no versions of their own."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system" and hook["entry"].startswith(".venv/bin/python -m "), hook["id"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_job_may_write_but_the_one_that_publishes(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    allowed = {job: text["permissions"] for job, text in WORKFLOWS[name]["jobs"].items() if "permissions" in text}
    assert allowed == ({"publish": {"id-token": "write"}} if name == "release" else {})
