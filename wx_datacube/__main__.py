"""`python -m wx_datacube` is `wx-datacube`."""

from wx_datacube.cli.commands import main

if __name__ == "__main__":
    main()
