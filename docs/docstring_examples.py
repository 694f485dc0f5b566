"""Griffe extension: reads a docstring's `Example:` as the section that Griffe calls `Examples:`.

Without it the lines of a doctest are rendered as nested quotations.
"""

import re

import griffe


class DocstringExamples(griffe.Extension):
    """Rename the section before the docstring is parsed."""

    def on_object(self, *, obj, **_):
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
