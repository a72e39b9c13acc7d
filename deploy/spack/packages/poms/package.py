"""Spack recipe of the server of POMS, built from the clone in which this recipe lies.

Python and what workers call come from Spack. The Python packages are those of requirements.lock with their hashes, in a
virtual environment of the installation: they are resolved and tested together, and Spack has not all of them.
"""

from pathlib import Path

from spack.package import *
from spack_repo.builtin.build_systems.generic import Package

CLONE = Path(__file__).resolve().parents[4]


class Poms(Package):
    """Production Operations Management System for physics experiments: web, clock and workers."""

    git = CLONE.as_uri()

    license("Apache-2.0", checked_by="maintainers")

    version("main", branch="main")

    depends_on("python@3.11", type=("build", "run"))
    depends_on("git", type="run")
    depends_on("krb5", type="run")
    depends_on("openssh", type="run")

    def install(self, spec, prefix):
        home, lock = prefix.opt.poms, join_path(self.stage.source_path, "runtime.lock")
        with open(lock, "w", encoding="utf-8") as kept:
            python = spec["python"].command
            python("deploy/runtime_lock.py", output=kept)
        install_tree(self.stage.source_path, home, ignore=lambda path: path.startswith((".git", "tests")))
        python("-m", "venv", join_path(home, ".venv"))
        pip = Executable(join_path(home, ".venv", "bin", "python"))
        pip.add_default_arg("-m", "pip", "install", "--disable-pip-version-check")
        pip("--require-hashes", "--only-binary", ":all:", "-r", lock)

    def setup_run_environment(self, env):
        env.prepend_path("PATH", join_path(self.prefix.opt.poms, ".venv", "bin"))
        env.set("POMS_HOME", self.prefix.opt.poms)
