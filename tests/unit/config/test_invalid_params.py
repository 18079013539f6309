"""Every parameter at and beyond its edges, of the wrong type, missing and misspelt; and params.yaml that is none.

What is promised for each stands in docs/robustness.md.
"""

from contextlib import suppress

import annotated_types
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from petseg.config.params import Params, load_params, parse_params
from petseg.core.errors import PetsegError
from support.project import with_values
from support.robustness import matches

SECTION = "Parameters"
CASES = {
    "params.yaml with a key twice": "params.yaml is not valid YAML at line 4, column 3: the key 'epochs' stands twice.",
    "params.yaml that is no YAML": "params.yaml is not valid YAML at line 3, column 1: ….",
    "params.yaml with a tab": "params.yaml is not valid YAML at line 2, column 1: ….",
    "params.yaml that calls Python": "params.yaml is not valid YAML at line 1, column 7: ….",
    "params.yaml of a thousand brackets": "params.yaml is not valid YAML: ….",
    "params.yaml with an impossible date": "params.yaml is not valid YAML: ….",
    "params.yaml that doubles itself": "params.yaml: seed is missing.…params.yaml: and 26 more mistakes.",
    "params.yaml empty": "params.yaml must hold sections such as seed, dataset, preprocess.",
    "params.yaml with a list": "params.yaml must hold sections such as seed, dataset, preprocess.",
    "params.yaml with a number of 5,000 digits": "params.yaml is not valid YAML: ….",
    "params.yaml with keys that are no text": "params.yaml is not valid YAML at line 3, column 1: found unhashable key.",
    "params.yaml that is not UTF-8": "params.yaml is not UTF-8 text (byte 6).",
    "params.yaml with a byte order mark": "Read.",
    "each number just outside its range": "params.yaml: KEY is VALUE, but must be a whole number from ... to ... (every number has two such edges).",
    "each parameter of another type": "params.yaml: KEY is VALUE, but must be ... (what is allowed).",
    "each parameter missing or misspelt": "params.yaml: KEY is missing. params.yaml: KEYS is not a parameter; did you mean 'KEY'?",
}  # fmt: skip


def fields_of(section, prefix=""):
    """(dotted key, field) of every parameter."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


FIELDS = dict(fields_of(Params))
NUMBERS = {
    key: field
    for key, field in FIELDS.items()
    if field.annotation in (int, float) and key not in ("model.alpha",)
}


def bounds(field):
    """(smallest, largest) allowed and (too small, too large), from the field's own constraints."""
    tiny = 1 if field.annotation is int else 1e-9
    step = next(
        (c.multiple_of for c in field.metadata if isinstance(c, annotated_types.MultipleOf)), tiny
    )
    lowest = highest = None
    for c in field.metadata:
        if isinstance(c, annotated_types.Ge):
            lowest = c.ge, c.ge - step
        elif isinstance(c, annotated_types.Gt):
            lowest = c.gt + step, c.gt
        elif isinstance(c, annotated_types.Le):
            highest = c.le, c.le + step
        elif isinstance(c, annotated_types.Lt):
            highest = c.lt - step, c.lt
    return lowest, highest


def recover_error(default_params, key, value):
    with pytest.raises(PetsegError) as caught:
        parse_params(with_values(default_params, {key: value}))
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"params.yaml: {key}") for line in lines), lines
    assert all(len(line) < 300 for line in lines)
    return lines


@pytest.mark.parametrize("key", NUMBERS)
def test_each_number_has_two_edges(default_params, tmp_path, key):
    (tmp_path / "weights.h5").touch()
    (smallest, too_small), (largest, too_large) = bounds(FIELDS[key])
    for value in (too_small, too_large):
        assert "but must be a" in recover_error(default_params, key, value)[0]
    # Limits that lie in other parameters are out of the way.
    many = with_values(
        default_params, {"train.epochs": 10**6, "model.weights": str(tmp_path / "weights.h5")}
    )
    for value in (smallest, largest):
        wide = many if key != "train.epochs" else with_values(many, {"train.warmup_epochs": 0})
        assert parse_params(with_values(wide, {key: value})) is not None


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        ("model.decoder_filters", [[1, 1024], [8] * 5], [[8], [8] * 6, [0, 8], [8, 1025], [8, 2.5], [8, True], "8, 8"]),
        ("export.formats", [["onnx"], ["litert_int8", "onnx"]], [[], ["tflite"], ["onnx", "onnx"], ["onnx"] * 5, "onnx"]),
        ("preprocess.beam_options", [[]], [["direct"], ["--"], [1], "--streaming"]),
        ("dataset.folder.classes", [["a", "b"], [str(i) for i in range(128)]], [["a"], [str(i) for i in range(129)], ["a", ""], ["a", 1], "ab"]),
    ],
)  # fmt: skip
def test_each_list_has_edges_too(default_params, key, right, wrong):
    for value in right:
        assert parse_params(with_values(default_params, {key: value})) is not None
    for value in wrong:
        assert "but must be" in recover_error(default_params, key, value)[0]


def test_a_list_of_nothing_but_wrong_values_is_one_mistake_each(default_params):
    assert len(recover_error(default_params, "export.formats", ["tflite"])) == 1
    assert len(recover_error(default_params, "evaluate.tta.scales", [9, 1, 7])) == 2


def test_weights_of_another_kind_of_file_are_refused(default_params, tmp_path):
    (tmp_path / "weights.keras").touch()
    assert (
        "an existing .h5 file"
        in recover_error(default_params, "model.weights", str(tmp_path / "weights.keras"))[0]
    )


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("value", [None, {"a": 1}, [[]], float("nan"), b"x"], ids=str)
def test_each_parameter_refuses_what_is_no_value_at_all(default_params, key, value):
    assert "but must be" in recover_error(default_params, key, value)[0]


@pytest.mark.parametrize("key", FIELDS)
def test_each_parameter_must_be_there_and_spelt_right(default_params, key):
    changed = with_values(default_params, {f"{key}s": 1})
    *sections, last = key.split(".")
    section = changed
    for name in sections:
        section = section[name]
    del section[last]
    with pytest.raises(PetsegError) as caught:
        parse_params(changed)
    lines = str(caught.value).splitlines()
    assert f"params.yaml: {key} is missing." in lines
    assert any(f"{key}s is not a parameter; did you mean" in line for line in lines)


TEXTS = {
    "params.yaml with a key twice": "seed: 0\ntrain:\n  epochs: 1\n  epochs: 2\n",
    "params.yaml that is no YAML": "seed: 0\ntrain: [1, 2\n",
    "params.yaml with a tab": "train:\n\tepochs: 1\n",
    "params.yaml that calls Python": "seed: !!python/object/apply:os.system ['true']\n",
    "params.yaml of a thousand brackets": "[" * 2000,
    "params.yaml with an impossible date": "seed: 2024-99-99\n",
    "params.yaml that doubles itself": "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{b}, *{b}]\n" for b, c in zip("abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxy", strict=True)),
    "params.yaml empty": "",
    "params.yaml with a list": "- a\n- b\n",
    "params.yaml with a number of 5,000 digits": "seed: " + "9" * 5000 + "\n",
    "params.yaml with keys that are no text": "1: 2\nnull: 3\n[1, 2]: 3\n",
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_a_file_that_holds_no_parameters_is_told(tmp_path, case):
    (tmp_path / "params.yaml").write_text(TEXTS[case])
    with pytest.raises(PetsegError) as caught:
        load_params(tmp_path / "params.yaml")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert all(len(line) < 400 for line in str(caught.value).splitlines())


def test_a_file_that_is_not_utf_8_is_told(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(PetsegError, match=r"is not UTF-8 text \(byte 6\)"):
        load_params(tmp_path / "params.yaml")


def test_a_byte_order_mark_does_no_harm(tmp_path, default_params):
    (tmp_path / "params.yaml").write_text(
        "\ufeff" + yaml.safe_dump(default_params), encoding="utf-8"
    )
    assert load_params(tmp_path / "params.yaml").seed == default_params["seed"]


def test_a_class_may_not_be_called_ignored(default_params):
    recover_error(default_params, "dataset.folder.classes", ["pet", "ignored"])


def test_a_path_that_is_too_long_is_told(default_params):
    for key in ("model.weights", "dataset.folder.path"):
        recover_error(
            with_values(default_params, {"dataset.name": "folder", "dataset.folder.path": "."}),
            key,
            "x" * 300,
        )


YAML_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1e-05", "0x1F"]),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(
        st.sampled_from([*FIELDS, "train", "model", "seed", "x"]), YAML_VALUES, max_size=3
    )
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_parameters_is_taken_or_told(default_params, changes):
    raw = default_params
    for key in sorted(changes, key=len, reverse=True):  # a section after what is in it
        raw = with_values(raw, {key: changes[key]})
    with suppress(PetsegError):  # and nothing else
        params = parse_params(raw)
        assert parse_params(params.model_dump(mode="json")) == params


@given(text=st.text(max_size=200) | st.text(alphabet="seed: 01[]{}\n\t-&*!'\"|>%@,?#", max_size=60))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_instead_of_yaml_is_told(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PetsegError):
        load_params(tmp_path / "params.yaml")
