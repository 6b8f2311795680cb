"""The tests' provider, speaking as OpenAI's API does: the same limits, faults and books as `upstream`.

with OpenAIUpstream() as upstream:
    upstream.configure(requests_per_minute=60, faults=[{"kind": "status", "status": 429}])
"""

import json
import random
from typing import Any

from aiohttp import web

from app.providers import sample
from app.providers.streams import responses
from tests.support import upstream
from tests.support.upstream_limits import INPUT, REQUESTS

CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class OpenAIProvider(upstream.Provider):
    """Chat completions, responses, embeddings and completions, under `/v1` and beside it."""

    def app(self) -> web.Application:
        app = super().app()
        for root in ("/v1", ""):
            for path, kind in CALLS.items():
                app.router.add_post(f"{root}{path}", self.handler(kind))
            if root == "":
                app.router.add_get("/models", self.models)
        return app

    def handler(self, kind: "type[ChatCall]") -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.serve(kind(self, request, await request.read()))

        return handle


class ChatCall(upstream.Call):
    """One request for a chat completion."""

    NEEDS = ("model", "messages")

    def __init__(self, provider: upstream.Provider, request: web.Request, raw: bytes) -> None:
        super().__init__(provider, request, raw)
        self.headers = {"x-request-id": self.seen.request_id}
        self.text = self.seen.text = self.text or asked_otherwise(self.params)

    @property
    def most_tokens(self) -> int:
        return int(self.params.get("max_completion_tokens") or self.params.get("max_tokens") or 10_000)

    def words(self) -> str:
        form = (self.params.get("response_format") or {}).get("json_schema")
        if form is not None:
            return json.dumps(sample.fit(form["schema"], random.Random(self.seen.sha256)))
        return super().words()

    def refuse(self) -> web.Response | None:
        if self.behaviour.keys is not None and self.key not in self.behaviour.keys:
            return self.error(401, message="Incorrect API key provided")
        if missing := next((name for name in self.NEEDS if name not in self.params), None):
            return self.error(400, message=f"Missing required parameter: '{missing}'.")
        # A key is asked for by `behaviour.keys` alone, and an answer need not be bounded.
        self.key, self.params = self.key or "none", {"max_tokens": 10_000, "messages": [], **self.params}
        refused = super().refuse()
        self.headers = in_words_of_openai(self.headers)
        return refused

    def error(
        self, status: int, message: str, type: str | None = None, code: str | None = None
    ) -> web.Response:
        self.seen.outcome = str(status)
        kind = type or ("invalid_request_error" if status < 429 else "requests")
        error = {"message": message, "type": kind, "param": None, "code": code or CODES.get(status)}
        headers = in_words_of_openai(self.headers)
        return web.json_response({"error": error}, status=status, headers=headers)

    def tool_use(self) -> None:
        """Its answers are texts, whatever a request insists on."""

    async def think(self, text: str) -> dict[str, Any]:
        message = await super().think(text)
        self.headers = in_words_of_openai(self.headers)
        return self.shaped(message)

    def shaped(self, message: dict[str, Any]) -> dict[str, Any]:
        finish = "length" if message["stop_reason"] == "max_tokens" else "stop"
        said = {"role": "assistant", "content": message["content"][0]["text"], "refusal": None}
        return self.envelope("chatcmpl", "chat.completion") | {
            "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
            "usage": self.tokens(message["usage"]),
        }

    async def stream(self, message: dict[str, Any], *, stop_after: int | None = None) -> web.StreamResponse:
        """Send a completion as chunks: all of them, or the first `stop_after`."""
        response = web.StreamResponse(headers=self.headers | {"content-type": "text/event-stream"})
        await response.prepare(self.request)
        for event in self.events(message)[:stop_after]:
            await response.write(event)
        if stop_after is None:
            await response.write_eof()
        return response

    def events(self, message: dict[str, Any]) -> list[bytes]:
        told = [json.dumps(chunk) for chunk in self.chunks(message)]
        return [f"data: {event}\n\n".encode() for event in (*told, "[DONE]")]

    def chunks(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        head = self.envelope("chatcmpl", "chat.completion.chunk")
        text = message["choices"][0]["message"]["content"]
        words = [{"content": text[at : at + 20]} for at in range(0, len(text), 20)]
        deltas = [({"role": "assistant", "content": ""}, None), *((word, None) for word in words)]
        deltas.append(({}, message["choices"][0]["finish_reason"]))
        found = [
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}
            for delta, reason in deltas
        ]
        wanted = (self.params.get("stream_options") or {}).get("include_usage")
        return [*found, head | {"choices": [], "usage": message["usage"]}] if wanted else found

    def envelope(self, prefix: str, object: str) -> dict[str, Any]:
        return {
            "id": f"{prefix}-{self.seen.number:06}",
            "object": object,
            "created": 1_764_000_000,
            "model": self.params["model"],
            "service_tier": "default",
        }

    @staticmethod
    def tokens(usage: dict[str, Any]) -> dict[str, Any]:
        cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        prompt = usage["input_tokens"] + cached + written
        return {
            "prompt_tokens": prompt,
            "completion_tokens": usage["output_tokens"],
            "total_tokens": prompt + usage["output_tokens"],
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        }


class CompletionCall(ChatCall):
    NEEDS = ("model", "prompt")

    def shaped(self, message: dict[str, Any]) -> dict[str, Any]:
        chat = super().shaped(message)
        choice = {"index": 0, "text": message["content"][0]["text"], "finish_reason": "stop"}
        return chat | {"object": "text_completion", "choices": [choice]}


class ResponseCall(ChatCall):
    NEEDS = ("model", "input")

    def shaped(self, message: dict[str, Any]) -> dict[str, Any]:
        usage = self.tokens(message["usage"])
        part = {"type": "output_text", "text": message["content"][0]["text"], "annotations": []}
        envelope = self.envelope("resp", "response")
        return envelope | {
            "created_at": envelope["created"],
            "status": "completed",
            "error": None,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                },
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": usage["prompt_tokens_details"],
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
        }

    def events(self, message: dict[str, Any]) -> list[bytes]:
        return list(responses.events(message))


class EmbeddingCall(ChatCall):
    NEEDS = ("model", "input")

    def shaped(self, message: dict[str, Any]) -> dict[str, Any]:
        self.seen.output_tokens = 0
        prompt = self.tokens(message["usage"])["prompt_tokens"]
        given = self.params["input"]
        inputs = given if isinstance(given, list) else [given]
        vectors = [{"object": "embedding", "index": at, "embedding": [0.6, 0.8]} for at in range(len(inputs))]
        usage = {"prompt_tokens": prompt, "total_tokens": prompt}
        return {"object": "list", "data": vectors, "model": self.params["model"], "usage": usage}


CALLS: dict[str, type[ChatCall]] = {
    "/chat/completions": ChatCall,
    "/completions": CompletionCall,
    "/responses": ResponseCall,
    "/embeddings": EmbeddingCall,
}


def asked_otherwise(params: dict[str, Any]) -> str:
    """What is asked without `messages`: a text, or the last of a list of messages."""
    given = params.get("input") or params.get("prompt")
    if isinstance(given, list) and given and isinstance(given[-1], dict):
        return upstream.last_user_text({"messages": given})
    return given if isinstance(given, str) else ""


def in_words_of_openai(headers: dict[str, str]) -> dict[str, str]:
    """Limits in headers of its own, with resets as durations."""
    shown = {name: value for name, value in headers.items() if not name.startswith("anthropic-")}
    for kind, name in (("requests", REQUESTS), ("tokens", INPUT)):
        limit = headers.get(f"anthropic-ratelimit-{name}-limit")
        if limit is not None:
            left = int(headers[f"anthropic-ratelimit-{name}-remaining"])
            seconds = 60 * (int(limit) - left) / int(limit)
            shown |= {
                f"x-ratelimit-limit-{kind}": limit,
                f"x-ratelimit-remaining-{kind}": str(left),
                f"x-ratelimit-reset-{kind}": f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds:g}s",
            }
    return shown


class OpenAIUpstream(upstream.Upstream):
    MODULE = "tests.support.openai_upstream"


if __name__ == "__main__":
    upstream.main(OpenAIProvider())
