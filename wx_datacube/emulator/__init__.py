"""Emulator: WeChat's statistics API on a real socket, with a made-up account behind it.

Every figure is a view of one world (`world`, `people`); everything the API does besides (`tokens`, `quotas`, `faults`,
the order of checks in `app`) follows what WeChat documents and what its users saw. Only `catalog` and `periods` of
this package are used here: the emulator must be able to disagree with the client. For tests: `testing.wechat`.
"""
