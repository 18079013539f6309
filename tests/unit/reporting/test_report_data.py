"""Reading the outputs of earlier stages."""

from petseg.reporting.report_data import read_table


def test_text_columns_stay_text_and_others_are_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "supercategory,category,mean_iou,iou_x\ncat,001,0.5,\ncat,True,,0.25\nNA,1.0,0.1,0.2\n"
    )
    table = read_table(path, "supercategory", "category")
    assert list(table["category"]) == ["001", "True", "1.0"]
    assert list(table["supercategory"]) == ["cat", "cat", "NA"]
    assert table["iou_x"].isna().tolist() == [True, False, False]
    assert table["mean_iou"].isna().tolist() == [False, True, False]
