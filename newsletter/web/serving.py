"""The pages, served: waitress, in a thread of its own."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from newsletter.errors import WebMistake
from newsletter.folder import Folder
from newsletter.web import make

LARGEST = 1024 * 1024
"""Octets of a request: what a provider's webhook may have; forms are held to less."""
PATIENCE = 5.0
"""Seconds that requests under way have to end in when we stop."""


class Serving:
    """The pages of a folder on a port, from `start` to `stop`."""

    def __init__(
        self,
        folder: Folder,
        clock: Callable[[], dt.datetime],
        wake: Callable[[], None] = lambda: None,
        *,
        port: int | None = None,
    ) -> None:
        """Binds the port, which may be 0 for any that is free. WebMistake where it can't be had."""
        from waitress.server import create_server

        web = folder.config.web
        # It says how many requests wait, again and again, just when there is no time for that.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        app = make(folder, clock, wake)
        port = web.port if port is None else port
        try:
            family = socket.getaddrinfo(web.host, port, type=socket.SOCK_STREAM)[0][0]
            bound = socket.create_server((web.host, port), family=family, backlog=1024)
        except OSError as error:
            raise WebMistake(
                f"the pages can't be served on {web.host}, port {port}: {error.strerror}",
                remedy="Is another newsletter run or web up? Else set web.port in config.toml.",
            ) from None
        self._server: Any = create_server(
            app,
            sockets=[bound],
            threads=web.threads,
            ident=None,
            channel_timeout=60,
            connection_limit=1000,
            max_request_body_size=LARGEST,
            asyncore_use_poll=True,
            # Werkzeug reads these headers where config.toml says that there is someone to believe.
            clear_untrusted_proxy_headers=not web.proxies,
        )
        self._thread = threading.Thread(target=self._server.run, name="web", daemon=True)

    @property
    def address(self) -> str:
        """Where the pages are on this machine, such as http://127.0.0.1:8025."""
        host, port = self._server.effective_host, self._server.effective_port
        return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Takes no more requests; those under way may end."""
        self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=PATIENCE)
        self._server.trigger.pull_trigger(self._close)
        self._thread.join(PATIENCE)

    def _close(self) -> None:
        # In the thread of its loop, which ends when nothing is open any more.
        for channel in list(self._server._map.values()):  # noqa: SLF001 - waitress has no way of its own
            if channel is not self._server:
                channel.close()
        self._server.close()
