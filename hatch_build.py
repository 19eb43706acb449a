"""What the package's metadata says that depends on where the project lives.

`base-url` in pyproject.toml is that place; while it is empty, there are no project URLs, and links of the README are
relative, as in a clone.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PLACES = {
    "Homepage": "",
    "Documentation": "/tree/main/docs",
    "Issues": "/issues",
    "Changelog": "/blob/main/CHANGELOG.md",
}
"""Name of each project URL, and what follows the base in it."""


class CustomMetadataHook(MetadataHookInterface):
    """Fills in `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling before it writes the metadata."""
        home = Path(self.root)
        base = self.config.get("base-url", "").rstrip("/")
        text = (home / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_base(text, base)}
        if base:
            metadata["urls"] = {name: base + path for name, path in PLACES.items()}


def with_base(text: str, base: str) -> str:
    """Markdown whose relative links, and pictures, lead to files below a base; unchanged where there is none.

    >>> with_base("![A](docs/a.png) [b](docs/b.md#c) [d](https://e.org)", "https://host/us")
    '![A](https://host/us/raw/main/docs/a.png) [b](https://host/us/blob/main/docs/b.md#c) [d](https://e.org)'
    """

    def absolute(link: re.Match[str]) -> str:
        view = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({base}/{view}/main/{link[3]})"

    return re.sub(r"(!?)\[([^]]*)\]\((?![a-z]+:|#)([^)\s]+)\)", absolute, text) if base else text
