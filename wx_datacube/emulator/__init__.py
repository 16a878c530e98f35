"""Emulator: WeChat's statistics API on a real socket, with a made-up account behind it.

Every figure is computed from one world (`world`, `people`, `articles`, `followers`). The rest of the API (`tokens`,
`quotas`, `faults`, and the order of checks in `account`) follows what WeChat documents and what its users observed.
Outside its own folder, the emulator imports only `catalog` of this package, so that it can disagree with the client.
Tests use `testing.wechat`.
"""
