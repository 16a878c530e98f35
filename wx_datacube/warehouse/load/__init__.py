"""Load: bring the answers of the ledger into the typed tables, in SQL alone.

`load_calls` folds the answers of an endpoint into its tables, in the order of their `call_id`. So any split of the
ledger into batches ends in the same tables, including a replay of everything at once. `items` judges the rows of
answers, `labels` what an answer shows for each label, and `history` what that changes in the tables. Which labels are
due or covered belongs in `warehouse.label_states`.
"""

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.load.history import key_history, replace_rows, revisions
from wx_datacube.warehouse.load.items import answers, items, new_rows, unreadable_calls
from wx_datacube.warehouse.load.labels import label_coverage, replace_answers

__all__ = ["load_calls", "unreadable_calls"]


def load_calls(con: Connection, first: int, last: int, account: str | None = None) -> int:
    """Load the calls `first` to `last` of the ledger, both included, into the tables, in the caller's transaction.

    `account` restricts this to one account. Each call must be loaded once, after all earlier ones. Returns the number
    of accepted rows, nested ones included.
    """
    batch = {"first": first, "last": last}
    found = con.execute(
        "SELECT DISTINCT endpoint FROM datacube.api_calls WHERE call_id BETWEEN $first AND $last", batch
    )
    names, rows = {name for (name,) in found.fetchall()}, 0
    for endpoint in ENDPOINTS:
        if endpoint.name in names:
            con.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {answers(endpoint)}", batch | {"account": account})
            rows += _load_answers(con, endpoint)
    return rows


def _load_answers(con: Connection, endpoint: Endpoint) -> int:
    """Load the batch's answers from the temporary table `answer`; return the number of accepted rows."""
    for relation in endpoint.relations:
        con.execute(f"CREATE OR REPLACE TEMP TABLE item_{relation.name} AS {items(endpoint, relation)}")
        con.execute(
            "INSERT INTO datacube.rejected_rows BY NAME"
            f" SELECT account, '{endpoint.name}' AS endpoint, call_id, item AS row, reason,"
            f" {'path' if relation.parent else 'NULL'} AS path"
            f" FROM item_{relation.name} WHERE reason IS NOT NULL ORDER BY call_id, place"
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE covered AS {label_coverage(endpoint)}")
    # Most labels are answered for only once. Only the others have earlier answers to merge with.
    again = con.execute("SELECT 1 FROM covered WHERE again LIMIT 1").fetchall()
    rows = 0
    for relation in endpoint.relations:
        con.execute(new_rows(relation))
        if again:
            con.execute(f"CREATE OR REPLACE TEMP TABLE key_history AS {key_history(relation)}")
            for select in revisions(endpoint, relation):
                con.execute(f"INSERT INTO datacube.revisions BY NAME {select}")
            for statement in replace_rows(relation):
                con.execute(statement)
        count = con.execute(f"SELECT count(*) FROM item_{relation.name} WHERE reason IS NULL")
        rows += int(count.fetchall()[0][0])
    for statement in replace_answers(endpoint):
        con.execute(statement)
    return rows
