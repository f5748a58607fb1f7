"""Run exported artifacts: ``res2net.runtime.load(DIR)``. No torch."""

from res2net.runtime.artifact import Artifact
from res2net.runtime.session import Runtime, load

__all__ = ["Artifact", "Runtime", "load"]
