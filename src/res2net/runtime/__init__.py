"""An exported artifact in use, without torch: ``res2net.runtime.load(DIR)``."""

from res2net.runtime.artifact import Artifact
from res2net.runtime.session import Runtime, load

__all__ = ["Artifact", "Runtime", "load"]
