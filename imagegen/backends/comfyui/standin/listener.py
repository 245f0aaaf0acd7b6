"""The stand-in's listening socket: a thread for each connection, and all of them hung up on at the end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from imagegen.backends.comfyui.standin.engine import Engine

__all__ = ["Listener"]


class Listener(ThreadingMixIn, TCPServer):
    """Serves `engine` on 127.0.0.1, from construction until `close`. port: 0 for any that is free."""

    allow_reuse_address = True  # a restart keeps its port
    daemon_threads = False  # so that server_close joins them
    request_queue_size = 128

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], engine: Engine, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.engine = engine
        self._context = context
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="stand-in-http", daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; what TLS needs to say is said later, in the connection's own thread."""
        connection, address = super().get_request()
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._mutex:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget it, too."""
        with self._mutex:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Accept no more, hang up on all, wait for their threads."""
        self.shutdown()
        self._thread.join()
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()
