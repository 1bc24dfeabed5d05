"""The ClickHouse engine of the `chdb-core` wheel as a server: `clickhouse_child.py LIBRARY DATA_DIRECTORY`.

The engine reads `config.xml` (listen_host, tcp_port, http_port) from the working directory. Its native module is
loaded by itself: importing the package `chdb` would open a second engine, which holds the directory in our place.
"""

import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

# The engine lives as long as a query does. This one is idle: it sleeps three seconds a row for a century. (`sleep` of
# a long time is refused, and an aggregate around the sleep would burn a core.)
SERVE = """
SYSTEM START LISTEN TCP;
SYSTEM START LISTEN HTTP;
SELECT sleepEachRow(3) FROM numbers(1000000000)
SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1 FORMAT Null
"""


def load_native_module(library: Path) -> Any:
    """Load the shared library as module `_chdb`, without its package."""
    loader = ExtensionFileLoader("_chdb", str(library))
    specification = importlib.util.spec_from_file_location("_chdb", library, loader=loader)
    if specification is None:
        raise ImportError(f"{library} is not a Python extension module")
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


def main(arguments: list[str]) -> None:
    """Serve until a signal ends the process."""
    library, data_directory = arguments
    load_native_module(Path(library)).query(SERVE, "CSV", path=data_directory)
    sys.exit("the engine stopped serving by itself")


if __name__ == "__main__":
    main(sys.argv[1:])
