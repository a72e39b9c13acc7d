"""Spack recipe of the poms command and Python client, built from the clone in which this recipe lies."""

from pathlib import Path

from spack.package import *
from spack_repo.builtin.build_systems.python import PythonPackage

CLONE = Path(__file__).resolve().parents[4]


class PomsClient(PythonPackage):
    """The poms command and Python client of the Production Operations Management System."""

    git = CLONE.as_uri()
    build_directory = "client"

    license("Apache-2.0", checked_by="maintainers")

    version("main", branch="main")

    depends_on("python@3.9:", type=("build", "run"))
    depends_on("py-hatchling@1.33:", type="build")
    depends_on("py-requests@2.31:", type=("build", "run"))
    depends_on("py-typer@0.15:0.28", type=("build", "run"))
    depends_on("py-rich@13:", type=("build", "run"))

    def test_help(self):
        """the command says what it can do"""
        which(self.prefix.bin.poms)("--help")
