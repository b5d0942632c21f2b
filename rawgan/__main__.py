"""`python -m rawgan` is the command `rawgan`."""

from rawgan.cli import main

main()
