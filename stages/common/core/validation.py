"""great-expectations suites over tables: pass with a plain record, or stop with the failed rows by name."""

import os
import re
import sys
import warnings
from html import escape
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

import pandas as pd

from stages.common.core.busy import busy
from stages.common.core.errors import error_list

# jsonschema, which several libraries load, would build grammars of Internet addresses that nothing here uses: 2 s.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # Python's way to say "not installed"
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# what it means to a reader, the class in great_expectations.expectations, its arguments
Expectation = tuple[str, str, dict[str, Any]]


class HeldExpectation(TypedDict):
    """What was expected of a table and holds, the class of the rule, and the number of rows."""

    expectation: str
    rule: str
    rows: int


# Stands in for the style sheets and icon fonts that the pages would load from other hosts.
OFFLINE_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem; border-bottom: 1px solid #ddd; }
.fa-check-circle::before { content: "\\2713"; color: green; } .fa-times::before { content: "\\2717"; color: #c00; }
i { font-style: normal; }
footer, .card:has(.btn-group), .ge-walkthrough-modal, [data-toggle=collapse] { display: none; }
</style>"""


@busy("checks tables with great-expectations")
def validate(
    name: str, table: pd.DataFrame, suite: list[Expectation], row_id: str, docs: Path
) -> list[HeldExpectation]:
    """Run a suite over a table and write its Data Docs.

    Args:
        name: of the table, and of the folder of its pages.
        table: what is checked.
        suite: the expectations.
        row_id: the column that names a row.
        docs: the folder of all Data Docs.
    Returns:
        The expectations, which hold, without run ids and times, so that they may be part of a DVC output.
    Raises:
        UserError: names every violated expectation with the `row_id` of its failed rows.
    """
    import great_expectations as gx  # 2 to 3 s: only where a suite runs
    from great_expectations import expectations as gxe
    from great_expectations.checkpoint.actions import UpdateDataDocsAction
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    # Both switches: `globally` alone still lets the metric calculator draw its bars.
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name)
    rules = [getattr(gxe, rule)(**arguments, notes=meaning) for meaning, rule, arguments in suite]
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=name, data=batch, suite=context.suites.add(gx.ExpectationSuite(name=name, expectations=rules))
        )
    )
    format_ = {"result_format": "COMPLETE", "unexpected_index_column_names": [row_id]}
    write_docs(context, name, docs)
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format=format_,
            actions=[UpdateDataDocsAction(name="docs", site_names=["local"])],
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        outcome = checkpoint.run(batch_parameters={"dataframe": table})
    keep_docs_offline(docs / slug(name))
    write_index(docs / slug(name), name)
    result = next(iter(outcome.run_results.values()))
    findings = [finding(item, row_id) for item in result.results if not item.success]
    if findings:
        raise error_list(f"{name}: these expectations are violated", findings)
    return [{"expectation": meaning, "rule": rule, "rows": len(table)} for meaning, rule, _ in suite]


def finding(item: Any, row_id: str) -> str:
    """One violated expectation with its failed rows, or with why it could not be checked."""
    rows = item.result.get("unexpected_index_list") or []
    names = [str(row[row_id]) for row in rows]
    meaning = item.expectation_config.notes
    if names:
        return f"{meaning}; failed rows: {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}"
    observed = item.result.get("observed_value")
    return f"{meaning}; found {observed if observed is not None else item.exception_info}"


def slug(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def write_docs(context: Any, name: str, docs: Path) -> None:
    """Point the context's Data Docs at a folder in `docs`. Pages hold run times, so they are no DVC output."""
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str((docs / slug(name)).resolve())}
    if "local_site" in context.get_site_names():
        context.delete_data_docs_site("local_site")
    context.add_data_docs_site(
        site_name="local",
        site_config={
            "class_name": "SiteBuilder",
            "store_backend": store,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )


def keep_docs_offline(folder: Path) -> None:
    """Remove what Data Docs pages load from other hosts: they must open without a network and call nobody.

    Their own scripts go as well, since they use those of other hosts, and so do the buttons that would start them.
    """
    lost = re.compile(r"<script.*?</script>|<link[^>]*>|<img[^>]*src=[\"']https?://[^>]*>", re.DOTALL)
    for page in sorted(folder.rglob("*.html")):
        page.write_text(lost.sub("", page.read_text()).replace("</head>", f"{OFFLINE_STYLE}</head>"))


def write_index(folder: Path, name: str) -> None:
    """Replace the index of Data Docs, whose tables a script builds, by a list of the pages.

    Args:
        folder: of the table's pages.
        name: of the table.
    """
    runs = sorted(folder.glob("validations/**/*.html"))
    items = [(page, f"{page.parent.name}: {outcome(page.read_text())}") for page in runs]
    items += [(page, f"expectations of {name}") for page in sorted(folder.glob("expectations/**/*.html"))]
    links = [
        f'<li><a href="{quote(page.relative_to(folder).as_posix())}">{escape(text)}</a></li>' for page, text in items
    ]
    title = escape(f"Data Docs of {name}")
    (folder / "index.html").write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{OFFLINE_STYLE}</head>\n'
        f"<body><h1>{title}</h1>\n<ul>\n{chr(10).join(links)}\n</ul></body></html>\n"
    )


def outcome(page: str) -> str:
    """What a page of a run says about it."""
    status = re.search(r"Status:.*?\b(Succeeded|Failed)\b", page, re.DOTALL)
    return status[1].lower() if status else "not finished"
