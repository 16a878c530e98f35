"""S3: moto's S3 on this machine, and how DuckDB reads a bucket with its extension httpfs.

Add a helper here when several tests need a lake in S3. Neither moto nor httpfs is installed everywhere: tests that need
them are skipped then.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
import requests

from wx_datacube.config.settings import Lake, Secret

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class S3:
    """A bucket `lake` behind an address."""

    endpoint: str

    def lake(self, prefix: str = "") -> Lake:
        """Return the settings of a lake in the bucket."""
        url = f"s3://lake/{prefix}".rstrip("/")
        return Lake(url, "AKIDEXAMPLE", Secret(SECRET_KEY), region="us-east-1", endpoint=self.endpoint)

    def environ(self, prefix: str) -> dict[str, str]:
        """Return the variables that set it."""
        return {
            "WX_DATACUBE_LAKE": f"s3://lake/{prefix}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection that reads the bucket."""
        con = duckdb.connect()
        con.execute(f"LOAD '{httpfs()}'")
        con.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID 'AKIDEXAMPLE', SECRET '{SECRET_KEY}', REGION 'us-east-1',"
            f" ENDPOINT '{self.endpoint.removeprefix('http://')}', URL_STYLE 'path', USE_SSL false)"
        )
        return con


def httpfs() -> Path:
    """Return the extension httpfs from its wheel; skip the test if there is none for this version of DuckDB."""
    found = find_spec("duckdb_extension_httpfs")
    folder = Path(found.origin).parent if found and found.origin else Path()
    paths = [*folder.glob(f"extensions/v{duckdb.__version__}/**/httpfs.duckdb_extension")]
    if found is None or not paths:
        pytest.skip(f"no wheel of httpfs for DuckDB {duckdb.__version__} is installed")
    return paths[0]


@contextmanager
def serving_s3() -> Iterator[S3]:
    """Run moto's server on a free port, with an empty bucket; skip the test if moto isn't installed."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # otherwise a line per request
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        requests.put(f"{endpoint}/lake", timeout=10).raise_for_status()
        yield S3(endpoint)
    finally:
        server.stop()
