"""Another interface for a built network: the same modules and parameter names, other methods.

A wrapper would put its own name in front of every parameter's, and files of weights, optimisers and
sharding tell parameters by name. So the network itself changes class, as in
``torch.nn.utils.parametrize``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, TypeVar

from res2net.models.network import Network


class Interface(Network):
    """Methods that go before those of the network's own family."""

    _parts: ClassVar[tuple[type[Interface], type[Network]]]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle by the two classes, since the combined one is made when needed."""
        return _bare, type(self)._parts, self.__dict__


InterfaceT = TypeVar("InterfaceT", bound=Interface)


def recast(network: Network, interface: type[InterfaceT]) -> InterfaceT:
    """The same object with the methods of ``interface`` before its own."""
    network.__class__ = _combined(interface, type(network))
    assert isinstance(network, interface)
    return network


@cache
def _combined(interface: type[Interface], family: type[Network]) -> type[Network]:
    name = f"{family.__name__}{interface.__name__}"
    members = {"__module__": interface.__module__, "_parts": (interface, family)}
    return type(name, (interface, family), members)


def _bare(interface: type[Interface], family: type[Network]) -> Network:
    combined = _combined(interface, family)
    return combined.__new__(combined)
