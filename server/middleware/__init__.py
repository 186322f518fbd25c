"""ASGI layers around the routes; plain functions of scope, receive and send, with no cost per streamed chunk."""
