"""python -m newsletter, and the `newsletter` command: the one place where a Mistake becomes words."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs a command. A Mistake is a sentence on standard error and exit code 2, never a traceback."""
    from newsletter.cli import newsletter

    try:
        code = newsletter.main(standalone_mode=False, prog_name="newsletter")
        sys.exit(code if isinstance(code, int) else 0)
    except Exception as error:  # noqa: BLE001 - sorted out below; what isn't ours is raised again
        sys.exit(_say(error))
    except KeyboardInterrupt:
        sys.exit(_say(KeyboardInterrupt()))


def _say(error: BaseException) -> int:
    import click

    from newsletter.errors import Mistake

    if isinstance(error, Mistake):
        sentence = str(error)
        click.echo(sentence if error.where else sentence[:1].upper() + sentence[1:], err=True)
        for line in getattr(error, "marked", ()):
            click.echo(f"  {line}", err=True)
        return 2
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # Octets that aren't UTF-8 come from the command line as halves of characters.
        click.echo("Something that was typed isn't UTF-8, and can't be written down.", err=True)
        return 2
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 141
    raise error


if __name__ == "__main__":
    main()
