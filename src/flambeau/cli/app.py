"""The commands and their options. What a command needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app: Any = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs are filled
    help="PyTorch's module system, on XLA.",
)

_AS_PYTHON_DOES = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _version(wanted: bool) -> None:
    if wanted:
        from flambeau import __version__

        typer.echo(f"flambeau {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(context_settings=_AS_PYTHON_DOES)
def run(
    target: Annotated[str, typer.Argument(help="A script, or with -m a module.", metavar="SCRIPT")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What the script gets as sys.argv.")] = None,
    module: Annotated[bool, typer.Option("-m", help="SCRIPT is the name of a module.")] = False,
) -> None:
    """Run an unmodified PyTorch script, with `import torch` meaning flambeau."""
    from flambeau.cli.run import run_module, run_script

    (run_module if module else run_script)(target, arguments or [])


@app.command(context_settings=_AS_PYTHON_DOES | {"help_option_names": []})
def launch(
    arguments: Annotated[
        list[str], typer.Argument(help="torchrun's options, a script, its arguments.", metavar="[OPTIONS] SCRIPT")
    ],
) -> None:
    """Run a script in several processes, as torchrun does: `flambeau launch --nproc-per-node 2 script.py`."""
    from flambeau.distributed.run import main

    main(arguments)


@app.command(context_settings=_AS_PYTHON_DOES)
def doctor(
    script: Annotated[Path, typer.Argument(help="A training script.", exists=True, dir_okay=False)],
    arguments: Annotated[list[str] | None, typer.Argument(help="What the script gets as sys.argv.")] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run it, too, and watch; or only read it.")] = True,
) -> None:
    """Look for what learners trip over in a script, with line, reason and cure; ends with 1 if something is found.

    It is run uncompiled, with `import torch` meaning flambeau. In Chinese where LANG says so.
    """
    from flambeau.cli.doctor import print_findings

    raise typer.Exit(print_findings(script, arguments or [], run))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to leave the results.")] = Path("flambeau-demo"),
) -> None:
    """Train a LeNet on scikit-learn's handwritten digits, and leave its weights and pictures in a folder."""
    from flambeau.cli.demo import run_demo

    run_demo(folder)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder; its name is the project's.", metavar="NAME")],
) -> None:
    """Write a small training project to begin from: data, network, compiled step, checkpoints, TensorBoard, --resume."""
    from flambeau.cli.new import write_project

    for path in write_project(folder):
        typer.echo(f"wrote {path}")


@app.command()
def summary(
    factory: Annotated[
        str, typer.Argument(help="module:callable, as in torchvision.models:resnet34", metavar="FACTORY")
    ],
    input_size: Annotated[list[str], typer.Argument(help="Sizes as 1,3,224,224; several for several inputs.")],
    dtype: Annotated[str, typer.Option(help="The inputs' dtype.")] = "float32",
) -> None:
    """Print a network's layers with their shapes, parameters and multiply-adds, from shapes alone."""
    from flambeau.cli.look import print_summary

    print_summary(factory, input_size, dtype)


@app.command()
def plot(
    factory: Annotated[
        str, typer.Argument(help="net.py:net or module:callable, as in torchvision.models:resnet18", metavar="FACTORY")
    ],
    input: Annotated[
        list[str] | None, typer.Option(help="Sizes as 1,3,224,224; again for several inputs. Guessed where not given.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("net.svg"),
    depth: Annotated[
        int | None,
        typer.Option(help="How many levels of modules are opened; as many as fit a page where not given.", min=1),
    ] = None,
    theme: Annotated[str, typer.Option(help="light, dark, or auto: what the reader's system says.")] = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="The inputs' dtype; what the first layer takes where not given.")
    ] = None,
) -> None:
    """Draw a network as SVG, from shapes alone: its layers, what is computed between them, and the shapes on the way."""
    from flambeau.cli.look import write_drawing

    write_drawing(factory, input, dtype, output, depth, theme)


_FILES = (
    "A torch file (.pt, .pth), safetensors, .npz, an index of several safetensors files or a folder that holds one."
)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help=_FILES, exists=True)],
    diff: Annotated[
        Path | None, typer.Option(help="List what is different in this other file instead.", exists=True)
    ] = None,
    histograms: Annotated[
        bool, typer.Option("--histograms", help="How the values of each tensor are distributed, in place of its bytes.")
    ] = False,
) -> None:
    """List what a checkpoint holds: keys, shapes, dtypes and bytes. Nothing in it is executed.

    With --diff: the keys that the other file adds, lacks and changes, and the largest difference of their values.
    """
    if histograms and diff is not None:
        raise typer.BadParameter("--histograms looks at one file, --diff at two")
    if histograms:
        from flambeau.cli.histograms import print_histograms

        print_histograms(file)
    elif diff is None:
        from flambeau.cli.look import print_checkpoint

        print_checkpoint(file)
    else:
        from flambeau.cli.diff import print_difference

        print_difference(file, diff)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help=_FILES, exists=True, metavar="SOURCE")],
    dest: Annotated[
        Path,
        typer.Argument(
            help="Its ending tells the format: .safetensors, .npz, .pt .pth .bin .ckpt .tar (torch's), or "
            ".safetensors.index.json or a folder (safetensors in several files).",
            metavar="DEST",
        ),
    ],
    key: Annotated[str | None, typer.Option(help="Take what lies under this key, as in model or state.model.")] = None,
    max_shard_size: Annotated[
        str | None,
        typer.Option(help="The most bytes in each of several files, as in 200MB or 2GiB; 5GB where not given."),
    ] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="torch's format from before 1.6.")] = False,
) -> None:
    """Write a checkpoint's weights in another format. Nothing in it is executed; no half-written DEST is left.

    A file is replaced; where a folder has safetensors of that name already, nothing is written. What a format can't hold is
    refused by name: entries that are no tensors, and dtypes that it lacks. A tensor with two names is written once to
    safetensors, with the second name in the metadata.
    """
    from flambeau.cli.convert import run_convert

    run_convert(source, dest, key, max_shard_size, legacy)


shim: Any = typer.Typer(
    no_args_is_help=True, help="Let `import torch` mean flambeau in every process of this environment."
)
app.add_typer(shim, name="shim")
_Vision = Annotated[bool, typer.Option("--torchvision", help="torchvision, too: flambeau's models and transforms.")]
_Into = Annotated[
    Path | None,
    typer.Option(help="A folder of packages, in place of this environment's.", exists=True, file_okay=False),
]


def _shims(vision: bool) -> tuple[str, ...]:
    return ("torch", "torchvision") if vision else ("torch",)


@shim.command("install")
def shim_install(torchvision: _Vision = False, into: _Into = None) -> None:
    """Put a distribution named torch there; `pip uninstall torch` or `flambeau shim remove` takes it away."""
    from flambeau.cli.shim import Refused, holds_pip, install, pip_settings

    try:
        made = install(_shims(torchvision), into)
    except Refused as error:
        typer.echo(f"flambeau: {error}", err=True)
        raise typer.Exit(1) from None
    for path in made:
        typer.echo(f"{path.name} is flambeau now ({path})")
    if into is None and not holds_pip():
        typer.echo(
            f"pip has settings of its own ({pip_settings()}): add `constraint` there, or `export PIP_CONSTRAINT`, with a file "
            "that says torch==2.13.0+flambeau, or it replaces the shim when a package asks for a newer torch",
            err=True,
        )


@shim.command("remove")
def shim_remove(into: _Into = None) -> None:
    """Take the shims away. A real torch is not touched."""
    from flambeau.cli.shim import remove

    removed = remove(("torchvision", "torch"), into)
    typer.echo("\n".join(f"removed {path}" for path in removed) or "there was no shim")


@shim.command("status")
def shim_status(into: _Into = None) -> None:
    """Say what `import torch` and `import torchvision` mean here."""
    from flambeau.cli.shim import status

    for name in ("torch", "torchvision"):
        found = status(name, into)
        kind = "nothing" if found.version is None else "flambeau" if found.is_shim else "the real one"
        place = f", {found.version} in {found.place}" if found.version else ""
        typer.echo(f"{name}: {kind}{place}")
