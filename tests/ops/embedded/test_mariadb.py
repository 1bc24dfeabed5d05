"""A MariaDB of ours among others on the same machine."""

import sqlalchemy as sa

from fleet.sql import engine_of, reading
from ops.embedded.mariadb import MariaDB


async def test_its_temporary_tables_are_out_of_the_reach_of_other_servers(
    mariadb_server: MariaDB, mariadb_url: str
) -> None:
    engine = engine_of(mariadb_url)
    try:
        async with reading(engine) as connection:
            folder = await connection.scalar(sa.text("SELECT @@tmpdir"))
    finally:
        await engine.dispose()
    assert folder == str(mariadb_server.directory)
