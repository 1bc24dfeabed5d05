"""Tables made from the code, and the examples of the pages, run."""

import re
import subprocess
import sys

import pytest

from fleet.keys import Keys
from monitor.clickhouse import ClickHouse, create_schema
from ops import reference
from ops.architecture import ROOT, SECTIONS
from tests.support.commands import REPOSITORY, clean_environment
from tests.support.small_fleet import BTC, delta
from trader.strategies.grid import GridParams

OPERATING = (ROOT / "ops" / "OPERATING.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", OPERATING, re.DOTALL)
SQL = re.findall(r"```sql\n(.*?)```", OPERATING, re.DOTALL)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_row_of_a_table_has_the_cells_of_its_head(name: str) -> None:
    tables = re.findall(r"(?:^\|.*\n?)+", SECTIONS[name](), re.MULTILINE)
    assert tables
    for each in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in each.splitlines()}
        assert len(widths) == 1, each


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert reference.table(("a",), [("x | y",)]).splitlines()[2] == "| x \\| y |"


def test_every_key_of_the_fleet_is_in_the_table() -> None:
    rows = reference.keys()
    made = [name for name in vars(Keys) if not name.startswith("_") and name not in {"shard", "shards", "prefix"}]
    assert rows.count("\n") - 1 == len(made)
    assert "| `tail:{s}` | hash |" in rows


def test_a_parameter_that_the_head_of_a_strategy_leaves_out_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="GridParams"):
        reference.strategy("    grid_step    the step\n", GridParams)


def test_a_phase_that_is_not_explained_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="OPEN"):
        reference.outbox_phases("    CLOSED    nothing is sent\n")


@pytest.mark.parametrize("example", PYTHON, ids=["follow", "watch"])
async def test_the_python_examples_run(example: str, redis_url, fleet_in_redis) -> None:
    await fleet_in_redis.make_live(BTC)
    await fleet_in_redis.publish(BTC, delta(BTC, {"65000": "0.5"}, {}, 8))
    with subprocess.Popen(
        [sys.executable, "-c", example], cwd=REPOSITORY, env=clean_environment() | {"FLEET_REDIS_URL": redis_url},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            process.kill()
        assert process.stderr is not None
        assert "65000" in line or line.startswith("Snapshot"), process.stderr.read()


async def test_the_sql_examples_run(clickhouse_url: str) -> None:
    await create_schema(clickhouse_url)
    assert len(SQL) >= 6
    async with ClickHouse(clickhouse_url) as client:
        for query in SQL:
            await client.query(query)
