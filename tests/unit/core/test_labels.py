import pytest

from petseg.core.labels import TRIMAP_CLASSES, check_labels, colors_of


@pytest.mark.parametrize("count", [20, 254])
def test_classes_have_different_colors_and_the_background_is_dark(count):
    names = ["background", *(f"class {i}" for i in range(count))]
    colors = colors_of(names)
    assert list(colors) == names
    assert len(set(colors.values())) == len(names)
    assert max(colors["background"]) < 60
    assert set(colors_of(TRIMAP_CLASSES)) == {"pet", "background", "border"}


@pytest.mark.parametrize(
    ("first_label", "fits"), [(-1, False), (0, True), (252, True), (253, False)]
)
def test_labels_must_fit_into_a_byte_below_the_ignored_label(first_label, fits):
    if fits:
        check_labels(first_label, 3)
    else:
        with pytest.raises(ValueError, match="don't fit into a byte"):
            check_labels(first_label, 3)
