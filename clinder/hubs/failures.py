"""What a hub's `failed` means: the error, and whether launching again can help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clinder.model.errors import BuildError, ClinderError, HubError, LaunchRetryError, RateLimitedError, RefusedError
from clinder.model.wording import bounded, is_blank

if TYPE_CHECKING:
    from clinder.model.events import Event

_TRY_AGAIN = re.compile(r"try again in (\d+) (second|minute)", re.IGNORECASE)


def failure(event: Event, *, hub: str, is_built: bool) -> ClinderError:
    """Make the error for a `failed` event.

    Args:
        event: the one with the message, where the hub sent several.
        hub: which hub said so.
        is_built: whether the image was there already: then it is the launch that failed, not the build.
    """
    message = "the hub gives no reason" if is_blank(event.message) else bounded(event.message.strip())
    status = event.status_code
    if status == 429:  # noqa: PLR2004
        return RateLimitedError(
            f"{hub} takes no more launches for now: {message}",
            retry_after_s=_named_pause_s(message),
            hint="Wait, or name another hub.",
        )
    if status == 403 or "is not allowed to launch" in message:  # noqa: PLR2004
        hint = "Set CLINDER_BUILD_TOKEN to the hub's build token." if "token" in message.lower() else ""
        return RefusedError(f"{hub} refuses the launch: {message}", hint=hint)
    if status is not None and status >= 500:  # noqa: PLR2004
        return LaunchRetryError(f"{hub} could not launch the session: {message}")
    if is_built:
        return LaunchRetryError(f"{hub} built the image, but started no session: {message}")
    if status is not None:
        return HubError(f"{hub} rejects the request ({status}): {message}")
    for words, hint in _SPEC_FAULTS:
        if words in message:
            return BuildError(f"{hub} cannot make sense of the repository: {message}", hint=hint)
    return BuildError(f"the build on {hub} failed: {message}", hint="The end of the build's log says more.")


_SPEC_FAULTS = (
    ("Could not resolve ref", "Is the ref pushed, and the repository public? HEAD is always the default branch."),
    ("No provider found", "`clinder hub check` lists the providers of this hub."),
    ("Spec is not of the form", ""),
    ("Error resolving ref", ""),
)


def _named_pause_s(message: str) -> float | None:
    found = _TRY_AGAIN.search(message)
    return float(found[1]) * (60 if found[2].lower() == "minute" else 1) if found else None
