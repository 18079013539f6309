"""What each recipe's network costs: milliseconds per image, parameters, multiply-adds."""

from dataclasses import replace

from benchmarks.contenders import Contender, take_turns
from benchmarks.options import Options
from benchmarks.parts.predict import petseg_exported
from benchmarks.results import Results, Table
from benchmarks.workspace import (
    build_network,
    million_multiply_adds,
    save_exported,
    save_untrained,
    synthetic_params,
)

RECIPES = ("quick", "fast", "small pets128", "mobilenet pets128", "default pets128")
_FORMATS = ("litert_float32", "litert_int8")


def run(options: Options) -> Results:
    size = options.sizes[0]
    contenders, costs = [], []
    for recipe in RECIPES:
        params = synthetic_params(recipe, options.num_images, size)
        network = build_network(params)
        multiply_adds = million_multiply_adds(network, params.preprocess.image_size)
        cost = {"parameters": network.count_params(), "M multiply-adds": round(multiply_adds)}
        exported = save_exported(save_untrained(params, options.scratch))
        for name in _FORMATS:
            settings = {"exported": exported, "name": name}
            contenders.append(Contender(f"`{recipe}`, {name}", petseg_exported, settings))
            costs.append(cost)
    measured = take_turns(contenders, "ms", options.repetitions)
    rows = [
        replace(row, details=cost | row.details) for row, cost in zip(measured, costs, strict=True)
    ]
    return Results("recipes", [Table(f"One image of {size} px, one thread", rows)])
