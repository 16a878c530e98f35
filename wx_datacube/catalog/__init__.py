"""Catalog: WeChat's statistics endpoints as data, and the days, weeks and months that they count.

Add an endpoint as an entry of `endpoints`; tables, assets, checks and documentation derive from it. Everything here is
pure: no file, no network, no clock except `periods.beijing_now`.
"""
