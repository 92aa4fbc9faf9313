"""The specs that ship with netlang, found with `importlib.resources.files("specs")`; no code."""
