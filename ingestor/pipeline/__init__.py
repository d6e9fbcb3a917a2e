"""The one place where the rooms meet: wiring, back-pressure, drain order.

Each command imports its own module: what another one needs takes long to load.
"""
