"""The Spack recipes: they are Python, and need what the projects declare; Spack itself does not run here."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from django.conf import settings
from packaging.requirements import Requirement

HOME = Path(settings.BASE_DIR)
PACKAGES = HOME / "deploy" / "spack" / "packages"


def needs(name: str) -> set[str]:
    """Return what a recipe depends on, as Spack writes it."""
    tree = ast.parse((PACKAGES / name / "package.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return {ast.literal_eval(call.args[0]) for call in calls if call.func.id == "depends_on"}  # type: ignore[attr-defined]


def test_the_client_needs_what_its_wheel_declares():
    project = tomllib.loads((HOME / "client" / "pyproject.toml").read_text())
    wanted = set()
    for line in (*project["project"]["dependencies"], *project["build-system"]["requires"]):
        need = Requirement(line)
        least = re.search(r">=([\d.]+)", str(need.specifier))
        below = re.search(r"<0\.(\d+)", str(need.specifier))
        assert least
        wanted.add(f"py-{need.name}@{least[1]}:" + (f"0.{int(below[1]) - 1}" if below else ""))
    wanted.add(f"python@{project['project']['requires-python'].removeprefix('>=')}:")
    assert needs("poms-client") == wanted


def test_the_server_is_built_from_the_clone_and_the_lock():
    text = (PACKAGES / "poms" / "package.py").read_text()
    assert "python@3.11" in needs("poms")
    assert "deploy/runtime_lock.py" in text and "--require-hashes" in text
    for name in ("poms", "poms-client"):
        assert "CLONE = Path(__file__).resolve().parents[4]" in (PACKAGES / name / "package.py").read_text()
        assert (PACKAGES / name / "package.py").parents[4] == HOME
