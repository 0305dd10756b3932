"""Which GPUs a trial gets, and what is said where it cannot have them."""

import sys
from types import SimpleNamespace

import pytest

from velodrome import gpus
from velodrome.devices import Devices
from velodrome.engines.torch import Torch
from velodrome.errors import UserError
from velodrome.machine import Gpu


def gpu(index: int, capability: str = "8.0") -> Gpu:
    return Gpu(index=index, name="A100", memory=2**35, capability=capability, driver="580")


def test_what_is_there_can_be_had() -> None:
    present = (gpu(0), gpu(1), gpu(2))
    for devices in ("cpu", "cpu:8", "gpu", "gpu:3", "gpu@0+2"):
        assert gpus.missing("torch", Devices.parse(devices), present) is None


@pytest.mark.parametrize(("devices", "lacks"), [("gpu:3", 2), ("gpu@1+5", 5)])
def test_a_gpu_too_many_is_named(devices: str, lacks: int) -> None:
    reason = gpus.missing("torch", Devices.parse(devices), (gpu(0), gpu(1)))
    assert reason == f"{devices}: there is no GPU {lacks} on this machine (it has 2)"


def test_a_machine_without_any_says_so() -> None:
    assert "tells of none" in (gpus.missing("jax", Devices.parse("gpu"), ()) or "")


def test_a_gpu_too_young_for_mxnet_is_named_with_the_reason() -> None:
    present = (gpu(0), gpu(1, "9.0"))
    assert gpus.missing("mxnet", Devices.parse("gpu@0"), present) is None
    reason = gpus.missing("mxnet", Devices.parse("gpu:2"), present) or ""
    assert "GPU 1, A100" in reason
    assert "9.0" in reason


@pytest.mark.parametrize(
    ("devices", "seen"), [("gpu", "0"), ("gpu:2", "0,1"), ("gpu@3+1", "3,1"), ("cpu:2", "-1")]
)
def test_a_worker_sees_its_own_alone(devices: str, seen: str) -> None:
    assert gpus.visible(Devices.parse(devices))["CUDA_VISIBLE_DEVICES"] == seen


def test_on_a_node_a_trial_gets_the_gpus_that_were_kept_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.given(2) == (0, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    assert gpus.given(2) == (3, 5)
    assert gpus.given(0) == ()
    for fewer in ("3", "", "GPU-1f2e,GPU-77aa"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", fewer)
        with pytest.raises(UserError, match="2 GPUs are wanted"):
            gpus.given(2)


@pytest.mark.parametrize(
    ("own", "replicas", "said"),
    [
        (range(1), 1, "first"),
        (range(2), 2, "first, second, 2 processes, nccl"),
        (range(2, 4), 4, "first, second on one of 2 machines, 4 processes, nccl"),
    ],
)
def test_pytorch_names_the_gpus_that_a_worker_sees(
    monkeypatch: pytest.MonkeyPatch, own: range, replicas: int, said: str
) -> None:
    """Without a GPU: what answers for PyTorch knows this machine's two, as a worker's does."""
    there = SimpleNamespace(
        cuda=SimpleNamespace(get_device_name=["first", "second"].__getitem__),
        distributed=SimpleNamespace(get_backend=lambda: "nccl"),
    )
    monkeypatch.setitem(sys.modules, "torch", there)
    engine = Torch.__new__(Torch)
    engine.own, engine.replicas, engine.gpus = own, replicas, True
    assert engine._devices() == said
