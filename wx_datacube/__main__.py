"""Run the command line `wx-datacube` as `python -m wx_datacube`."""

from wx_datacube.cli.main import main

if __name__ == "__main__":
    main()
