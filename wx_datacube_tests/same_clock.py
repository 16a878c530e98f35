"""An account for tests in which days pass: its client uses the emulator's clock, and sleeping takes no time."""

from wx_datacube.config.settings import Settings
from wx_datacube.emulator.testing import Control
from wx_datacube.ingest.service import Ingest
from wx_datacube.orchestration.resources import WeChatAccount


class ByTheSameClock(WeChatAccount):
    """A `WeChatAccount` for `build_defs(resources=…)`; pass the emulator's time as its `clock` too."""

    def ingest(self, settings: Settings) -> Ingest:
        """Return an ingestion that makes its calls at the emulator's time."""
        account, clock = super().ingest(settings).account, Control(settings.api_url).now
        return Ingest.of(settings, account, clock=clock, sleep=lambda seconds: None)
