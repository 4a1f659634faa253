"""What all commands share: the application, its version, and how a command fails."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

app = typer.Typer(help="Variational autoencoders in Keras 3: the course's tools.", no_args_is_help=True)


def _show_version(wanted: bool):
    if wanted:
        typer.echo(f"vaekit {installed('vaekit')}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
):
    pass


def installed(package):
    """The version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fail(message):
    """Ends the command with a message, exit status 1."""
    typer.secho(str(message), fg="red", err=True)
    raise typer.Exit(code=1)
