"""Pages of the site that are made from the code: the commands, the Python modules, and files outside docs/."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import click

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "preprocessing",
    "training",
    "mask_embedding_gan",
    "pix2pix",
    "feature2mass",
    "lesions",
    "generation",
    "evaluation",
)
COPIES = {"benchmarks.md": "benchmarks/README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


# ---------------------------------------------------------------------------------------- commands


def commands_page() -> str:
    """Return the page of all commands, from the objects that parse their command lines."""
    from synthmammo.command import main

    context = click.Context(main, info_name="synthmammo")
    lines = ["# Commands", "", inspect.cleandoc(main.help or ""), ""]
    for name in main.list_commands(context):
        lines += _command(main.get_command(context, name), name, context, 2)
    return "\n".join(lines) + "\n"


def _command(command: click.Command, name: str, parent: click.Context, depth: int) -> list[str]:
    """Heading, description and options of a command, then those of its sub-commands."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    lines = ["#" * depth + f" {context.command_path}", ""]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines += ["```text", usage, "```", ""]
    lines += [_description(command.help or ""), ""]
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    if records:
        lines += ["| option | what it does |", "|---|---|"]
        lines += [f"| <code>{_cell(flags)}</code> | {_cell(text)} |" for flags, text in records if flags]
        lines.append("")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            lines += _command(command.get_command(context, child), child, context, depth + 1)
    return lines


def _description(text: str) -> str:
    """A docstring as Markdown; paragraphs that keep their lines, marked `\\b` for click, are a caption and commands."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first.strip() == "\b":  # a caption, and commands indented below it
            caption, _, commands = rest.partition("\n")
            paragraphs += [_escaped(caption.rstrip(":")) + ":", f"```sh\n{dedent(commands)}\n```"]
        else:
            paragraphs.append(_escaped(paragraph))
    return "\n\n".join(paragraphs)


def _escaped(text: str) -> str:
    """Text as it is, in which neither Markdown nor HTML sees a mark of its own."""
    return re.sub(r"[*_<>&\[\]`|]", lambda mark: f"&#{ord(mark.group())};", text)


def _cell(text: str) -> str:
    """Text on one line, as it is, for a cell of a table."""
    return _escaped(" ".join(text.split()))


# ------------------------------------------------------------------------------------------ Python


def python_pages() -> dict[str, str]:
    """Return one page per package, by file name, that names each of its modules for mkdocstrings."""
    pages = {}
    for package in PACKAGES:
        modules = [path for path in sorted((ROOT / package).rglob("*.py")) if not path.stem.startswith("_")]
        if not modules:
            continue
        lines = [f"# {package}", "", inspect.cleandoc(import_module(package).__doc__ or ""), ""]
        for path in modules:
            lines += [f"::: {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}", ""]
        pages[f"reference/{package}.md"] = "\n".join(lines)
    return pages


def names_page() -> str:
    """Return the page of the names that `synthmammo` offers, each linked to its description."""
    import synthmammo

    lines = [
        "# Names of synthmammo",
        "",
        inspect.cleandoc(synthmammo.__doc__ or ""),
        "",
        "| name | module |",
        "|---|---|",
    ]
    lines += [f"| [`{name}`][{place}.{name}] | `{place}` |" for name, place in synthmammo.PLACES.items()]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------ copies


def copied_page(source: str) -> str:
    """Return a file outside docs/ as a page; its links to docs/ and other copies become links within the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    for page, other in COPIES.items():
        text = re.sub(rf"\]\((?:\.\./)?{re.escape(other)}", f"]({page}", text)
    return re.sub(r"\]\((?:\.\./)?docs/", "](", text)


# ------------------------------------------------------------------------------------------- hooks


def on_config(config):
    """Add the generated pages to the navigation."""
    reference = [{"Commands": "reference/commands.md"}, {"Data in Python": "reference/index.md"}]
    reference.append({"synthmammo": "reference/names.md"})
    reference += [{name.split("/")[1].removesuffix(".md"): name} for name in python_pages()]
    config.nav.append({"Commands and Python": reference})
    config.nav.append(
        {"Project": [{"Benchmarks": "benchmarks.md"}, {"Changes": "changelog.md"}, {"Contribute": "contributing.md"}]}
    )
    return config


def on_post_page(output, page, config):
    """Put two names of one attribute ("shape, margin: words of BI-RADS") into one cell; mkdocstrings makes two."""
    pattern = r",</span></code>(\s*</td>\s*<td>\s*)<code>((?:<[^>]*>|[\w, ])+?)</code>"
    return re.sub(pattern, lambda found: f", {re.sub('<[^>]*>', '', found[2])}</span></code>{found[1]}", output)


def on_files(files, config):
    """Add the generated pages to the site."""
    from mkdocs.structure.files import File

    pages = {"reference/commands.md": commands_page(), "reference/names.md": names_page(), **python_pages()}
    pages |= {page: copied_page(source) for page, source in COPIES.items()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
