"""A stand-in for a GitHub Actions runner: it starts `main` and `post` of an action, and reads their output.

Based on the source of the runner (github.com/actions/runner: `ActionCommandManager`, `ActionCommand`,
`FileCommandManager`, `NodeScriptActionHandler`, `ProcessInvoker`).
"""
