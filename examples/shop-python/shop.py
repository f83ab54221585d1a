#!/usr/bin/env python3
"""A shop that knows nothing of InfernoSIM. Standard library only.

GET /api/demo asks the inventory; POST /checkout asks the inventory, charges the card and asks a courier for an offer.
Environment: HOST (127.0.0.1), PORT (8080; 0 is any free one), INVENTORY_URL, PAYMENTS_URL, COURIER_URL,
PAYMENTS_TOKEN; HTTP_PROXY is urllib's own affair.
"""
import itertools
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

SHOP = "shop-python"
INVENTORY = os.environ.get("INVENTORY_URL", "http://localhost:7001")
PAYMENTS = os.environ.get("PAYMENTS_URL", "http://localhost:7002")
COURIER = os.environ.get("COURIER_URL", "http://localhost:7003")
TOKEN = os.environ.get("PAYMENTS_TOKEN", "shop-secret")
PATIENCE = 2.0  # seconds, for each call
PASSED_ON = ("traceparent", "X-Request-Id")

orders = itertools.count(1)


class Refused(Exception):
    """What the client is told instead of an order."""

    def __init__(self, status, error):
        super().__init__(error)
        self.status = status


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.serve({"/api/demo": self.demo})

    def do_POST(self):
        self.serve({"/checkout": self.checkout})

    def serve(self, routes):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            route = routes.get(self.path)
            if route is None:
                raise Refused(404, "GET /api/demo and POST /checkout are all there is")
            self.answer(*route(body))
        except Refused as refused:
            self.answer(refused.status, {"error": str(refused)})

    def demo(self, _body):
        return 200, {"shop": SHOP, "apples": self.stock("apple")["stock"]}

    def checkout(self, body):
        try:
            order = json.loads(body)
            item, count = str(order["item"]), int(order["count"])
            if count < 1:
                raise ValueError(count)
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(400, 'an order is {"item": …, "count": …}') from error
        stock = self.stock(item)
        if stock["stock"] < count:
            raise Refused(409, f"only {stock['stock']} left")
        total = stock["price"] * count
        self.charge(total)
        return 201, {"order": next(orders), "total": total, "courier": self.offer(item, count)}

    def stock(self, item):
        status, stock = self.call("inventory", "GET", f"{INVENTORY}/stock/{quote(item, safe='')}")
        if status == 404:
            raise Refused(404, f"no {item} here")
        if status != 200:
            raise Refused(502, "the inventory is out of order")
        return stock

    def charge(self, amount):
        credentials = {"Authorization": f"Bearer {TOKEN}"}
        status, _ = self.call("payments", "POST", f"{PAYMENTS}/charge", {"amount": amount}, credentials)
        if status == 402:
            raise Refused(402, "the card is refused")
        if status != 200:
            raise Refused(502, "the payments are out of order")

    def offer(self, item, count):
        """The courier is often ill, and the shop copes."""
        try:
            query = urlencode({"count": count, "item": item})
            status, offer = self.call("courier", "GET", f"{COURIER}/quote?{query}")
        except Refused:
            return None
        return offer if status == 200 else None

    def call(self, whom, method, url, body=None, headers=None):
        request = Request(url, method=method, headers=headers or {})
        for name in PASSED_ON:
            if name in self.headers:
                request.add_header(name, self.headers[name])
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, None
        except (OSError, ValueError) as error:
            print(f"{SHOP}: {whom}: {error}", file=sys.stderr)
            raise Refused(502, f"the {whom} does not answer") from error

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """No access log: the recording is one."""


def main():
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    with ThreadingHTTPServer(address, Shop) as server:
        # shutdown() waits for serve_forever(), which this thread is in.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        host, port = server.server_address
        print(f"{SHOP}: listening on http://{host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
