"""Dev texts: a user's own project that includes ours, and questions to Dagster's webserver, for `dev`.

Add a text here that a program of Dagster's reads.
"""

THEIRS = """
import time
import dagster as dg
from wx_datacube.definitions import build_defs

@dg.asset(
    deps=[["{account}", "getupstreammsg"]],
    partitions_def=dg.DailyPartitionsDefinition(start_date="{start}", timezone="Asia/Shanghai"),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def busiest_day() -> None:
    time.sleep(20)

defs = dg.Definitions.merge(build_defs(), dg.Definitions(assets=[busiest_day]))
"""
"""A user's own project that includes ours, with Dagster's default executor and a slow asset downstream of ours."""

SCHEDULES = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location {name} schedules {name} } } } }"""
SWITCH_ON = "mutation($of: ScheduleSelector!) { startSchedule(scheduleSelector: $of) { __typename } }"
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
AGAIN = """
mutation($id: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $id, strategy: ALL_STEPS}) { __typename }
}"""
