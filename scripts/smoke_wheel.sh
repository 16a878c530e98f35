#!/usr/bin/env bash
# Build the wheel and test it as a user installs it: in a new venv, without extras, outside the checkout.
# Dependencies have the versions of requirements.lock. Usage: scripts/smoke_wheel.sh .venv/bin/python
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${1:-.venv/bin/python}")
case "$python" in /*) ;; *) python=$PWD/$python ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "smoke test of the wheel: $1" >&2
    exit 1
}

# Build from a copy: setuptools adds files that an earlier build left in build/ to the wheel.
mkdir "$work/source"
cp -R wx_datacube pyproject.toml README.md LICENSE "$work/source"
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" "$work/source"

"$python" -m venv "$work/venv"
sed -n 's/^\([a-z0-9.-]*==[^ ;]*\).*/\1/p' requirements.lock > "$work/constraints"
bin=$work/venv/bin
"$bin/python" -m pip install --quiet --constraint "$work/constraints" "$work"/*.whl
"$bin/python" -m pip check > "$work/check" || fail "$(cat "$work/check")"

# The wheel contains every file of the package, also those that aren't Python.
site=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
content() { (cd "$1" && find wx_datacube -type f ! -name '*.pyc' | LC_ALL=C sort); }
diff <(content "$work/source") <(content "$site") || fail "files of the package are missing from the wheel (<)"

# Run in an empty folder, without the caller's environment.
mkdir "$work/empty"
cd "$work/empty"
clean() { env -i PATH="$bin:/usr/bin:/bin" HOME="$work/empty" LANG="${LANG:-C.UTF-8}" "$@"; }

clean wx-datacube --help > /dev/null || fail "--help failed"
clean wx-datacube --version | grep -qF "$(clean python -c 'import wx_datacube; print(wx_datacube.__version__)')" ||
    fail "--version does not name the version"

code=0
clean wx-datacube status > "$work/out" 2> "$work/err" || code=$?
[ "$code" -eq 2 ] || fail "status outside a project left with $code instead of 2: $(cat "$work/err")"
[ "$(grep -c . "$work/err")" -eq 1 ] || fail "status outside a project should say one line: $(cat "$work/err")"

clean dagster asset list --select '*' --module-name wx_datacube.definitions > "$work/assets" 2> "$work/err" ||
    fail "wx_datacube.definitions does not load without extras: $(tail -n 20 "$work/err")"
count=$(grep -c getupstreammsg "$work/assets" || true)
[ "$count" -eq 7 ] || fail "$count assets instead of 7: $(cat "$work/assets")"

# In a project folder made by `init`, our commands, Dagster's commands and the schedules work without a clone.
"$python" -m wx_datacube emulator --publish-at 00:00 > "$work/emulated" &
emulator=$!
trap 'kill "$emulator"; rm -rf "$work"' EXIT
clean wx-datacube init "$work/project" > "$work/out" || fail "init failed"
grep -qF "any.whl[ui,emulator,report]'" "$work/out" || fail "init does not say what is not installed"
cd "$work/project"
for what in demo ui mcp; do
    clean wx-datacube "$what" 2> "$work/err" && fail "$what went on without its extra"
    grep -qF 'pip install' "$work/err" || fail "$what does not say which extra it needs: $(cat "$work/err")"
done
until grep -q 'Ctrl-C' "$work/emulated"; do
    kill -0 "$emulator" || fail "the emulator did not start"
    sleep 0.1
done
day=$(clean python -c 'import datetime as dt; from wx_datacube.catalog.periods import beijing_now as now; print(now().date() - dt.timedelta(1))')
{ grep '^WX_' "$work/emulated" && echo "WX_DATACUBE_START=$day"; } > .env
chmod 600 .env
try() { clean DAGSTER_HOME="$PWD" "$@" > "$work/out" 2>&1 || fail "$* in a folder made by init: $(tail -n 20 "$work/out")"; }
try wx-datacube backfill --endpoint getupstreammsg
try dagster asset materialize -m wx_datacube.definitions --select default/getupstreammsgdist --partition "$day"
try dagster schedule start --start-all
grep -qF 'Started all schedules' "$work/out" || fail "schedules are not on: $(cat "$work/out")"
try wx-datacube backfill # the rest: after noon, status reports missing labels
try wx-datacube status
[ "$(grep -cE "^ *getupstreammsg(dist)? .* $day " "$work/out")" -eq 2 ] || fail "figures of $day are missing: $(cat "$work/out")"

# In a user's own project: with three lines of Python, and as a component next to a resource named like ours.
mkdir -p "$work/theirs/parts/defs/wechat"
cd "$work/theirs"
cat > lines.py << 'END'
import dagster as dg
from wx_datacube.definitions import build_defs

defs = dg.Definitions.merge(
    dg.Definitions(assets=[dg.AssetSpec("theirs", deps=[["wechat", "shop", "getupstreammsg"]])]),
    build_defs(accounts=["shop"], key_prefix=["wechat"], group_name="wechat", owners=["team:data"]),
)
END
cat > parts/definitions.py << 'END'
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
END
cat > parts/defs/their_resources.py << 'END'
import dagster as dg
from dagster_duckdb import DuckDBResource

defs = dg.Definitions(resources={"duckdb": DuckDBResource(database="theirs.duckdb")})
END
printf '[tool.dg]\ndirectory_type = "project"\nproject.root_module = "parts"\n' > pyproject.toml
cat > parts/defs/wechat/defs.yaml << 'END'
type: wx_datacube.MessageAnalysis
attributes:
  key_prefix: [wechat]
  duckdb_key: wechat_figures
END
for module in lines parts.definitions; do
    account=$([ "$module" = lines ] && echo shop || echo default)
    clean PYTHONPATH=. WX_DATACUBE_ACCOUNT="$account" dagster asset list --select '*' --module-name "$module" > "$work/assets" 2> "$work/err" ||
        fail "a project with it ($module) does not load: $(tail -n 20 "$work/err")"
    count=$(grep -cE '^wechat/(shop|default)/getupstreammsg' "$work/assets" || true)
    [ "$count" -eq 7 ] || fail "$count assets instead of 7 in a project with it ($module): $(cat "$work/assets")"
done

echo "The wheel works without extras: $(basename "$work"/*.whl), 7 assets."
