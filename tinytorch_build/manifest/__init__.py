"""Reading `modules.toml`: text to a sound `Manifest`, or all its problems in one go."""

from tinytorch_build.manifest.load import load_manifest, read_manifest

__all__ = ["load_manifest", "read_manifest"]
