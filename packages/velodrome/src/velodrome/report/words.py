"""What trials have in common, in words."""

from collections.abc import Iterable, Mapping

import msgspec

from velodrome import user_code
from velodrome.trial import Trial
from velodrome.workloads.recipe import Recipe

RECIPE = Recipe.__struct_fields__
"""The fields of a recipe, which a workload brings."""


def words(trial: Trial) -> dict[str, str]:
    """What a trial trains, how and where, by field; nothing of engine and repeat."""
    recipe = msgspec.structs.asdict(trial.recipe)
    plain = msgspec.structs.asdict(Recipe(learning_rate=trial.recipe.learning_rate))
    found = {
        "workload": trial.workload,
        "dataset": trial.dataset,
        "samples": f"{trial.samples} samples" if trial.samples else "",
        "batch_size": f"batch {trial.batch_size}",
        "devices": trial.devices,
        "epochs": f"{trial.epochs} epoch{'s' if trial.epochs > 1 else ''}",
        # Of a model of the user's own, its file says how it is trained.
        "learning_rate": ""
        if user_code.is_reference(trial.workload)
        else f"learning rate {trial.recipe.learning_rate:g}",
        **{
            field: _parameter(field, recipe[field])
            for field in recipe
            if recipe[field] != plain[field]
        },
        "drop_last": "full batches only" if trial.drop_last else "",
        "dtype": trial.dtype,
        "settings": f"{trial.settings} settings",
        "seed": f"seed {trial.seed}" if trial.seed else "",
    }
    return {field: text for field, text in found.items() if text}


def _parameter(name: str, value: object) -> str:
    text = "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{name.replace('_', ' ')} {text}"


def line(words: Mapping[str, str]) -> str:
    """Those words as one line."""
    rest = dict(words)
    what = " on ".join(rest.pop(field) for field in ("workload", "dataset") if field in rest)
    return ", ".join(filter(None, [what, *rest.values()]))


def differing(all_words: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Of each, the words that the others do not all have too; of a single one, none."""
    each = [dict(words) for words in all_words]
    first = each[0].items() if each else ()
    common = [item for item in first if all(item in one.items() for one in each)]
    return [dict(item for item in one.items() if item not in common) for one in each]
