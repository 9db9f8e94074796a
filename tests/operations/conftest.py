"""The gateways of the tests of the control plane, for what operators read of them."""

from tests.control.conftest import door, open_door, service

__all__ = ["door", "open_door", "service"]
