import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome.devices import Devices
from velodrome.errors import UserError

written = st.one_of(
    st.builds(
        lambda machines, kind, count: Devices(kind, count, None, machines),
        st.integers(1, 64),
        st.sampled_from(["cpu", "gpu"]),
        st.integers(1, 64),
    ),
    st.builds(
        lambda indices, machines: Devices("gpu", len(indices), tuple(indices), machines),
        st.lists(st.integers(0, 63), min_size=1, max_size=8, unique=True),
        st.integers(1, 4),
    ),
)


@given(written)
def test_what_is_written_is_read_back(devices: Devices) -> None:
    assert Devices.parse(str(devices)) == devices


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("cpu", Devices("cpu")),
        ("cpu:2", Devices("cpu", 2)),
        ("gpu@0+2", Devices("gpu", 2, (0, 2))),
        ("2xgpu:8", Devices("gpu", 8, None, 2)),
    ],
)
def test_forms_that_users_write(text: str, devices: Devices) -> None:
    assert Devices.parse(text) == devices
    assert devices.total == devices.count * devices.machines


@pytest.mark.parametrize(
    "text", ["", "tpu", "cpu:0", "gpu:-1", "gpu@", "gpu@1+1", "0xcpu", "cpu 2"]
)
def test_other_forms_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as error:
        Devices.parse(text)
    assert "\n" not in str(error.value)
