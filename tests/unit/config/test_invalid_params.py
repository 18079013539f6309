"""Invalid parameters: beyond their limits, of a wrong type, missing, misspelled; and invalid files."""

from contextlib import suppress
from pathlib import Path

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
    "params.yaml with a duplicate key": "params.yaml is not valid YAML at line 4, column 3: found duplicate key \"epochs\" with value \"2\" (original value: \"1\").",
    "params.yaml with invalid YAML": "params.yaml is not valid YAML at line 3, column 1: ….",
    "params.yaml with a tab": "params.yaml is not valid YAML at line 2, column 1: ….",
    "params.yaml that calls Python": "params.yaml is not valid YAML at line 1, column 7: ….",
    "params.yaml with 1,000 brackets": "params.yaml is not valid YAML: ….",
    "params.yaml with an impossible date": "params.yaml is not valid YAML: ….",
    "params.yaml that grows exponentially": "params.yaml: seed is missing.…params.yaml: and 26 more errors.",
    "params.yaml that is empty": "params.yaml must have sections such as seed, dataset, preprocess.",
    "params.yaml with a list": "params.yaml must have sections such as seed, dataset, preprocess.",
    "params.yaml with a number of 5,000 digits": "params.yaml is not valid YAML: ….",
    "params.yaml with keys that are not text": "params.yaml: seed is missing.…",
    "params.yaml that is not UTF-8": "params.yaml is not UTF-8 text (byte 6).",
    "params.yaml with a byte order mark": "Read.",
    "a number outside its range": "params.yaml: KEY is VALUE, but must be a whole number from … to …. (Both limits of every number are tested.)",
    "an image size that no network takes": "params.yaml: preprocess.image_size is [64, 100], but must be a multiple of 32 from 32 to 2048, or two as [height, width].",
    "an export of one window of a model that sees several": "params.yaml: export.formats is ['onnx', 'onnx_photo', 'saved_model'], but must be a list without onnx_photo and saved_model when preprocess.resize is crop.",
    "a parameter whose name is a number": "params.yaml: train.5 is not a parameter; known here: epochs, patience, ….",
    "a value of another type": "params.yaml: KEY is VALUE, but must be …. (It says what is allowed.)",
    "a parameter that is missing or misspelled": "params.yaml: KEY is missing. params.yaml: KEYS is not a parameter; did you mean 'KEY'?",
}  # fmt: skip


def fields_of(section, prefix=""):
    """Yield the dotted key and the field of every parameter."""
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
    """Return (smallest, too small) and (largest, too large), from the field's constraints."""
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


def errors_for(default_params, key, value, named=None):
    """Return the lines of the error for a value; one of them names the key, or another one."""
    with pytest.raises(PetsegError) as caught:
        parse_params(with_values(default_params, {key: value}))
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"params.yaml: {named or key}") for line in lines), lines
    assert all(len(line) < 300 for line in lines)
    return lines


@pytest.mark.parametrize("key", NUMBERS)
def test_both_bounds_of_each_number_are_checked(default_params, tmp_path, key):
    (tmp_path / "weights.h5").touch()
    (smallest, too_small), (largest, too_large) = bounds(FIELDS[key])
    for value in (too_small, too_large):
        assert "but must be a" in errors_for(default_params, key, value)[0]
    # Limits that depend on other parameters must not interfere.
    many = with_values(
        default_params, {"train.epochs": 10**6, "model.weights": str(tmp_path / "weights.h5")}
    )
    for value in (smallest, largest):
        wide = many if key != "train.epochs" else with_values(many, {"train.warmup_epochs": 0})
        assert parse_params(with_values(wide, {key: value})) is not None


@pytest.mark.parametrize(
    ("key", "valid", "invalid"),
    [
        ("model.decoder_filters", [[1, 1024], [8] * 5], [[8], [8] * 6, [0, 8], [8, 1025], [8, 2.5], [8, True], "8, 8"]),
        ("export.formats", [["onnx"], ["litert_int8", "onnx"]], [[], ["tflite"], ["onnx", "onnx"], ["onnx"] * 8, "onnx"]),
        ("preprocess.image_size", [32, 2048, [32, 2048]], [0, 31, 33, 2080, 64.0, True, None, "64", [], [64], [64] * 3, [64, 0], [64, 2080], [64, "64"], [64, True], {"height": 64}]),
        ("evaluate.resolution", ["model", "original", 32, 4096], ["full", 31, 4097, 64.0, [64, 64]]),
        ("preprocess.tiles", ["none", {"size": 32, "overlap": 16}, {"size": 4096, "overlap": 0}], [None, 512, {}, {"size": 512}, {"size": 31, "overlap": 0}, {"size": 4128, "overlap": 0}, {"size": 64, "overlap": 33}, {"size": 64, "overlap": -1}, {"size": 64.0, "overlap": 1}, {"size": 64, "overlap": 1, "step": 3}, [64, 8]]),
        ("preprocess.beam_options", [[]], [["direct"], ["--"], [1], "--streaming"]),
        ("dataset.folder.classes", ["auto", ["a"], [1, "no"], [str(i) for i in range(255)]], [[], [str(i) for i in range(256)], ["a", " "], ["a", "a"], ["1", 1], ["a", True], ["a", 1.5], ["a", "ignore"], "ab"]),
        ("dataset.folder.classes", [{"a": 0, "b": [1, "#30F020", "3-9", "cat"]}, {"a": 1, "ignore": [0, 2]}], [{}, {"ignore": 3}, {"a": -1}, {"a": 65536}, {"a": 1.5}, {"a": True}, {"a": None}, {"a": ""}, {"a": {"b": 1}}, {"ignored": 1}]),
        ("train.loss.class_weights", ["none", "balanced", {"a": 0, "b": 2.5}, {1: 2}], [{}, {"a": -1}, {"a": "2"}, {"a": True}, {"a": None}, {True: 2}, {" ": 2}, {1.5: 2}, {1: 2, "1": 2}, [1, 2], "inverse", 1]),
        ("dataset.folder.group", ["none", "(.*)_frame"], ["", ".*", "(", "(a)(b)", 1]),
    ],
)  # fmt: skip
def test_lists_are_checked_for_length_and_items(default_params, key, valid, invalid):
    for value in valid:
        assert parse_params(with_values(default_params, {key: value})) is not None
    for value in invalid:
        assert "but must be" in errors_for(default_params, key, value)[0]


def test_a_value_that_is_neither_of_two_kinds_has_one_message(default_params):
    assert errors_for(default_params, "evaluate.resolution", 5000) == [
        "params.yaml: evaluate.resolution is 5000, but must be model, original or a whole number of "
        "pixels from 32 to 4096."
    ]


def test_the_sides_of_an_image_size_are_multiples_of_32(default_params):
    [line] = errors_for(default_params, "preprocess.image_size", [64, 100])
    assert line == CASES["an image size that no network takes"]


def test_options_of_beam_need_its_runner(default_params):
    options = with_values(default_params, {"preprocess.beam_options": ["--streaming"]})
    assert parse_params(with_values(options, {"preprocess.runner": "beam"})) is not None
    with pytest.raises(
        PetsegError, match=r"beam_options is .* \[\] when preprocess.runner is local"
    ):
        parse_params(options)


def test_tiles_are_square(default_params):
    values = {"preprocess.tiles": {"size": 512, "overlap": 64}, "preprocess.image_size": [64, 96]}
    with pytest.raises(PetsegError, match=r"image_size is .* one number when there are preproc"):
        parse_params(with_values(default_params, values))
    values |= {"preprocess.image_size": 64, "evaluate.resolution": 256}
    with pytest.raises(PetsegError, match="resolution is 256, but must be original when there are"):
        parse_params(with_values(default_params, values))
    values |= {"preprocess.resize": "crop"}
    with pytest.raises(PetsegError, match="resize is 'crop', but must be stretch when there are"):
        parse_params(with_values(default_params, values))


def test_formats_of_one_window_need_a_model_that_sees_one(default_params):
    formats = {"export.formats": ["onnx", "onnx_photo", "saved_model"]}
    changed = with_values(default_params, formats)
    assert parse_params(changed) is not None
    [line] = errors_for(changed, "preprocess.resize", "crop", named="export.formats")
    assert line == CASES["an export of one window of a model that sees several"]
    tiles = {"size": 512, "overlap": 64}
    [line] = errors_for(changed, "preprocess.tiles", tiles, named="export.formats")
    assert line.endswith("onnx_photo and saved_model when there are preprocess.tiles.")


def test_a_name_that_is_a_number_is_not_a_parameter(default_params):
    train = default_params["train"] | {5: 1}
    with pytest.raises(PetsegError) as caught:
        parse_params(default_params | {"train": train})
    assert matches(CASES["a parameter whose name is a number"], str(caught.value), Path())


def test_class_weights_may_be_of_classes_whose_names_are_numbers(default_params):
    params = parse_params(with_values(default_params, {"train.loss.class_weights": {1: 2.5}}))
    assert params.train.loss.class_weights == {"1": 2.5}


def test_each_invalid_item_of_a_list_is_one_error(default_params):
    assert len(errors_for(default_params, "export.formats", ["tflite"])) == 1
    assert len(errors_for(default_params, "evaluate.tta.scales", [9, 1, 7])) == 2


def test_weights_must_be_an_h5_file_or_the_folder_of_a_model(default_params, tmp_path):
    (tmp_path / "weights.keras").touch()
    for path in (tmp_path / "weights.keras", tmp_path):
        [line] = errors_for(default_params, "model.weights", str(path))
        assert "an existing .h5 file or trained model (a folder)" in line
    (tmp_path / "model.json").touch()
    parse_params(with_values(default_params, {"model.weights": str(tmp_path)}))


def test_a_training_does_not_start_from_the_model_that_it_replaces(
    default_params, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in ("models/unet", "models/before"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.json").touch()
    for path in ("models/unet", str(tmp_path / "models" / "unet")):
        [line] = errors_for(default_params, "model.weights", path)
        assert line.endswith("but must be a copy of models/unet, which training replaces.")
    parse_params(with_values(default_params, {"model.weights": "models/before"}))


def test_petsegs_own_model_and_a_folder_of_its_name_are_not_confused(
    default_params, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("pets").mkdir()  # of photos
    parse_params(with_values(default_params, {"model.weights": "pets"}))
    Path("pets/model.json").touch()
    [line] = errors_for(default_params, "model.weights", "pets")
    assert line.endswith("model.weights is 'pets', but must be ./pets for the model in the folder of that name.")  # fmt: skip
    parse_params(with_values(default_params, {"model.weights": "./pets"}))


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("value", [None, {"a": 1}, [[]], float("nan"), b"x"], ids=str)
def test_each_parameter_rejects_other_types(default_params, key, value):
    if value == {"a": 1} and key in ("dataset.folder.classes", "train.loss.class_weights"):
        pytest.skip("a table")
    assert "but must be" in errors_for(default_params, key, value)[0]


@pytest.mark.parametrize("key", FIELDS)
def test_each_parameter_that_is_missing_or_misspelled_is_named(default_params, key):
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


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{key}: &{key} [*{previous}, *{previous}]\n"
    for previous, key in zip("abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxy", strict=True)
)
FILES = {
    "params.yaml with a duplicate key": "seed: 0\ntrain:\n  epochs: 1\n  epochs: 2\n",
    "params.yaml with invalid YAML": "seed: 0\ntrain: [1, 2\n",
    "params.yaml with a tab": "train:\n\tepochs: 1\n",
    "params.yaml that calls Python": "seed: !!python/object/apply:os.system ['true']\n",
    "params.yaml with 1,000 brackets": "[" * 1000,
    "params.yaml with an impossible date": "seed: 2024-99-99\n",
    "params.yaml that grows exponentially": ALIASES,
    "params.yaml that is empty": "",
    "params.yaml with a list": "- a\n- b\n",
    "params.yaml with a number of 5,000 digits": "seed: " + "9" * 5000 + "\n",
    "params.yaml with keys that are not text": "1: 2\nnull: 3\n[1, 2]: 3\n",
}


@pytest.mark.parametrize("case", FILES)
def test_an_invalid_file_is_reported(tmp_path, case):
    (tmp_path / "params.yaml").write_text(FILES[case])
    with pytest.raises(PetsegError) as caught:
        load_params(tmp_path / "params.yaml")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert all(len(line) < 400 for line in str(caught.value).splitlines())


def test_a_file_that_is_missing_is_reported(tmp_path):
    with pytest.raises(PetsegError, match=r"can't be read \(No such file or directory\); run from"):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_not_utf_8_is_reported(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(PetsegError) as caught:
        load_params(tmp_path / "params.yaml")
    assert matches(CASES["params.yaml that is not UTF-8"], str(caught.value), tmp_path)


def test_a_byte_order_mark_is_ignored(tmp_path, default_params):
    text = "\ufeff" + yaml.safe_dump(default_params)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "params.yaml").seed == default_params["seed"]


def test_no_class_may_be_named_ignored(default_params):
    errors_for(default_params, "dataset.folder.classes", ["pet", "ignored"])


def test_in_a_copy_of_the_project_paths_to_untracked_files_must_be_absolute(
    default_params, monkeypatch, tmp_path
):
    """As `dvc exp run --temp` and the queue make one."""
    for name in ("project/data/folder/images", "project/weights", "copy/data/folder"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("project/weights/model.json", "project/x.h5"):
        (tmp_path / name).touch()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    values = {"dataset.name": "folder", "dataset.folder.path": str(tmp_path / "copy/data/folder")}
    params = with_values(default_params, values)
    for key, path in (
        ("dataset.folder.path", "data/folder"),
        ("model.weights", "weights"),
        ("model.weights", "x.h5"),
    ):
        monkeypatch.chdir(tmp_path / "copy")
        [line] = errors_for(params, key, path)
        assert (
            f"{key} is {path!r}, but must be an absolute path, because dvc exp run --temp" in line
        )
        parse_params(with_values(params, {key: str(tmp_path / "project" / path)}))
        monkeypatch.chdir(tmp_path / "project")
        parse_params(with_values(params, {key: path}))
    (tmp_path / "copy/data/folder/images").mkdir()  # tracked by git or DVC
    monkeypatch.chdir(tmp_path / "copy")
    parse_params(with_values(params, {"dataset.folder.path": "data/folder"}))


def test_a_path_that_is_too_long_is_reported(default_params):
    values = {"dataset.name": "folder", "dataset.folder.path": "."}
    for key in ("model.weights", "dataset.folder.path"):
        errors_for(with_values(default_params, values), key, "x" * 300)


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
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_is_accepted_or_reported(default_params, changes):
    raw = default_params
    for key in sorted(changes, key=len, reverse=True):  # a section after its own keys
        raw = with_values(raw, {key: changes[key]})
    with suppress(PetsegError):  # no other exception
        params = parse_params(raw)
        assert parse_params(params.model_dump(mode="json")) == params


@given(text=st.text(max_size=200) | st.text(alphabet="seed: 01[]{}\n\t-&*!'\"|>%@,?#", max_size=60))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_other_than_parameters_is_reported(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PetsegError):
        load_params(tmp_path / "params.yaml")
