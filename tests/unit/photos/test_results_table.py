"""predictions.csv over several runs."""

import csv

import pytest

from petseg.core.errors import PetsegError
from petseg.photos.results_table import TABLE, PhotoRow, ResultsTable


def row_for(photo, results=None, **shares):
    return PhotoRow(
        str(photo), "", results or photo.stem, 30, 20, 0.123456, "abc", shares or {"pet": 1.0}
    )


def write(out, *rows):
    table = ResultsTable(out)
    for row in rows:
        table.add(row)
    table.write()


def read(out):
    with (out / TABLE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_second_run_keeps_the_rows_of_the_first_and_replaces_the_same_photo(tmp_path):
    cat, dog = tmp_path / "cat.jpg", tmp_path / "dög, 2.jpg"
    write(tmp_path, row_for(cat), row_for(dog))
    write(tmp_path, row_for(cat, pet=0.25))
    cells = {row["photo"]: row["share.pet"] for row in read(tmp_path)}
    assert cells == {str(cat): "0.25", str(dog): "1.0"}
    assert read(tmp_path)[0]["seconds"] == "0.1235"


def test_a_photo_named_in_another_way_is_the_same_photo(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    write(tmp_path, row_for(tmp_path / "cat.jpg"))
    write(tmp_path, row_for(tmp_path / "link" / "cat.jpg", "link/cat"))
    assert [row["results"] for row in read(tmp_path)] == ["link/cat"]
    table = ResultsTable(tmp_path)
    assert table.photo_of("cat") is None
    assert table.photo_of("link/cat") == str(tmp_path / "cat.jpg")


def test_overwritten_results_lose_their_row(tmp_path):
    write(tmp_path, row_for(tmp_path / "a" / "cat.jpg"), row_for(tmp_path / "dog.jpg"))
    write(tmp_path, row_for(tmp_path / "b" / "cat.jpg"))
    photos = [row["photo"] for row in read(tmp_path)]
    assert photos == [str(tmp_path / "dog.jpg"), str(tmp_path / "b" / "cat.jpg")]


def test_rows_whose_results_are_being_replaced_name_no_model(tmp_path):
    write(tmp_path, row_for(tmp_path / "a" / "cat.jpg"), row_for(tmp_path / "dog.jpg"))
    table = ResultsTable(tmp_path)
    assert not table.mark_unfinished({tmp_path / "new.jpg": "new"})
    assert table.mark_unfinished({tmp_path / "b" / "cat.jpg": "cat"})
    table.write()
    assert [row["model"] for row in read(tmp_path)] == ["", "abc"]


def test_rows_of_models_with_other_classes_share_a_table(tmp_path):
    cat, dog = tmp_path / "cat.jpg", tmp_path / "dog.jpg"
    write(tmp_path, row_for(cat), row_for(dog))
    write(tmp_path, row_for(dog, cat=0.5, dog=0.5))
    cells = [(row["share.pet"], row["share.cat"]) for row in read(tmp_path)]
    assert cells == [("1.0", ""), ("", "0.5")]


def test_a_column_of_the_user_stays(tmp_path):
    write(tmp_path, row_for(tmp_path / "cat.jpg"))
    [head, row] = (tmp_path / TABLE).read_text().splitlines()
    (tmp_path / TABLE).write_text(f"\ufeff{head},checked\r\n{row},yes\r\n", encoding="utf-8")
    write(tmp_path, row_for(tmp_path / "cat.jpg"), row_for(tmp_path / "dog.jpg"))
    assert [row["checked"] for row in read(tmp_path)] == ["yes", ""]


def test_two_runs_at_a_time_do_not_lose_rows_in_silence(tmp_path):
    first, second = ResultsTable(tmp_path), ResultsTable(tmp_path)
    first.add(row_for(tmp_path / "cat.jpg"))
    first.write()
    second.add(row_for(tmp_path / "dog.jpg"))
    with pytest.raises(PetsegError, match=r"predictions\.csv has changed in the meantime"):
        second.write()
    first.add(row_for(tmp_path / "fox.jpg"))
    first.write()
    assert len(read(tmp_path)) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "photo,price\ncat.jpg,3\n",
        "a\0b",
        "photo,modified,results,width,height,seconds,model\nx,y\n",
        "photo,results,width,height,seconds,model\nx,y,1,2,3,z\n",
    ],
    ids=["empty", "other columns", "binary", "short rows", "a column less"],
)
def test_a_table_of_somebody_else_is_refused_or_replaced_on_request(tmp_path, content):
    (tmp_path / TABLE).write_text(content)
    with pytest.raises(PetsegError, match=r"predictions\.csv is not a table of petseg predict;"):
        ResultsTable(tmp_path)
    table = ResultsTable(tmp_path, replace=True)
    table.add(row_for(tmp_path / "cat.jpg"))
    table.write()
    assert len(read(tmp_path)) == 1
