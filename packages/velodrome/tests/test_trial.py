import msgspec

from builders import trial
from velodrome.trial import Trial
from velodrome.workloads.recipe import Recipe


def test_an_id_is_the_same_in_every_process_and_version() -> None:
    # A changed id orphans every result measured so far: change this only on purpose.
    assert trial().id == "70149d35cde1b8ec4bbfa80723b2d18bb7a9f41b14d0612804bb03de9456474c"


def test_every_field_changes_the_id() -> None:
    other = trial(
        engine="jax",
        workload="mlp",
        graph="h",
        recipe=Recipe(learning_rate=0.06),
        dataset="mnist",
        data="f",
        samples=5,
        devices="gpu",
        batch_size=65,
        epochs=4,
        drop_last=True,
        dtype="tf32",
        settings="stock",
        seed=1,
        repeat=1,
        environment="v",
    )
    ids = {trial().id}
    for field in Trial.__struct_fields__:
        ids.add(trial(**{field: getattr(other, field)}).id)
    assert len(ids) == len(Trial.__struct_fields__) + 1


def test_a_trial_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(trial()), type=Trial) == trial()
