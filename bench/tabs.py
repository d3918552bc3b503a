"""Browser tabs without a browser: they speak to a NiceGUI page as its script does.

Run as ``python -m bench.tabs URL COUNT``; the environment variable ``BENCH_COOKIE`` is
sent along. Each tab loads the page, opens the Socket.IO web socket with deflate
offered, shakes hands, answers pings and acknowledges messages every three seconds
(NiceGUI 3.18, ``static/nicegui.js``). ``tabs N`` on standard output says how many are
sent data.
"""

import ast
import asyncio
import json
import os
import re
import sys
import urllib.parse
import uuid

import httpx
import websockets

ACK_S = 3.0
RELOAD_S = 1.0
LOAD_S = 120.0
MAX_MESSAGE_BYTES = 16 << 20

_QUERY = re.compile(r"^\s*query: (\{.*\}),$", re.MULTILINE)
_NUMBER = re.compile(r'"_id":\s*(\d+)')


class Tab:
    """One tab.

    Args:
        url: Of the page.
        cookie: Header; empty for none.
    """

    def __init__(self, url: str, cookie: str) -> None:
        self._url = url
        self._headers = {"Cookie": cookie} if cookie else {}
        self._next_message = 0

    async def stay(self) -> None:
        """Keeps the page open until cancelled; load it again when thrown out."""
        while True:
            try:
                await self._visit()
            except (OSError, httpx.HTTPError, websockets.WebSocketException) as error:
                print(f"thrown out: {error!r}", flush=True)
            await asyncio.sleep(RELOAD_S)

    async def _visit(self) -> None:
        query = await self._load()
        parts = urllib.parse.urlsplit(self._url)
        words = urllib.parse.urlencode({**query, "EIO": "4", "transport": "websocket"})
        address = f"ws://{parts.netloc}/_nicegui_ws/socket.io/?{words}"
        async with websockets.connect(
            address,
            additional_headers=self._headers,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=LOAD_S,
            ping_interval=None,
        ) as socket:
            await socket.send("40")
            await self._shake_hands(socket, query)
            await self._listen(socket, query["client_id"])

    async def _load(self) -> dict[str, str]:
        async with httpx.AsyncClient(headers=self._headers, timeout=LOAD_S) as client:
            page = await client.get(self._url)
        query = _QUERY.search(page.text)
        if query is None:
            text = f"{self._url} answered {page.status_code} with no NiceGUI page"
            raise LookupError(text)
        found = {
            key: json.dumps(value) if isinstance(value, bool) else str(value)
            for key, value in ast.literal_eval(query[1]).items()
        }
        found |= {"document_id": str(uuid.uuid4()), "tab_id": str(uuid.uuid4())}
        self._next_message = int(found["next_message_id"])
        return found

    async def _shake_hands(
        self, socket: websockets.ClientConnection, query: dict[str, str]
    ) -> None:
        """Emit ``handshake`` where the server does not take it from the query."""
        if query.get("implicit_handshake") == "true":
            return
        await socket.send("420" + json.dumps(["handshake", query]))

    async def _listen(
        self, socket: websockets.ClientConnection, client_id: str
    ) -> None:
        acknowledging = asyncio.create_task(self._acknowledge(socket, client_id))
        present = False
        try:
            async for frame in socket:
                text = str(frame)
                if text == "2":
                    await socket.send("3")
                elif numbers := _NUMBER.findall(text):
                    self._next_message = int(numbers[-1]) + 1
                    say(0 if present else +1)
                    present = True
        finally:
            acknowledging.cancel()
            say(-1 if present else 0)

    async def _acknowledge(
        self, socket: websockets.ClientConnection, client_id: str
    ) -> None:
        while True:
            await asyncio.sleep(ACK_S)
            words = {"client_id": client_id, "next_message_id": self._next_message}
            await socket.send("42" + json.dumps(["ack", words]))


_present = 0


def say(change: int) -> None:
    """Tells how many tabs are at it, when that changes."""
    global _present  # noqa: PLW0603  # one process, one count
    _present += change
    if change:
        print(f"tabs {_present}", flush=True)


async def main(url: str, count: int) -> None:
    """Opens the tabs one after the other and keep them."""
    cookie = os.environ.get("BENCH_COOKIE", "")
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(Tab(url, cookie).stay())
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
