"""Places: where a lake is, a folder or a bucket, and how a file is replaced there as a whole.

Add another kind of place here. Its errors become `LakeError` or `SettingsError`, whose text holds no credentials. Which
files there are belongs in `export`. Names of files are relative to the lake.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from wx_datacube.config.settings import Lake
from wx_datacube.errors import LakeError, SettingsError
from wx_datacube.language import Text
from wx_datacube.warehouse.copies import flush_to_disk, replacing_path
from wx_datacube.warehouse.errors import unwritable

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store


class Place(Protocol):
    """A folder or a bucket that holds a lake."""

    def tags(self, folder: str) -> dict[str, str]:
        """Return the names of the files in a folder, each with a tag that changes whenever the file does."""

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None if it isn't there."""

    def write(self, name: str, data: bytes) -> str:
        """Replace a file, at once and as a whole; return its new tag."""

    def delete(self, name: str) -> None:
        """Delete a file if it is there."""


def place_of(lake: Lake) -> Place:
    """Return the place of a lake. Raises `SettingsError` if something that S3 needs is missing."""
    return _Bucket(lake) if lake.in_s3 else _Folder(Path(lake.url))


def require_writable(lake: Lake) -> None:
    """Write, list and delete an empty file. Raises the error of an export that would fail."""
    place, name = place_of(lake), "_exports/.doctor"
    place.write(name, b"")
    place.tags("_exports")
    place.delete(name)


def read_json(place: Place, name: str) -> dict[str, Any]:
    """Return what a JSON file holds; nothing if it isn't there, or isn't one."""
    try:
        found = json.loads(place.read(name) or b"{}")
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


class _Folder:
    """A lake in a folder: a file is written beside its target under a name that no engine reads, and then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def tags(self, folder: str) -> dict[str, str]:
        with self._translating_errors():
            path = self._root / folder
            return {each.name: _tag(each) for each in path.iterdir()} if path.is_dir() else {}

    def read(self, name: str) -> bytes | None:
        with self._translating_errors():
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> str:
        target = self._root / name
        with self._translating_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing_path(target) as part:
                part.write_bytes(data)
                flush_to_disk(part)
            return _tag(target)

    def delete(self, name: str) -> None:
        with self._translating_errors():
            (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable_folder(self._root, error, Text("set WX_DATACUBE_LAKE", "设置 WX_DATACUBE_LAKE")) from None


def _tag(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


class _Bucket:
    """A lake in S3: each file is one object, put in one request, which S3 does as a whole."""

    def __init__(self, lake: Lake) -> None:
        if find_spec("obstore") is None:
            raise SettingsError(
                Text(
                    "A lake in S3 (WX_DATACUBE_LAKE) needs obstore, which is not installed.",
                    "S3 上的数据湖（WX_DATACUBE_LAKE）需要 obstore，但尚未安装。",
                ),
                advice=Text(
                    "Install it: `make install` in a clone, or the wheel with its extra [lake].",
                    "安装方法：在克隆的代码目录中执行 make install，或安装 wheel 包及其附加项 [lake]。",
                ),
            )
        self._lake = lake
        self._store = _connect(lake)

    def tags(self, folder: str) -> dict[str, str]:
        import obstore

        with self._translating_errors():
            return {
                str(each["path"]).rpartition("/")[2]: str(each["e_tag"])
                for page in obstore.list(self._store, folder)
                for each in page
            }

    def read(self, name: str) -> bytes | None:
        import obstore

        with self._translating_errors():
            try:
                return obstore.get(self._store, name).bytes().to_bytes()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def write(self, name: str, data: bytes) -> str:
        import obstore

        with self._translating_errors():
            return str(obstore.put(self._store, name, data, use_multipart=False)["e_tag"])

    def delete(self, name: str) -> None:
        import obstore

        with self._translating_errors():
            obstore.delete(self._store, name)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise _s3_error(self._lake, error) from None


def _connect(lake: Lake) -> "S3Store":
    from obstore.store import S3Store

    if lake.key_id is None or lake.secret is None:
        raise SettingsError(
            Text(
                "WX_DATACUBE_LAKE is in S3, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set.",
                "WX_DATACUBE_LAKE 在 S3 上，但没有设置 AWS_ACCESS_KEY_ID 或 AWS_SECRET_ACCESS_KEY。",
            ),
            advice=Text(
                "Set the keys that the S3 service issued, in .env or in the environment.",
                "请在 .env 或环境变量中设置 S3 服务提供的密钥。",
            ),
        )
    bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
    config: S3Config = {
        "access_key_id": lake.key_id,
        "secret_access_key": lake.secret.reveal(),
        "region": lake.region or "us-east-1",
    }
    if lake.session_token:
        config["session_token"] = lake.session_token.reveal()
    if lake.endpoint:
        config["endpoint"] = lake.endpoint
        # Some services, such as 阿里云 OSS, want the bucket in the name of the host.
        host = urlsplit(lake.endpoint).hostname or ""
        config["virtual_hosted_style_request"] = host.startswith(f"{bucket}.")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "120s"},
        retry_config={"max_retries": 3, "retry_timeout": dt.timedelta(seconds=60)},
    )


_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "NoSuchBucket")


def _s3_error(lake: Lake, error: Exception) -> LakeError | SettingsError:
    """Return an error of S3 in our words: its own text may hold headers and whole answers."""
    code = re.search(r"<Code>(\w{1,64})</Code>", str(error))
    status = re.search(r"status code: (\d{3})", str(error))
    why = code[1] if code else f"HTTP {status[1]}" if status else ""
    if why in _REFUSED or (status and status[1] in ("401", "403")):
        return SettingsError(
            Text("S3 refused {url}: {why}.", "S3 拒绝访问 {url}：{why}。", url=lake.url, why=why),
            advice=Text(
                "Check WX_DATACUBE_LAKE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. The"
                " bucket must exist, and the key must be allowed to list, read, put and delete objects under the"
                " prefix.",
                "请检查 WX_DATACUBE_LAKE、AWS_ACCESS_KEY_ID、AWS_SECRET_ACCESS_KEY、AWS_REGION 和 AWS_ENDPOINT_URL。"
                "bucket 必须已存在，密钥须有权在该前缀下列出、读取、写入和删除对象。",
            ),
        )
    return LakeError(
        Text(
            "The lake {url} can't be reached: {why}.",
            "无法访问数据湖 {url}：{why}。",
            url=lake.url,
            why=why or Text("S3 does not answer", "S3 没有响应"),
        ),
        advice=Text(
            "Check AWS_ENDPOINT_URL and the network, and run the export again later. The files in the lake stay as they"
            " are, each of them whole.",
            "请检查 AWS_ENDPOINT_URL 和网络，稍后重新导出。湖中现有的文件保持不变，且均完整。",
        ),
    )


def unwritable_folder(folder: Path, error: Exception, elsewhere: Text) -> LakeError:
    """Return the error of a folder that can't be written; `elsewhere` is the advice on how to name another one."""
    fault = unwritable(folder, error, elsewhere)
    return LakeError(fault.message, advice=fault.advice)
