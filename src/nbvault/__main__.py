"""``python -m nbvault``: the program `nbvault`, where its folder is not on PATH."""

from nbvault.cli.main import main

if __name__ == "__main__":
    main()
