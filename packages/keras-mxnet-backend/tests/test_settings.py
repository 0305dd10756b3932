"""What is set at start-up for MXNet and its BLAS, and that the user's own settings stay."""

import os
import subprocess
import sys

import pytest

from keras_mxnet import settings

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_CORETYPE")


@pytest.mark.parametrize(
    ("flags", "core"),
    [
        ("sse4_2", None),
        ("sse4_2 avx", "Sandybridge"),
        ("avx avx2", "Sandybridge"),
        ("avx avx2 fma", "Haswell"),
        ("avx avx2 fma avx512f", "Haswell"),
        ("avx avx2 fma avx512f avx512vl avx512bw", "SkylakeX"),
    ],
)
def test_openblas_gets_the_widest_kernels_that_the_cpu_has(flags, core, monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "cpu_flags", lambda: frozenset(flags.split()))
    settings.apply()
    assert os.environ.get("OPENBLAS_CORETYPE") == core


def loaded(**given):
    """Return the settings of a new process after MXNet was loaded as the backend does it."""
    program = (
        "import os; from keras_mxnet import framework; framework.load(); "
        f"print([os.environ.get(name) for name in {NAMES}])"
    )
    free = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={**free, **given}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_loading_mxnet_sets_the_threads_and_the_core_type():
    core = settings.openblas_core(settings.cpu_flags())
    assert loaded() == str([str(settings.usable_cpus()), core])


def test_what_the_user_has_set_stays():
    assert loaded(OMP_NUM_THREADS="7", OPENBLAS_CORETYPE="Nehalem") == "['7', 'Nehalem']"
