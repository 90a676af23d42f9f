"""The desktop: org.freedesktop.Notifications, on the bus of the session."""

import asyncio
from html import escape
from typing import Any

from wakeful.core.run import Failed, Outcome, Succeeded
from wakeful.targets.notices.message import Message, cut
from wakeful.targets.telling import told

TEXT_LIMIT = 200
_TITLE_LIMIT = 100
_TIMEOUT_S = 10.0
_SAID_LIMIT = 200
_NAME, _PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
# https://specifications.freedesktop.org/notification-spec: the urgency, and milliseconds until it goes (0: never).
_NORMAL, _CRITICAL = 1, 2
_GOES_MS, _STAYS_MS = 10_000, 0


async def send(message: Message, address: str | None) -> Outcome:
    """Shows the notice; a failure is critical, and stays until it was seen. ``address``: of another bus."""
    try:
        from dbus_fast.aio import MessageBus  # noqa: PLC0415 - there is none outside Linux
    except ImportError:
        return Failed("desktop: there is no D-Bus on this system")
    bus: MessageBus | None = None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            bus = MessageBus(bus_address=address)
            await bus.connect()
            reply = await bus.call(_notify(message))
    except TimeoutError:
        return Failed(f"desktop: no answer within {_TIMEOUT_S:g} s")
    except Exception as error:  # whatever may be wrong with a bus: its address, its files, its manners
        return Failed(f"desktop: no session bus: {told(str(error), _SAID_LIMIT) or type(error).__name__}")
    finally:
        if bus is not None:
            bus.disconnect()
    if reply is None or reply.error_name is not None:
        return Failed(f"desktop: {_said(reply)}")
    return Succeeded()


def _notify(message: Message) -> Any:
    from dbus_fast import Message as Call  # noqa: PLC0415
    from dbus_fast import Variant  # noqa: PLC0415

    icon, urgency, expires = (
        ("dialog-information", _NORMAL, _GOES_MS) if message.succeeded else ("dialog-error", _CRITICAL, _STAYS_MS)
    )
    # What stands in the body may be read as markup.
    text = escape(message.cut_body(TEXT_LIMIT), quote=False)
    body = ["wakeful", 0, icon, cut(message.title, _TITLE_LIMIT), text, [], {"urgency": Variant("y", urgency)}, expires]
    return Call(destination=_NAME, path=_PATH, interface=_NAME, member="Notify", signature="susssasa{sv}i", body=body)


def _said(reply: Any) -> str:
    """Why the service did not show it; without one, the bus says that there is none."""
    if reply is None:
        return "the bus went away"
    why = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
    return told(f"{reply.error_name}: {why}", _SAID_LIMIT)
