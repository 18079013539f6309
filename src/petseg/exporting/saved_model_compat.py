"""Deterministic SavedModels. Checked with TensorFlow 2.21.

TensorFlow numbers functions per process, and stores a random identifier in fingerprint.pb and this
process's devices and options in the graph.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2


def make_canonical(folder: Path) -> None:
    """Number a SavedModel's functions from 0 and sort them. Delete the optional fingerprint.pb."""
    (folder / "fingerprint.pb").unlink()
    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (graph,) = model.meta_graphs
    functions, objects = graph.graph_def.library.function, graph.object_graph_def
    rename = _renumber([function.signature.name for function in functions])
    for function in functions:
        function.signature.name = rename(function.signature.name)
        for argument in function.signature.input_arg:  # a loop's unused ones contain its name
            argument.name = rename(argument.name)
        _rename_calls(function.node_def, rename)
    _rename_calls(graph.graph_def.node, rename)
    for node in objects.nodes:
        if node.HasField("bare_concrete_function"):
            callee = node.bare_concrete_function
            callee.concrete_function_name = rename(callee.concrete_function_name)
        elif node.HasField("function"):
            names = node.function.concrete_functions
            names[:] = [rename(name) for name in names]
    concrete = {rename(name): value for name, value in objects.concrete_functions.items()}
    renamed = type(objects)(concrete_functions=concrete)
    objects.ClearField("concrete_functions")
    objects.MergeFrom(renamed)
    functions.sort(key=lambda function: function.signature.name)
    file.write_bytes(model.SerializeToString(deterministic=True))


def _renumber(names: list[str]) -> Callable[[str], str]:
    """Return a function that renumbers these names, such as while_body_4711, within a text."""
    numbers = sorted({int(found[1]) for name in names if (found := re.search(r"_(\d+)$", name))})
    rank = {str(number): str(index) for index, number in enumerate(numbers)}
    new = {name: re.sub(r"(?<=_)\d+$", lambda found: rank[found[0]], name) for name in names}
    pattern = re.compile(f"({'|'.join(map(re.escape, names))})(?!\\d)")
    return lambda text: pattern.sub(lambda found: new[found[0]], text)


def _rename_calls(nodes: Any, rename: Callable[[str], str]) -> None:
    """Rename the functions that nodes of a graph call, without this process's devices and options.

    Training turns the graph optimizer off, which a server should leave on.
    """
    for node in nodes:
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = b""
        for callee in _callees(node):
            callee.name = rename(callee.name)


def _callees(node: Any) -> Iterator[Any]:
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func
        elif attribute.HasField("list"):
            yield from attribute.list.func
