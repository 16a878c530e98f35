"""The account of a test in which days pass: its client goes by the emulator's clock, and no pause takes any time."""

from wx_datacube.config.settings import Settings
from wx_datacube.emulator.testing import Control
from wx_datacube.ingest.service import Ingest
from wx_datacube.orchestration.resources import WeChatAccount


class ByTheSameClock(WeChatAccount):
    """A `WeChatAccount` for `build_defs(resources=…)`, beside a `clock` that gives the emulator's time."""

    def ingest(self, settings: Settings) -> Ingest:
        """Ingestion whose calls are made at the time of the emulator."""
        clock = Control(settings.api_url).now
        return Ingest.of(settings, self._account(settings), clock=clock, sleep=lambda seconds: None)
