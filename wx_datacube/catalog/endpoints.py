"""Endpoints: all endpoints of the catalog, in the order in which people see them.

To add an endpoint, add an entry to the module of its family: its tables, assets, checks, commands and documentation
derive from it. Its views for people are in `warehouse.views`, its made-up figures in `emulator.world`. A change of
names or columns changes the database: see `warehouse.migrate`.
"""

from wx_datacube.catalog import articles, followers, interface, messages
from wx_datacube.catalog.model import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *messages.ENDPOINTS,
    *followers.ENDPOINTS,
    *articles.ENDPOINTS,
    *interface.ENDPOINTS,
)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
RELATIONS = tuple(relation for endpoint in ENDPOINTS for relation in endpoint.relations)
"""All tables of all endpoints; a parent comes before its nested tables."""
