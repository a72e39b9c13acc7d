"""Speaks the HTTP API of POMS: repeats what is safe to repeat, follows cursors, raises problems."""

from __future__ import annotations

import contextlib
import email.utils
import os
import platform
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from poms_client import __version__
from poms_client.errors import NotAllowed, NotFound, PomsError, Refused, Unavailable, UsedWrongly
from poms_client.operations import Operations, Record
from poms_client.refs import parts

Waiting = Callable[[Unavailable, float], None]

PAGE_SIZE = 500  # the largest page that the service gives
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
LOG_CHUNK = 65536  # what the launch hosts give at most in one answer
TOO_MANY = 429
BUSY = {TOO_MANY, 502, 503, 504}
# A limit of so many a minute is waited for beyond the patience, so that a long script goes on; but not for ever.
LIMIT_SECONDS, LIMIT_TIMES = 90.0, 5


class Client(Operations):
    """One person's connection to one service.

    `timeout` is the longest silence in seconds before an answer counts as missing; `patience` is how many
    seconds to keep trying while the service is unavailable (0: try once); where the service says that there were too
    many calls or launches within a minute, up to five such minutes are waited for (0: none).
    `on_wait` is called with the reason
    and the seconds before each such wait.

    >>> client = Client("https://poms.example.org", "poms_…")
    >>> for campaign in client.list("campaigns", experiment="demo", state="running"):
    ...     client.campaigns_hold(campaign["ref"], reason="the storage is full")

    Each operation of the API's description is a method of its name (poms_client.operations); `get`, `list`, `post` and
    the like below reach any address.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        patience: float = 20.0,
        on_wait: Waiting | None = None,
    ):
        self.url = service_address(url)
        self.timeout = timeout
        self.patience = patience
        self.on_wait = on_wait
        self._session = requests.Session()
        # As `auth`, not as a header: requests lets ~/.netrc replace a header.
        self._session.auth = _Bearer(token)
        self._session.headers.update(
            {
                "Accept": "application/json, application/problem+json",
                "User-Agent": f"poms-client/{__version__} Python/{platform.python_version()}",
            }
        )

    def get(self, path: str | Sequence[str], **query: Any) -> Any:
        """Return the JSON document at a path such as `campaigns/demo/c1` (repeated while unavailable)."""
        return self._json(self._send("GET", path, query=query))

    def text(self, path: str | Sequence[str], **query: Any) -> str:
        """Return the plain text at a path, for example a campaign's definition."""
        response = self._send("GET", path, query=query, accept="text/plain, */*;q=0.5")
        response.encoding = response.encoding or "utf-8"
        if "charset" not in response.headers.get("Content-Type", ""):
            response.encoding = "utf-8"
        return response.text

    def save(self, path: str | Sequence[str], target: str, **query: Any) -> int:
        """Write a file of the service to a path, whole or not at all, and return its bytes; `-` is stdout.

        It is read in pieces, however large it is. What breaks off is begun anew only by you.
        """
        response = self._send("GET", path, query=query, accept="*/*", stream=True)
        partial = f"{target}.part"
        with contextlib.ExitStack() as stack:
            file = sys.stdout.buffer if target == "-" else stack.enter_context(open(partial, "wb"))
            written = 0
            try:
                for piece in response.iter_content(64 * 1024):
                    written += file.write(piece)
            except requests.exceptions.RequestException as error:
                raise Unavailable(f"{self.url} broke off the file", detail=_cause(error), repeatable=False) from error
        if target != "-":
            os.replace(partial, target)
        return written

    def list(
        self, path: str | Sequence[str], *, limit: int | None = None, page: int = PAGE_SIZE, **query: Any
    ) -> Iterator[Record]:
        """Yield the objects of a list, at most `limit`, asking for the next page when it is needed."""
        wanted, seen = limit, set()
        query["limit"] = page if limit is None else max(1, min(page, limit))
        while wanted is None or wanted > 0:
            found = self.get(path, **query)
            if not isinstance(found, dict) or not isinstance(found.get("results"), list):
                raise _not_poms(self.url, "a list was asked for and something else came")
            for item in found["results"]:
                if wanted is not None:
                    if wanted == 0:
                        return
                    wanted -= 1
                yield item
            cursor = found.get("next")
            if not cursor:
                return
            if cursor in seen:
                raise Unavailable("The service gave the same page of a list twice", repeatable=False)
            seen.add(cursor)
            query["cursor"] = cursor

    def post(self, path: str | Sequence[str], body: Any = None, *, key: str | None = None, **query: Any) -> Any:
        """Create something, exactly once: the idempotency key makes it safe to repeat while unavailable.

        Give your own `key` to make it safe over restarts of your program too.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._json(self._send("POST", path, query=query, body=body or {}, headers=headers))

    def select(self, collection: str, verb: str, body: Record, *, plan: bool = False) -> Record:
        """Say a verb to many objects: `refs` or a `filter` in the body; with `plan` only hear what it would do."""
        done: Record = self.post([collection, verb], body, plan=1 if plan else None)
        return done

    def put_file(self, path: str | Sequence[str], content: bytes, **query: Any) -> Any:
        """Send bytes as they are; said twice it is as said once, so it is repeated while unavailable."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._json(self._send("POST", path, query=query, headers=headers, data=content))

    def patch(self, path: str | Sequence[str], body: Any, *, if_match: str | None = None) -> Any:
        """Change fields of an object; with `if_match` (an ETag) only if nobody else changed it meanwhile."""
        headers = {"If-Match": if_match} if if_match else {}
        return self._json(self._send("PATCH", path, body=body, headers=headers, repeat=bool(if_match)))

    def put(self, path: str | Sequence[str], body: Any) -> Any:
        """Set fields of an object to values: said twice it is as said once, so it is repeated while unavailable."""
        return self._json(self._send("PUT", path, body=body))

    def verb(self, collection: str, ref: str, verb: str, reason: str = "", **more: Any) -> Any:
        """Say a verb to one object, such as hold, with the reason.

        A verb is repeated only when the first try cannot have reached the service; otherwise `Unavailable` is
        raised and says that it may have happened.
        """
        body = {"reason": reason, **more}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        path = [collection, *parts(ref), verb]
        return self._json(self._send("POST", path, body=body, headers=headers, repeat=False))

    def show(self, collection: str, ref: str) -> Record:
        """Return one object by its reference, such as `campaigns`, `demo/c1`."""
        found: Record = self.get([collection, *parts(ref)])
        return found

    def show_with_tag(self, collection: str, ref: str) -> tuple[Record, str | None]:
        """Return one object and its ETag, for `patch`."""
        response = self._send("GET", [collection, *parts(ref)])
        return self._json(response), response.headers.get("ETag")

    def history(
        self, collection: str, ref: str, *, limit: int | None = None, page: int = PAGE_SIZE
    ) -> Iterator[Record]:
        """Yield the transitions of one object and of what belongs to it, newest first."""
        return self.list([collection, *parts(ref), "history"], limit=limit, page=page)

    def events(self, after: str | None = None, experiment: str | None = None) -> tuple[Sequence[Record], str | None]:
        """Return the next transitions of the ledger's feed and the cursor to go on from."""
        page = self.get("events", after=after, experiment=experiment)
        if not isinstance(page, dict) or not isinstance(page.get("results"), list):
            raise _not_poms(self.url, "the feed was asked for and something else came")
        return page["results"], page.get("after") or after

    def log(self, ref: str, stream: str = "out", offset: int = 0) -> tuple[str, int]:
        """Return a piece of a job's log (`out` or `err`) and the offset in bytes of the next piece.

        The piece is empty when there is no more for now.
        """
        return self._piece(["jobs", *parts(ref), "log"], offset, stream=stream)

    def script_log(self, ref: str, part: str = "head", offset: int = 0) -> tuple[str, int]:
        """Return a piece of what a submission's launch script printed (`head` or `tail` of it), as `log` does."""
        return self._piece(["submissions", *parts(ref), "log"], offset, part=part)

    def _piece(self, path: Sequence[str], offset: int, **query: str) -> tuple[str, int]:
        piece = self.get(path, offset=offset, length=LOG_CHUNK, **query)
        text, total = str(piece.get("text", "")), int(piece.get("total", 0))
        if not text:
            return "", offset
        if "next" in piece:
            return text, int(piece["next"])
        # A replacement character may stand for one byte or for several; then only the chunk's size tells.
        exact = "\ufffd" not in text
        used = len(text.encode("utf-8", "surrogatepass")) if exact else min(LOG_CHUNK, total - offset)
        return text, offset + max(used, 1)

    # --- How the methods of Operations are sent; what is None is left out ---------------------------------------------

    def _list(self, path: Sequence[str], query: Record) -> Iterator[Record]:
        most = query.get("limit")
        return self.list(path, limit=None if most is None else int(most), **_said(query, "limit"))

    def _ask(self, path: Sequence[str], query: Record) -> Record:
        found: Record = self.get(path, **_said(query))
        return found

    def _text(self, path: Sequence[str], query: Record) -> str:
        return self.text(path, **_said(query))

    def _bytes(self, path: Sequence[str], query: Record) -> bytes:
        return self._send("GET", path, query=_said(query), accept="*/*").content

    def _upload(self, path: Sequence[str], query: Record, content: bytes) -> Record:
        made: Record = self.put_file(path, content, **_said(query))
        return made

    def _say(self, method: str, path: Sequence[str], query: Record, body: Record, key: str | None = None) -> Record:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())} if method == "POST" else {}
        answer = self._send(method, path, query=_said(query), body=_said(body), headers=headers, repeat=False)
        done: Record = self._json(answer)
        return done

    def _create(self, path: Sequence[str], query: Record, body: Record, key: str | None) -> Record:
        made: Record = self.post(path, _said(body), key=key, **_said(query))
        return made

    def _set(self, path: Sequence[str], body: Record) -> Record:
        done: Record = self.put(path, _said(body))
        return done

    def _send(
        self,
        method: str,
        path: str | Sequence[str],
        *,
        query: Record | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        accept: str | None = None,
        repeat: bool = True,
        data: bytes | None = None,
        stream: bool = False,
    ) -> requests.Response:
        headers = {**(headers or {}), **({"Accept": accept} if accept else {})}
        query = {name: value for name, value in (query or {}).items() if value is not None}
        started, pause, limited = time.monotonic(), FIRST_PAUSE, 0
        while True:
            try:
                return self._once(method, path, query, body, headers, data, stream)
            except Unavailable as problem:
                # Spread, so that many clients do not come back in step after an outage.
                spread = pause * random.uniform(0.8, 1.2)  # noqa: S311 - nothing secret
                wait = spread if problem.retry_after is None else problem.retry_after
                left = self.patience - (time.monotonic() - started)
                if problem.limited and self.patience > 0:
                    left = wait if wait <= LIMIT_SECONDS and limited < LIMIT_TIMES else 0.0
                    started, limited = started + wait, limited + 1
                if not problem.repeatable or not (repeat or problem.harmless) or wait > left:
                    if not repeat and not problem.harmless:
                        problem.hint = "It may have been done all the same; look before you say it again."
                    raise
                if self.on_wait:
                    self.on_wait(problem, wait)
                time.sleep(wait)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _once(
        self,
        method: str,
        path: str | Sequence[str],
        query: Record,
        body: Any,
        headers: dict[str, str],
        data: bytes | None = None,
        stream: bool = False,
    ) -> requests.Response:
        try:
            response = self._session.request(
                method,
                self.url + "/api/v1/" + "/".join(quote(part, safe="") for part in parts(path)) + "/",
                params=query,
                json=body,
                data=data,
                headers=headers,
                stream=stream,
                timeout=(min(5.0, self.timeout), self.timeout),
                # Followed, a redirect would turn a POST into a GET and might carry the token elsewhere.
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise Unavailable(
                f"{self.url} cannot be trusted", detail=_cause(error), repeatable=False, harmless=True
            ) from error
        except requests.exceptions.ConnectTimeout as error:
            raise Unavailable(f"{self.url} cannot be reached", detail="no connection in time", harmless=True) from error
        except requests.exceptions.Timeout as error:
            raise Unavailable(f"{self.url} did not answer within {self.timeout:g} s") from error
        except requests.exceptions.InvalidURL as error:
            raise UsedWrongly(f"{self.url} is not an address", detail=str(error)) from error
        except requests.exceptions.RequestException as error:
            unreached = isinstance(_reason(error), NewConnectionError)
            title = f"{self.url} cannot be reached" if unreached else f"{self.url} broke off the connection"
            raise Unavailable(title, detail=_cause(error), harmless=unreached) from error
        if response.ok and response.status_code < 300:
            return response
        raise _refusal(self.url, response)

    def _json(self, response: requests.Response) -> Any:
        if not response.content:
            return {}
        try:
            return response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise _not_poms(self.url, response.headers.get("Content-Type", "no JSON")) from error


def _said(values: Record, *but: str) -> Record:
    return {name: value for name, value in values.items() if value is not None and name not in but}


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str):
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def service_address(url: str) -> str:
    """Return the address without its trailing parts; raise UsedWrongly when it is none of http or https."""
    address = url.strip().rstrip("/")
    if address.endswith("/api/v1"):
        address = address[: -len("/api/v1")]
    split = urlsplit(address)
    if split.scheme not in ("http", "https") or not split.netloc:
        raise UsedWrongly(f"{url!r} is not the address of a service", hint="It looks like https://poms.example.org")
    return address


def _refusal(url: str, response: requests.Response) -> PomsError:
    status = response.status_code
    if status < 400:
        return UsedWrongly(
            f"{url} sends us elsewhere",
            detail=response.headers.get("Location", ""),
            hint="Set POMS_URL to the address of the service itself.",
        )
    problem = _problem(response)
    if status in (401, 403):
        hint = "Say `poms login`, or set POMS_TOKEN to a token that is valid." if status == 401 else ""
        return NotAllowed("Not allowed", hint=hint, problem=problem)
    if status == 404:
        return NotFound("Not found", problem=problem)
    if status in BUSY or status >= 500:
        return Unavailable(
            f"The service cannot work just now (status {status})",
            problem=problem,
            retry_after=_retry_after(response),
            repeatable=status in BUSY,
            # A gateway that says 502 or 504 does not know what became of the request behind it.
            harmless=status in (TOO_MANY, 503),
            limited=status == TOO_MANY and bool(response.headers.get("Retry-After")),
        )
    return Refused(f"Refused (status {status})", problem=problem)


def _problem(response: requests.Response) -> Record:
    try:
        problem = response.json()
    except requests.exceptions.JSONDecodeError:
        # A page of a proxy or web server: its status says all that a command line can use.
        return {"status": response.status_code}
    if not isinstance(problem, dict):
        return {"status": response.status_code, "detail": str(problem)}
    problem.setdefault("status", response.status_code)
    return problem


def _retry_after(response: requests.Response) -> float | None:
    given = response.headers.get("Retry-After", "").strip()
    if not given:
        return None
    if given.isdigit():
        return float(given)
    try:
        moment = email.utils.parsedate_to_datetime(given)
    except ValueError:
        # Neither seconds nor a date: as good as not said.
        return None
    return max(0.0, moment.timestamp() - time.time())


def _not_poms(url: str, what: str) -> Unavailable:
    return Unavailable(f"{url} does not answer as POMS does", detail=what, hint="Is POMS_URL right?", repeatable=False)


def _reason(error: BaseException) -> BaseException | None:
    first = error.args[0] if error.args else None
    reason = getattr(first, "reason", None)
    return reason if isinstance(reason, BaseException) else None


def _cause(error: BaseException) -> str:
    """Return the innermost reason: the exceptions of requests and urllib3 wrap each other as arguments."""
    seen: BaseException = error
    for _ in range(10):
        inner = _reason(seen) or next((arg for arg in seen.args if isinstance(arg, BaseException)), None)
        inner = inner or seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    words = seen.strerror if isinstance(seen, OSError) and seen.strerror else str(seen)
    # urllib3 begins with the representation of its own objects.
    return words.rpartition(">: ")[2] or type(seen).__name__
