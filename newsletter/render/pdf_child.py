"""A process that sets one document and ends: run as a file, by newsletter.render.pdf_press, with nothing of ours in it.

On its standard input is a line of JSON, its settings; on its standard output a line of JSON, what became of it, and
after that the PDF.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def main() -> None:
    settings = json.loads(sys.stdin.read())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (settings["seconds"], settings["seconds"]))
    if sys.platform == "linux":
        # Elsewhere the whole of a process's addresses says little, or can't be limited.
        resource.setrlimit(resource.RLIMIT_AS, (settings["memory"], settings["memory"]))
    sys.path.append(settings["packages"])
    outcome, content = made(settings)
    sys.stdout.buffer.write(json.dumps(outcome).encode() + b"\n" + content)


def made(settings: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Sets the document with the fonts that are the same everywhere; where these don't do, with the machine's too."""
    import typst

    folders = [settings["fonts"]] if settings["fonts"] else []
    own = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders).families()
    outcome: dict[str, Any] = {}
    for machine in (False, True):
        fonts = typst.Fonts(include_system_fonts=machine, font_paths=folders)
        compiler = typst.Compiler(
            settings["main"],
            root=settings["root"],
            font_paths=fonts,
            sys_inputs={"folder": "\n".join(own), "machine": "yes" if machine else "no"},
            package_path=settings["root"],
            package_cache_path=settings["root"],
        )
        try:
            content, warnings = compiler.compile_with_warnings(
                format="pdf", pdf_standards=["ua-1"], timestamp=settings["timestamp"]
            )
        except typst.TypstError as error:
            outcome = {"wrong": error.message, "told": error.diagnostic, "hints": list(error.hints)}
            if "could not be displayed with font" not in error.diagnostic:
                break
            continue
        assert isinstance(content, bytes)
        unknown = any(warning.message.startswith("unknown font family") for warning in warnings)
        if machine or not unknown:
            return {"wrong": ""}, content
    return outcome, b""


if __name__ == "__main__":
    main()
