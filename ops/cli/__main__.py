"""`python -m ops.cli`, where the `fleet` script is not on PATH."""

from ops.cli.run import main

main()
