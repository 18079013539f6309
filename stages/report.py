"""metrics, tables, model and data -> reports/index.html and reports/MODEL_CARD.md."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.reporting.report import report

    report(params, paths)


if __name__ == "__main__":
    run_stage(main)
