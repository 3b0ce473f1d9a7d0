"""What the commands that evaluate have in common."""

import click


class LevelType(click.ParamType):
    """A resolution, HEIGHTxWIDTH → (height, width)."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        height, _, width = str(value).partition("x")
        if not (height.isdigit() and width.isdigit()):
            self.fail(f"{value}: must be HEIGHTxWIDTH, such as 256x128", param, ctx)
        return int(height), int(width)


level_option = click.option(
    "--level", type=LevelType(), show_default="the finest", help="Resolution of the images, such as 256x128."
)
