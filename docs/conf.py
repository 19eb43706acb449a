"""The documentation site: `make docs` builds it, with warnings as errors and without a network.

Pages are the Markdown files of this folder. What the code already says is made from it while the site is built, into
`docs/reference/generated/`: see `docs/generated_reference.py`.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from docutils import nodes
from generated_reference import write_reference

import spectail

project = "spectail"
author = "The spectail developers"
version = release = spectail.__version__
html_title = "spectail"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"  # of libraries; what raises ends the build
nb_execution_cache_path = str(Path(__file__).parent.parent / "build" / "notebooks")

smartquotes_action = "qe"  # dashes are written as such, and -- is an option
default_role = "literal"  # docstrings quote code as `Markdown` does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "params_style")]

html_theme = "furo"
html_show_copyright = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]


def setup(app) -> None:
    app.connect("builder-inited", lambda app: write_reference(Path(app.srcdir) / "reference" / "generated"))
    app.connect("autodoc-process-docstring", escape_symbols)
    app.connect("doctree-read", with_dashes)
    app.connect("doctree-resolved", without_empty_outputs)


def with_dashes(app, doctree) -> None:
    """What Sphinx writes between an argument and its meaning."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def without_empty_outputs(app, doctree, page) -> None:
    """A progress bar that is done leaves an output of a notebook without a word, which would be an empty box."""
    for block in list(doctree.findall(nodes.literal_block)):
        if "output" in block["classes"] and not block.astext().strip():
            block.parent.remove(block)


def escape_symbols(app, what, name, thing, options, lines: list[str]) -> None:
    """Outside of code, `|x|` of a docstring is an absolute value and `*` a product; the site has its own.

    The stars of `**options` among the arguments were escaped before.
    """
    example = False
    for at, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = line.split("`")
            parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
            lines[at] = "`".join(parts)
