"""The plug: the Res2Net unit put into networks that were built elsewhere."""
