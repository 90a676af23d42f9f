"""Services that apprise knows, each as a URL. Apprise is optional: who has no such URL does not need it."""

import logging
from types import ModuleType
from typing import Any

from wakeful.core.run import Failed, Outcome, Succeeded
from wakeful.targets.notices.message import Message
from wakeful.targets.telling import told

_TIMEOUT_S = 20.0
_TEXT_LIMIT = 2000
_REASON_LIMIT = 300


def problem(url: str) -> str | None:
    """Why apprise can't send to a URL, if it can't. The URL is a secret; only its scheme is shown."""
    try:
        apprise = _load()
    except ImportError:
        return "needs apprise: pip install wakeful[notify]"
    scheme, colon, _ = url.partition("://")
    if not colon:
        return "must be a URL of apprise's, such as ntfy://topic"
    log = logging.getLogger("apprise")
    log.disabled = True  # it would say the whole URL
    try:
        if apprise.Apprise.instantiate(url) is not None:
            return None
    finally:
        log.disabled = False
    if scheme.lower() in ("dbus", "gnome", "glib", "kde", "qt"):
        return f"apprise can't send to {scheme}:// here: write the target desktop instead"
    known = scheme.lower() in apprise.manager_plugins.NotificationManager()
    what = "is not complete, or not right" if known else "is of a service that apprise does not know"
    return f"the URL {told(scheme, 30)}://… {what}: see apprise's list of services"


async def send(url: str, message: Message) -> Outcome:
    """Sends to one service."""
    try:
        apprise = _load()
    except ImportError:
        return Failed("apprise is not installed: pip install wakeful[notify]")
    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="wakeful", app_desc="wakeful", app_url=""))
    if not sender.add(url):
        return Failed("apprise can't send to this URL any more")
    kind = apprise.NotifyType.SUCCESS if message.succeeded else apprise.NotifyType.FAILURE
    done = await sender.async_notify(
        body=message.cut_body(_TEXT_LIMIT), title=message.title, notify_type=kind, timeout=_TIMEOUT_S
    )
    return Succeeded() if done else Failed(f"apprise: {_reason(done)}")


def _load() -> ModuleType:
    import apprise  # noqa: PLC0415 - optional, and it takes 300 ms

    # Both write whole URLs into the log, and those are secrets. What apprise warns of is in its answer.
    for name in ("apprise", "urllib3"):
        log = logging.getLogger(name)
        log.propagate = False
        log.setLevel(logging.WARNING)
        if not log.handlers:
            log.addHandler(logging.NullHandler())
    return apprise


def _reason(done: Any) -> str:
    """What apprise noted of its attempts."""
    said = [entry.message for result in done.results for attempt in result for entry in attempt]
    return told(" ".join(said), _REASON_LIMIT) or "the service did not take it"
