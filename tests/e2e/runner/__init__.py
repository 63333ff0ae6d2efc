"""What a GitHub Actions runner does, as far as an action can tell: it starts `main` and `post`, and reads their output.

After the runner's source (github.com/actions/runner: `ActionCommandManager`, `ActionCommand`, `FileCommandManager`,
`NodeScriptActionHandler`, `ProcessInvoker`).
"""
