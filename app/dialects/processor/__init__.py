"""The batch processor's contract."""

from flask import Flask
from flask_smorest import Api

from app.dialects.processor import monitoring, routes, socket, wire
from app.web.errors import SHAPES


def register(app: Flask, contract: Api) -> None:
    """Register the contract; `contract` documents it."""
    for module in (routes, monitoring):
        contract.register_blueprint(module.blp)
    app.register_blueprint(socket.blp)
    SHAPES.update({routes.PREFIX: wire.error, socket.PATH: wire.error})
