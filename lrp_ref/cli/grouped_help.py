"""A command whose --help lists its options by what they are about."""

from __future__ import annotations

import click

#: The headings, and the options below each, by the names of their parameters.
GROUPS: dict[str, tuple[str, ...]] = {
    "Input": ("preprocess", "size", "crop", "mean", "std", "scale", "order", "low", "high", "vocab", "unknown", "lower", "pad",
              "vectors"),
    "Model": ("ends", "input_shape", "batch_axis", "fix", "signal", "passes", "output_node"),
    "Question": ("target", "targets", "top", "contrast", "labels", "head", "allow_negative"),
    "Method": ("composite", "assignments", "method", "method_settings", "methods_text", "composites"),
    "Output": ("out", "style", "cmap", "force", "ledger", "numbers", "plan", "as_json", "quiet"),
    "Speed": ("backend", "precision", "threads", "memory", "batch_size"),
}  # fmt: skip


class GroupedCommand(click.Command):
    """A command with the options of its --help under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading.

        Parameters
        ----------
        ctx : of the command
        formatter : where they go
        """
        shown = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        options = {p.name: record for p in shown if (record := p.get_help_record(ctx)) is not None}
        for title, names in GROUPS.items():
            listed = [options.pop(name) for name in names if name in options]
            if listed:
                with formatter.section(title):
                    formatter.write_dl(listed)
        with formatter.section("Other"):
            formatter.write_dl(list(options.values()))
