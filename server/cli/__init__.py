"""The `paddock` command. Imports stay inside the subcommands, so that help is instant."""
