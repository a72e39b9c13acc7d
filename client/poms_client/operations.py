"""A typed method for each operation of the API, by the name that it has in the description (OpenAPI).

Written from the description by tests/contracts/client_writing.py: do not edit. What is None is not sent.
"""

# fmt: off
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

Record = dict[str, Any]


class Operations:
    """What the API can do. A client says how it is sent."""

    def _list(self, path: Sequence[str], query: Record) -> Iterator[Record]:
        raise NotImplementedError

    def _ask(self, path: Sequence[str], query: Record) -> Record:
        raise NotImplementedError

    def _text(self, path: Sequence[str], query: Record) -> str:
        raise NotImplementedError

    def _bytes(self, path: Sequence[str], query: Record) -> bytes:
        raise NotImplementedError

    def _upload(self, path: Sequence[str], query: Record, content: bytes) -> Record:
        raise NotImplementedError

    def _say(self, method: str, path: Sequence[str], query: Record, body: Record, key: Optional[str] = None) -> Record:
        raise NotImplementedError

    def _create(self, path: Sequence[str], query: Record, body: Record, key: Optional[str]) -> Record:
        raise NotImplementedError

    def _set(self, path: Sequence[str], body: Record) -> Record:
        raise NotImplementedError

    def audit_verify(self, *, after: Optional[str] = None, seals: Optional[int] = None) -> Record:
        """Recompute some seals; `after` is the transaction up to which it was done before, as the last answer says."""
        return self._ask(["audit", "verify"], {"after": after, "seals": seals})

    def batch_systems_change(self, name: str, *, new_name: Optional[str] = None, backend: Optional[str] = None,
            reason: Optional[str] = None, settings: Optional[Mapping[str, Any]] = None, seen: Optional[str] = None,
            active: Optional[bool] = None) -> Record:
        """Change what is given."""
        return self._say("PATCH", ["batch-systems", name], {}, {"name": new_name, "backend": backend, "reason": reason,
            "settings": settings, "seen": seen, "active": active})

    def batch_systems_create(self, *, name: str, backend: str, reason: Optional[str] = None,
            settings: Optional[Mapping[str, Any]] = None, key: Optional[str] = None) -> Record:
        """Enter one."""
        return self._create(["batch-systems"], {}, {"name": name, "backend": backend, "reason": reason,
            "settings": settings}, key)

    def batch_systems_list(self, *, backend: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["batch-systems"], {"backend": backend, "experiment": experiment, "limit": limit})

    def batch_systems_put_away(self, name: str, *, reason: Optional[str] = None) -> Record:
        """Take one away: nothing new goes there."""
        return self._say("POST", ["batch-systems", name, "put_away"], {}, {"reason": reason})

    def batch_systems_show(self, name: str) -> Record:
        """Return one of them."""
        return self._ask(["batch-systems", name], {})

    def batch_systems_try(self, name: str) -> Record:
        """Ask it how deep its queues are, and say what came of it."""
        return self._say("POST", ["batch-systems", name, "try"], {}, {})

    def batches_commands(self, ref: str) -> Record:
        """Show what it would run next, with its environment; nothing is launched and nothing taken."""
        return self._ask(["batches", *ref.split("/"), "commands"], {})

    def batches_export(self, *, after: Optional[str] = None, campaign: Optional[str] = None,
            experiment: Optional[str] = None, numbers: Optional[str] = None, stage: Optional[str] = None,
            state: Optional[str] = None, to: Optional[str] = None) -> bytes:
        """Return the list as a file; `to` is csv or parquet, `after` the row behind which it begins."""
        return self._bytes(["batches", "export"], {"after": after, "campaign": campaign, "experiment": experiment,
            "numbers": numbers, "stage": stage, "state": state, "to": to})

    def batches_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["batches", *ref.split("/"), "history"], {"limit": limit})

    def batches_launch_with(self, ref: str, *, parameters: Sequence[Sequence[str]],
            reason: Optional[str] = None) -> Record:
        """Launch it once with parameters laid over all others."""
        return self._say("POST", ["batches", *ref.split("/"), "launch_with"], {}, {"reason": reason,
            "parameters": parameters})

    def batches_list(self, *, campaign: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, numbers: Optional[str] = None, stage: Optional[str] = None,
            state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["batches"], {"campaign": campaign, "experiment": experiment, "limit": limit,
            "numbers": numbers, "stage": stage, "state": state})

    def batches_package(self, ref: str) -> bytes:
        """Hand over everything that is needed to make it again, as an RO-Crate in a zip file."""
        return self._bytes(["batches", *ref.split("/"), "package"], {})

    def batches_recover(self, ref: str, *, reason: Optional[str] = None, kind: Optional[str] = None,
            plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Have a plan done, exactly as it was read: named by its hash, it is refused if things are different now."""
        return self._create(["batches", *ref.split("/"), "recover"], {}, {"reason": reason, "kind": kind,
            "plan": plan}, key)

    def batches_recovery(self, ref: str, *, kind: Optional[str] = None) -> Record:
        """Say what would be run again now and what that costs, by the list or by one `kind`; nothing is written."""
        return self._ask(["batches", *ref.split("/"), "recovery"], {"kind": kind})

    def batches_relaunch(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Launch what a failed batch misses again."""
        return self._say("POST", ["batches", *ref.split("/"), "relaunch"], {}, {"reason": reason})

    def batches_reproduce(self, ref: str, *, reason: Optional[str] = None, seed: Optional[int] = None,
            package: Optional[Mapping[str, Any]] = None, key: Optional[str] = None) -> Record:
        """Make it again as a test run, and compare what comes out."""
        return self._create(["batches", *ref.split("/"), "reproduce"], {}, {"reason": reason, "seed": seed,
            "package": package}, key)

    def batches_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["batches", *ref.split("/")], {})

    def batches_why(self, ref: str) -> Record:
        """Say what is in the way of its latest attempt."""
        return self._ask(["batches", *ref.split("/"), "why"], {})

    def campaigns_accept(self, ref: str, *, stage: str, reason: Optional[str] = None) -> Record:
        """Take a stage that waits for its completion, or has failed by it, as complete as it is."""
        return self._say("POST", ["campaigns", *ref.split("/"), "accept"], {}, {"reason": reason, "stage": stage})

    def campaigns_apply(self, *, experiment: str, text: str, format: Optional[str] = None, name: Optional[str] = None,
            production_stage: Optional[str] = None, title: Optional[str] = None, note: Optional[str] = None,
            approve: Optional[bool] = None, key: Optional[str] = None) -> Record:
        """Ask for a text: what its campaign goes on by, or a new one begins with, once it is approved."""
        return self._create(["campaigns", "apply"], {}, {"experiment": experiment, "text": text, "format": format,
            "name": name, "production_stage": production_stage, "title": title, "note": note, "approve": approve}, key)

    def campaigns_archive(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take it out of the lists."""
        return self._say("POST", ["campaigns", *ref.split("/"), "archive"], {}, {"reason": reason})

    def campaigns_boost(self, ref: str, *, hours: float, reason: Optional[str] = None) -> Record:
        """Put it on top of its experiment's queue for so many hours; it ends by itself."""
        return self._say("POST", ["campaigns", *ref.split("/"), "boost"], {}, {"reason": reason, "hours": hours})

    def campaigns_cancel(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """End it: launch nothing more, remove what runs, keep what is done."""
        return self._say("POST", ["campaigns", *ref.split("/"), "cancel"], {}, {"reason": reason})

    def campaigns_clone(self, ref: str, *, name: Optional[str] = None, find: Optional[str] = None,
            put: Optional[str] = None, everywhere: Optional[bool] = None, key: Optional[str] = None) -> Record:
        """Make a draft campaign with its definition, under another name."""
        return self._create(["campaigns", *ref.split("/"), "clone"], {}, {"name": name, "find": find, "put": put,
            "everywhere": everywhere}, key)

    def campaigns_definition(self, ref: str, *, text: str, note: Optional[str] = None,
            base: Optional[int] = None) -> Record:
        """Save a text as the next revision, a draft."""
        return self._set(["campaigns", *ref.split("/"), "definition"], {"text": text, "note": note, "base": base})

    def campaigns_delete(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Delete it, if it was never asked for."""
        return self._say("POST", ["campaigns", *ref.split("/"), "delete"], {}, {"reason": reason})

    def campaigns_diff(self, ref: str, *, from_: Optional[str] = None, to: Optional[str] = None) -> Record:
        """Return what is different between two revisions: `from` and `to`, by number."""
        return self._ask(["campaigns", *ref.split("/"), "diff"], {"from": from_, "to": to})

    def campaigns_export(self, ref: str, *, form: Optional[str] = None, revision: Optional[str] = None) -> str:
        """Return the text of a revision as it was written; the newest, unless `revision` names another."""
        return self._text(["campaigns", *ref.split("/"), "export"], {"form": form, "revision": revision})

    def campaigns_fife(self, *, experiment: str, text: str, name: Optional[str] = None, includes: Optional[Mapping[str,
            Any]] = None, stages: Optional[Sequence[str]] = None, overrides: Optional[Sequence[str]] = None,
            campaign: Optional[str] = None) -> Record:
        """Show what a configuration sets and what does not fit it: a command's options, or a campaign's stages."""
        return self._say("POST", ["campaigns", "fife"], {}, {"experiment": experiment, "text": text, "name": name,
            "includes": includes, "stages": stages, "overrides": overrides, "campaign": campaign})

    def campaigns_heat(self, ref: str, *, order: Optional[str] = None, stage: Optional[str] = None) -> Record:
        """Return a cell for each batch of a stage, or for several in a row, by number or the worst first."""
        return self._ask(["campaigns", *ref.split("/"), "heat"], {"order": order, "stage": stage})

    def campaigns_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what happened to the campaign, its batches and submissions, newest first (M5)."""
        return self._list(["campaigns", *ref.split("/"), "history"], {"limit": limit})

    def campaigns_hold(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Launch nothing of it until it is released."""
        return self._say("POST", ["campaigns", *ref.split("/"), "hold"], {}, {"reason": reason})

    def campaigns_import(self, *, experiment: str, text: str, format: Optional[str] = None, name: Optional[str] = None,
            note: Optional[str] = None, apply: Optional[bool] = None, key: Optional[str] = None) -> Record:
        """Say what an import would do; with `apply`, do it."""
        return self._create(["campaigns", "import"], {}, {"experiment": experiment, "text": text, "format": format,
            "name": name, "note": note, "apply": apply}, key)

    def campaigns_limit_waste(self, ref: str, *, share: int, reason: Optional[str] = None,
            least: Optional[int] = None) -> Record:
        """Say from which share of failures, of how many jobs of an hour at least, it pauses itself."""
        return self._say("POST", ["campaigns", *ref.split("/"), "limit_waste"], {}, {"reason": reason, "share": share,
            "least": least})

    def campaigns_list(self, *, archived: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, name: Optional[str] = None, name_has: Optional[str] = None,
            owner: Optional[str] = None, state: Optional[str] = None, tag: Optional[str] = None,
            test: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["campaigns"], {"archived": archived, "experiment": experiment, "limit": limit, "name": name,
            "name_has": name_has, "owner": owner, "state": state, "tag": tag, "test": test})

    def campaigns_plan(self, *, experiment: str, text: str, format: Optional[str] = None,
            name: Optional[str] = None) -> Record:
        """Say what a text would do if it ran: nothing is written."""
        return self._say("POST", ["campaigns", "plan"], {}, {"experiment": experiment, "text": text, "format": format,
            "name": name})

    def campaigns_prioritise(self, ref: str, *, rank: int, reason: Optional[str] = None) -> Record:
        """Change the rank; it reaches what is queued already (J14)."""
        return self._say("POST", ["campaigns", *ref.split("/"), "prioritise"], {}, {"reason": reason, "rank": rank})

    def campaigns_process_again(self, ref: str, *, stage: str, reason: Optional[str] = None,
            same_input: Optional[bool] = None) -> Record:
        """Open another pass of a stage and of all that it feeds."""
        return self._say("POST", ["campaigns", *ref.split("/"), "process_again"], {}, {"reason": reason,
            "stage": stage, "same_input": same_input})

    def campaigns_recover(self, ref: str, *, reason: Optional[str] = None, kind: Optional[str] = None,
            plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Have a plan done, exactly as it was read: named by its hash, it is refused if things are different now."""
        return self._create(["campaigns", *ref.split("/"), "recover"], {}, {"reason": reason, "kind": kind,
            "plan": plan}, key)

    def campaigns_recovery(self, ref: str, *, kind: Optional[str] = None) -> Record:
        """Say what would be run again now and what that costs, by the list or by one `kind`; nothing is written."""
        return self._ask(["campaigns", *ref.split("/"), "recovery"], {"kind": kind})

    def campaigns_relaunch(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Launch everything again that its failed batches miss."""
        return self._say("POST", ["campaigns", *ref.split("/"), "relaunch"], {}, {"reason": reason})

    def campaigns_release(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Release every hold on the campaign itself."""
        return self._say("POST", ["campaigns", *ref.split("/"), "release"], {}, {"reason": reason})

    def campaigns_revisions(self, ref: str) -> Record:
        """Return the revisions, the newest first."""
        return self._ask(["campaigns", *ref.split("/"), "revisions"], {})

    def campaigns_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["campaigns", *ref.split("/")], {})

    def campaigns_sign_off(self, ref: str, *, stage: str, verdict: str, reason: Optional[str] = None) -> Record:
        """Say that a stage's outputs are good, or are not: one that waits for that, or an approval stage."""
        return self._say("POST", ["campaigns", *ref.split("/"), "sign_off"], {}, {"reason": reason, "stage": stage,
            "verdict": verdict})

    def campaigns_tag(self, ref: str, *, tags: Sequence[str], reason: Optional[str] = None) -> Record:
        """Put tags on it."""
        return self._say("POST", ["campaigns", *ref.split("/"), "tag"], {}, {"reason": reason, "tags": tags})

    def campaigns_template(self, ref: str, *, name: str, reason: Optional[str] = None, title: Optional[str] = None,
            about: Optional[str] = None, parameters: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Make a template of its newest definition."""
        return self._create(["campaigns", *ref.split("/"), "template"], {}, {"reason": reason, "name": name,
            "title": title, "about": about, "parameters": parameters}, key)

    def campaigns_text(self, ref: str) -> str:
        """Return the canonical definition text."""
        return self._text(["campaigns", *ref.split("/"), "text"], {})

    def campaigns_unarchive(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Put it back into the lists."""
        return self._say("POST", ["campaigns", *ref.split("/"), "unarchive"], {}, {"reason": reason})

    def campaigns_unboost(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take its boost back before it ends."""
        return self._say("POST", ["campaigns", *ref.split("/"), "unboost"], {}, {"reason": reason})

    def campaigns_untag(self, ref: str, *, tags: Sequence[str], reason: Optional[str] = None) -> Record:
        """Take tags off it."""
        return self._say("POST", ["campaigns", *ref.split("/"), "untag"], {}, {"reason": reason, "tags": tags})

    def campaigns_unwatch(self, ref: str) -> Record:
        """Follow it no longer."""
        return self._say("POST", ["campaigns", *ref.split("/"), "unwatch"], {}, {})

    def campaigns_verdict(self, ref: str, *, verdict: str, reason: Optional[str] = None) -> Record:
        """Say what its results are."""
        return self._say("POST", ["campaigns", *ref.split("/"), "verdict"], {}, {"reason": reason, "verdict": verdict})

    def campaigns_verdicts(self, ref: str) -> Record:
        """Return all verdicts on it, the one that stands first."""
        return self._ask(["campaigns", *ref.split("/"), "verdicts"], {})

    def campaigns_watch(self, ref: str) -> Record:
        """Follow it."""
        return self._say("POST", ["campaigns", *ref.split("/"), "watch"], {}, {})

    def campaigns_why(self, ref: str) -> Record:
        """Say everything that is in its way, as the launcher sees it."""
        return self._ask(["campaigns", *ref.split("/"), "why"], {})

    def commands_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["commands", *ref.split("/"), "history"], {"limit": limit})

    def commands_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None,
            state: Optional[str] = None, submission: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["commands"], {"experiment": experiment, "limit": limit, "state": state,
            "submission": submission})

    def commands_outcomes(self, ref: str, *, length: Optional[int] = None, offset: Optional[int] = None,
            outcome: Optional[str] = None) -> Record:
        """Return a piece of the jobs with what came of each; `outcome` narrows to one word."""
        return self._ask(["commands", *ref.split("/"), "outcomes"], {"length": length, "offset": offset,
            "outcome": outcome})

    def commands_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["commands", *ref.split("/")], {})

    def credentials_change(self, ref: str, name: str, *, reason: Optional[str] = None, path: Optional[str] = None,
            settings: Optional[Mapping[str, Any]] = None, renewal: Optional[Sequence[str]] = None,
            renewal_seconds: Optional[int] = None, renewers: Optional[str] = None, needs_seconds: Optional[int] = None,
            renew_seconds: Optional[int] = None, active: Optional[bool] = None, seen: Optional[str] = None) -> Record:
        """Change what is given; `active` false puts it away, and launches go without it."""
        return self._say("PATCH", ["credentials", *ref.split("/"), name], {}, {"reason": reason, "path": path,
            "settings": settings, "renewal": renewal, "renewal_seconds": renewal_seconds, "renewers": renewers,
            "needs_seconds": needs_seconds, "renew_seconds": renew_seconds, "active": active, "seen": seen})

    def credentials_check(self, ref: str, name: str) -> Record:
        """Have it asked now how long it lives; `seen` moves on when it has answered."""
        return self._say("POST", ["credentials", *ref.split("/"), name, "check"], {}, {})

    def credentials_create(self, *, path: str, experiment: str, name: str, kind: str, reason: Optional[str] = None,
            settings: Optional[Mapping[str, Any]] = None, renewal: Optional[Sequence[str]] = None,
            renewal_seconds: Optional[int] = None, renewers: Optional[str] = None, needs_seconds: Optional[int] = None,
            renew_seconds: Optional[int] = None, role: Optional[str] = None, launcher: Optional[Any] = None,
            host: Optional[str] = None, account: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Enter one; what could not work is refused, all of it at once."""
        return self._create(["credentials"], {}, {"reason": reason, "path": path, "settings": settings,
            "renewal": renewal, "renewal_seconds": renewal_seconds, "renewers": renewers,
            "needs_seconds": needs_seconds, "renew_seconds": renew_seconds, "experiment": experiment, "name": name,
            "kind": kind, "role": role, "launcher": launcher, "host": host, "account": account}, key)

    def credentials_history(self, ref: str, name: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return what was done to it and what happened to it, newest first."""
        return self._list(["credentials", *ref.split("/"), name, "history"], {"limit": limit})

    def credentials_list(self, *, experiment: Optional[str] = None, kind: Optional[str] = None,
            limit: Optional[int] = None, role: Optional[str] = None, state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["credentials"], {"experiment": experiment, "kind": kind, "limit": limit, "role": role,
            "state": state})

    def credentials_renew(self, ref: str, name: str, *, reason: Optional[str] = None) -> Record:
        """Have it renewed now by its command; the history says what became of it."""
        return self._say("POST", ["credentials", *ref.split("/"), name, "renew"], {}, {"reason": reason})

    def credentials_show(self, ref: str, name: str) -> Record:
        """Return one of them."""
        return self._ask(["credentials", *ref.split("/"), name], {})

    def data_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None, name: Optional[str] = None,
            name_has: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["data"], {"experiment": experiment, "limit": limit, "name": name, "name_has": name_has})

    def data_query(self, *, catalogue: Optional[str] = None, dimensions: Optional[str] = None,
            experiment: Optional[str] = None, limit: Optional[int] = None) -> Record:
        """Say how many files a query in the catalogue's language finds now, and which come first."""
        return self._ask(["data", "query"], {"catalogue": catalogue, "dimensions": dimensions,
            "experiment": experiment, "limit": limit})

    def data_read(self, *, experiment: Optional[str] = None) -> Record:
        """Return the datasets that definitions name, those of the latest campaigns first; at most 500."""
        return self._ask(["data", "read"], {"experiment": experiment})

    def data_show(self, *, catalogue: Optional[str] = None, experiment: Optional[str] = None,
            name: Optional[str] = None) -> Record:
        """Say of one dataset of a catalogue how large it is now, where its files are, and which campaigns read it."""
        return self._ask(["data", "show"], {"catalogue": catalogue, "experiment": experiment, "name": name})

    def events_list(self, *, after: Optional[str] = None, experiment: Optional[str] = None) -> Record:
        """Return the transitions after a cursor, and the next cursor."""
        return self._ask(["events"], {"after": after, "experiment": experiment})

    def exclusions_create(self, *, experiment: str, system: str, name: str, reason: Optional[str] = None,
            level: Optional[str] = None, hours: Optional[float] = None, key: Optional[str] = None) -> Record:
        """Keep new submissions of an experiment from a node or site."""
        return self._create(["exclusions"], {}, {"reason": reason, "experiment": experiment, "system": system,
            "level": level, "name": name, "hours": hours}, key)

    def exclusions_exclude(self, ref: str, *, reason: Optional[str] = None, hours: Optional[float] = None) -> Record:
        """Exclude what the guard only watches."""
        return self._say("POST", ["exclusions", *ref.split("/"), "exclude"], {}, {"reason": reason, "hours": hours})

    def exclusions_extend(self, ref: str, *, reason: Optional[str] = None, hours: Optional[float] = None) -> Record:
        """Exclude it for so many hours from now on."""
        return self._say("POST", ["exclusions", *ref.split("/"), "extend"], {}, {"reason": reason, "hours": hours})

    def exclusions_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["exclusions", *ref.split("/"), "history"], {"limit": limit})

    def exclusions_list(self, *, experiment: Optional[str] = None, level: Optional[str] = None,
            limit: Optional[int] = None, name: Optional[str] = None, standing: Optional[str] = None,
            state: Optional[str] = None, system: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["exclusions"], {"experiment": experiment, "level": level, "limit": limit, "name": name,
            "standing": standing, "state": state, "system": system})

    def exclusions_release(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Undo it for its experiment: new submissions may run there again."""
        return self._say("POST", ["exclusions", *ref.split("/"), "release"], {}, {"reason": reason})

    def exclusions_show(self, ref: str) -> Record:
        """Return one, with jobs that failed so."""
        return self._ask(["exclusions", *ref.split("/")], {})

    def experiments_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["experiments"], {"experiment": experiment, "limit": limit})

    def failures_fix(self, ref: str, *, fix: str, reason: Optional[str] = None) -> Record:
        """Say what helps."""
        return self._say("POST", ["failures", *ref.split("/"), "fix"], {}, {"reason": reason, "fix": fix})

    def failures_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what was done about it, newest first."""
        return self._list(["failures", *ref.split("/"), "history"], {"limit": limit})

    def failures_link(self, ref: str, *, link: str, reason: Optional[str] = None) -> Record:
        """Keep the address of a ticket that was opened elsewhere."""
        return self._say("POST", ["failures", *ref.split("/"), "link"], {}, {"reason": reason, "link": link})

    def failures_list(self, *, campaign: Optional[str] = None, cause: Optional[str] = None,
            experiment: Optional[str] = None, fix: Optional[str] = None, limit: Optional[int] = None,
            owner: Optional[str] = None, release: Optional[str] = None, site: Optional[str] = None,
            text: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["failures"], {"campaign": campaign, "cause": cause, "experiment": experiment, "fix": fix,
            "limit": limit, "owner": owner, "release": release, "site": site, "text": text})

    def failures_logbook(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Write the reason into the experiment's logbook, with the figures of the failure."""
        return self._say("POST", ["failures", *ref.split("/"), "logbook"], {}, {"reason": reason})

    def failures_route(self, ref: str, *, owner: str, reason: Optional[str] = None) -> Record:
        """Say whose it is."""
        return self._say("POST", ["failures", *ref.split("/"), "route"], {}, {"reason": reason, "owner": owner})

    def failures_show(self, ref: str) -> Record:
        """Return one failure with where it was seen, its latest jobs, and its ticket."""
        return self._ask(["failures", *ref.split("/")], {})

    def failures_ticket(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Open a ticket in the experiment's service desk, once."""
        return self._say("POST", ["failures", *ref.split("/"), "ticket"], {}, {"reason": reason})

    def files_declare(self, *, experiment: str, files: Sequence[Mapping[str, Any]],
            catalogue: Optional[str] = None) -> Record:
        """Enter files into a catalogue; the same file again changes nothing, so that whoever got no answer asks again.
        No `once` here: it would keep a transaction open while an outside catalogue is asked."""
        return self._say("POST", ["files", "declare"], {}, {"experiment": experiment, "catalogue": catalogue,
            "files": files})

    def files_list(self, *, campaign: Optional[str] = None, dataset: Optional[str] = None,
            experiment: Optional[str] = None, limit: Optional[int] = None, name: Optional[str] = None,
            name_has: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["files"], {"campaign": campaign, "dataset": dataset, "experiment": experiment,
            "limit": limit, "name": name, "name_has": name_has})

    def files_story(self, *, experiment: Optional[str] = None, name: Optional[str] = None) -> Record:
        """Say what made a file, and what was made of it: stages, batches, submissions, outputs."""
        return self._ask(["files", "story"], {"experiment": experiment, "name": name})

    def guards_change(self, name: str, *, reason: Optional[str] = None, mode: Optional[str] = None,
            cap: Optional[int] = None, hours: Optional[float] = None, seen: Optional[str] = None) -> Record:
        """Let it act or only observe, exclude more or less, for longer or shorter."""
        return self._say("PATCH", ["guards", name], {}, {"reason": reason, "mode": mode, "cap": cap, "hours": hours,
            "seen": seen})

    def guards_list(self, *, system: Optional[str] = None) -> Record:
        """Return them; there are few, so there is one page."""
        return self._ask(["guards"], {"system": system})

    def holds_create(self, *, scope: str, reason: Optional[str] = None, experiment: Optional[str] = None,
            of: Optional[str] = None, until: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold something until it is released, or until a time."""
        return self._create(["holds"], {}, {"reason": reason, "scope": scope, "experiment": experiment, "of": of,
            "until": until}, key)

    def holds_list(self, *, actor: Optional[str] = None, experiment: Optional[str] = None, limit: Optional[int] = None,
            scope: Optional[str] = None, standing: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["holds"], {"actor": actor, "experiment": experiment, "limit": limit, "scope": scope,
            "standing": standing})

    def holds_release(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Open the gate again."""
        return self._say("POST", ["holds", *ref.split("/"), "release"], {}, {"reason": reason})

    def holds_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["holds", *ref.split("/")], {})

    def jobs_compare(self, ref: str, *, stream: Optional[str] = None, with_: Optional[str] = None) -> Record:
        """Return what differs from another job, by default the nearest one of its stage that succeeded."""
        return self._ask(["jobs", *ref.split("/"), "compare"], {"stream": stream, "with": with_})

    def jobs_export(self, *, after: Optional[str] = None, archived: Optional[str] = None, batch: Optional[str] = None,
            campaign: Optional[str] = None, code: Optional[str] = None, efficiency_below: Optional[str] = None,
            ended_after: Optional[str] = None, ended_before: Optional[str] = None, exit_code: Optional[str] = None,
            experiment: Optional[str] = None, longer_than: Optional[str] = None, memory_over: Optional[str] = None,
            node: Optional[str] = None, site: Optional[str] = None, stage: Optional[str] = None,
            started_after: Optional[str] = None, started_before: Optional[str] = None, state: Optional[str] = None,
            submission: Optional[str] = None, to: Optional[str] = None, wall_over: Optional[str] = None,
            wall_under: Optional[str] = None) -> bytes:
        """Return the list as a file; `to` is csv or parquet, `after` the row behind which it begins."""
        return self._bytes(["jobs", "export"], {"after": after, "archived": archived, "batch": batch,
            "campaign": campaign, "code": code, "efficiency_below": efficiency_below, "ended_after": ended_after,
            "ended_before": ended_before, "exit_code": exit_code, "experiment": experiment, "longer_than": longer_than,
            "memory_over": memory_over, "node": node, "site": site, "stage": stage, "started_after": started_after,
            "started_before": started_before, "state": state, "submission": submission, "to": to,
            "wall_over": wall_over, "wall_under": wall_under})

    def jobs_history(self, ref: str) -> Record:
        """Return the job's transitions; an archived one has them with it."""
        return self._ask(["jobs", *ref.split("/"), "history"], {})

    def jobs_hold(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Hold the job."""
        return self._say("POST", ["jobs", *ref.split("/"), "hold"], {}, {"reason": reason})

    def jobs_kill(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Remove the job."""
        return self._say("POST", ["jobs", *ref.split("/"), "kill"], {}, {"reason": reason})

    def jobs_life(self, ref: str) -> Record:
        """Return how long it was in each state, what it used, and how the services were meanwhile (D1, M10)."""
        return self._ask(["jobs", *ref.split("/"), "life"], {})

    def jobs_list(self, *, archived: Optional[str] = None, batch: Optional[str] = None, campaign: Optional[str] = None,
            code: Optional[str] = None, efficiency_below: Optional[str] = None, ended_after: Optional[str] = None,
            ended_before: Optional[str] = None, exit_code: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, longer_than: Optional[str] = None, memory_over: Optional[str] = None,
            node: Optional[str] = None, site: Optional[str] = None, stage: Optional[str] = None,
            started_after: Optional[str] = None, started_before: Optional[str] = None, state: Optional[str] = None,
            submission: Optional[str] = None, wall_over: Optional[str] = None,
            wall_under: Optional[str] = None) -> Iterator[Record]:
        """Return a page of those that fit. One page looks through about queries.LOOKED_THROUGH jobs, so that what is
        rare costs no walk through years; it may be short, and `next` goes on below."""
        return self._list(["jobs"], {"archived": archived, "batch": batch, "campaign": campaign, "code": code,
            "efficiency_below": efficiency_below, "ended_after": ended_after, "ended_before": ended_before,
            "exit_code": exit_code, "experiment": experiment, "limit": limit, "longer_than": longer_than,
            "memory_over": memory_over, "node": node, "site": site, "stage": stage, "started_after": started_after,
            "started_before": started_before, "state": state, "submission": submission, "wall_over": wall_over,
            "wall_under": wall_under})

    def jobs_log(self, ref: str, *, length: Optional[int] = None, offset: Optional[int] = None,
            stream: Optional[str] = None) -> Record:
        """Return a piece of the job's standard output or error."""
        return self._ask(["jobs", *ref.split("/"), "log"], {"length": length, "offset": offset, "stream": stream})

    def jobs_over_time(self, *, experiment: Optional[str] = None, span: Optional[str] = None) -> Record:
        """Return the last sample in each step of a span that ends now."""
        return self._ask(["jobs", "over-time"], {"experiment": experiment, "span": span})

    def jobs_records(self, ref: str) -> Record:
        """Ask the catalogue what became of each of its inputs (D1)."""
        return self._ask(["jobs", *ref.split("/"), "records"], {})

    def jobs_release(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Release the job."""
        return self._say("POST", ["jobs", *ref.split("/"), "release"], {}, {"reason": reason})

    def jobs_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["jobs", *ref.split("/")], {})

    def jobs_why(self, ref: str) -> Record:
        """Say what its batch system says of it."""
        return self._ask(["jobs", *ref.split("/"), "why"], {})

    def jobtypes_change(self, ref: str, name: str, *, reason: Optional[str] = None, seen: Optional[str] = None,
            experiment: Optional[str] = None, new_name: Optional[str] = None, launch_script: Optional[str] = None,
            parameters: Optional[Sequence[Sequence[str]]] = None, output_file_patterns: Optional[str] = None,
            active: Optional[bool] = None) -> Record:
        """Change what is given; the next version. Campaigns that were proposed have copies and stay as they are."""
        return self._say("PATCH", ["jobtypes", *ref.split("/"), name], {}, {"reason": reason, "seen": seen,
            "experiment": experiment, "name": new_name, "launch_script": launch_script, "parameters": parameters,
            "output_file_patterns": output_file_patterns, "active": active})

    def jobtypes_create(self, *, experiment: str, name: str, launch_script: str,
            parameters: Optional[Sequence[Sequence[str]]] = None, output_file_patterns: Optional[str] = None,
            key: Optional[str] = None) -> Record:
        """Make one; a name that is taken is refused, for campaigns may count on it."""
        return self._create(["jobtypes"], {}, {"experiment": experiment, "name": name, "launch_script": launch_script,
            "parameters": parameters, "output_file_patterns": output_file_patterns}, key)

    def jobtypes_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["jobtypes"], {"experiment": experiment, "limit": limit})

    def jobtypes_restore(self, ref: str, name: str, *, version: int, reason: Optional[str] = None) -> Record:
        """Let it say again what it said in a version."""
        return self._say("POST", ["jobtypes", *ref.split("/"), name, "restore"], {}, {"reason": reason,
            "version": version})

    def jobtypes_show(self, ref: str, name: str) -> Record:
        """Return one of them."""
        return self._ask(["jobtypes", *ref.split("/"), name], {})

    def jobtypes_versions(self, ref: str, name: str) -> Record:
        """Return what it said from edit to edit, the newest first."""
        return self._ask(["jobtypes", *ref.split("/"), name, "versions"], {})

    def launch_hosts_change(self, ref: str, name: str, *, experiment: Optional[str] = None,
            new_name: Optional[str] = None, account: Optional[str] = None, reason: Optional[str] = None,
            address: Optional[str] = None, port: Optional[int] = None, home: Optional[str] = None,
            python: Optional[str] = None, credential: Optional[str] = None, known_hosts: Optional[str] = None,
            for_analysis: Optional[bool] = None, most_at_once: Optional[int] = None, seen: Optional[str] = None,
            active: Optional[bool] = None) -> Record:
        """Change what is given."""
        return self._say("PATCH", ["launch-hosts", *ref.split("/"), name], {}, {"experiment": experiment,
            "name": new_name, "account": account, "reason": reason, "address": address, "port": port, "home": home,
            "python": python, "credential": credential, "known_hosts": known_hosts, "for_analysis": for_analysis,
            "most_at_once": most_at_once, "seen": seen, "active": active})

    def launch_hosts_create(self, *, experiment: str, name: str, account: str, home: str, known_hosts: str,
            reason: Optional[str] = None, address: Optional[str] = None, port: Optional[int] = None,
            python: Optional[str] = None, credential: Optional[str] = None, for_analysis: Optional[bool] = None,
            most_at_once: Optional[int] = None, key: Optional[str] = None) -> Record:
        """Enter one; without an address it is reached by its name."""
        return self._create(["launch-hosts"], {}, {"experiment": experiment, "name": name, "account": account,
            "reason": reason, "address": address, "port": port, "home": home, "python": python,
            "credential": credential, "known_hosts": known_hosts, "for_analysis": for_analysis,
            "most_at_once": most_at_once}, key)

    def launch_hosts_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["launch-hosts"], {"experiment": experiment, "limit": limit})

    def launch_hosts_put_away(self, ref: str, name: str, *, reason: Optional[str] = None) -> Record:
        """Take one away: no launch goes there any longer."""
        return self._say("POST", ["launch-hosts", *ref.split("/"), name, "put_away"], {}, {"reason": reason})

    def launch_hosts_show(self, ref: str, name: str) -> Record:
        """Return one of them."""
        return self._ask(["launch-hosts", *ref.split("/"), name], {})

    def launch_hosts_try(self, ref: str, name: str) -> Record:
        """Make one call, and say what came of it."""
        return self._say("POST", ["launch-hosts", *ref.split("/"), name, "try"], {}, {})

    def limits_create(self, *, kind: str, most: int, experiment: str, reason: Optional[str] = None,
            system: Optional[str] = None, host: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Set a limit of an experiment, or of a batch system for `all`."""
        return self._create(["limits"], {}, {"reason": reason, "kind": kind, "most": most, "experiment": experiment,
            "system": system, "host": host}, key)

    def limits_list(self, *, experiment: Optional[str] = None, kind: Optional[str] = None, limit: Optional[int] = None,
            system: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["limits"], {"experiment": experiment, "kind": kind, "limit": limit, "system": system})

    def limits_remove(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take it back."""
        return self._say("POST", ["limits", *ref.split("/"), "remove"], {}, {"reason": reason})

    def limits_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["limits", *ref.split("/")], {})

    def loops_list(self) -> Record:
        """Return them, and how many bells hang that no worker has answered."""
        return self._ask(["loops"], {})

    def me(self) -> Record:
        """Return name, roles and experiments."""
        return self._ask(["me"], {})

    def notices_choices(self) -> Record:
        """Return how one is told, of each kind."""
        return self._ask(["notices", "choices"], {})

    def notices_choices_set(self, *, kinds: Optional[Mapping[str, Any]] = None, digest_hour: Optional[int] = None,
            zone: Optional[str] = None, webhook: Optional[str] = None) -> Record:
        """Change how one is told."""
        return self._set(["notices", "choices"], {"kinds": kinds, "digest_hour": digest_hour, "zone": zone,
            "webhook": webhook})

    def notices_list(self, *, experiment: Optional[str] = None, kind: Optional[str] = None,
            limit: Optional[int] = None, unread: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["notices"], {"experiment": experiment, "kind": kind, "limit": limit, "unread": unread})

    def notices_read(self, *, ids: Optional[Sequence[int]] = None) -> Record:
        """Mark notices as read."""
        return self._say("POST", ["notices", "read"], {}, {"ids": ids})

    def notices_test(self) -> Record:
        """Send a test notice to oneself, on every channel that one has."""
        return self._say("POST", ["notices", "test"], {}, {})

    def outbox_again(self, *, experiment: str) -> Record:
        """Have what did not get there tried anew."""
        return self._say("POST", ["outbox", "again"], {}, {"experiment": experiment})

    def outbox_desk_set(self, *, experiment: str, url: str, reason: Optional[str] = None,
            credential: Optional[str] = None, group: Optional[str] = None) -> Record:
        """Set where tickets of an experiment are opened."""
        return self._set(["outbox", "desk"], {"reason": reason, "experiment": experiment, "url": url,
            "credential": credential, "group": group})

    def outbox_list(self, *, experiment: Optional[str] = None) -> Record:
        """Return webhook, service desk and logbook of an experiment, and how many messages did not get there."""
        return self._ask(["outbox"], {"experiment": experiment})

    def outbox_logbook_set(self, *, experiment: str, url: str, reason: Optional[str] = None,
            credential: Optional[str] = None, category: Optional[str] = None) -> Record:
        """Set where entries of an experiment are written."""
        return self._set(["outbox", "logbook"], {"reason": reason, "experiment": experiment, "url": url,
            "credential": credential, "category": category})

    def outbox_webhook_set(self, *, experiment: str, url: str, reason: Optional[str] = None) -> Record:
        """Set where notices of an experiment are posted."""
        return self._set(["outbox", "webhook"], {"reason": reason, "experiment": experiment, "url": url})

    def outcomes_list(self, *, limit: Optional[int] = None, selection: Optional[str] = None) -> Iterator[Record]:
        """Return the commands of one verb on a selection, with how many jobs came to what."""
        return self._list(["outcomes"], {"limit": limit, "selection": selection})

    def overview(self) -> Record:
        """Return each experiment's campaigns by state, with the progress of those that run."""
        return self._ask(["overview"], {})

    def queue_list(self, *, experiment: Optional[str] = None) -> Record:
        """Return what waits and runs in its order, with what is expected; there is one page."""
        return self._ask(["queue"], {"experiment": experiment})

    def queue_order(self, *, experiment: str, ranks: Optional[Mapping[str, Any]] = None,
            order: Optional[Sequence[str]] = None, reason: Optional[str] = None, read: Optional[Mapping[str,
            Any]] = None) -> Record:
        """Give campaigns other ranks, all or none, with one reason."""
        return self._say("POST", ["queue", "order"], {}, {"experiment": experiment, "ranks": ranks, "order": order,
            "reason": reason, "read": read})

    def queue_preview(self, *, experiment: str, ranks: Optional[Mapping[str, Any]] = None,
            order: Optional[Sequence[str]] = None) -> Record:
        """Return what would come of other ranks, or of an order; nothing is changed."""
        return self._say("POST", ["queue", "preview"], {}, {"experiment": experiment, "ranks": ranks, "order": order})

    def reports_create(self, *, uuid: Optional[str] = None, job: Optional[str] = None, state: Optional[str] = None,
            starts: Optional[int] = None, at: Optional[float] = None, index: Optional[int] = None,
            node: Optional[str] = None, site: Optional[str] = None, slot_type: Optional[str] = None,
            exit_code: Optional[int] = None, signal: Optional[int] = None, code: Optional[str] = None,
            reason: Optional[str] = None, memory_mb: Optional[float] = None, cpu_s: Optional[float] = None,
            wall_s: Optional[float] = None, cpus: Optional[int] = None,
            reports: Optional[Sequence[Any]] = None) -> Record:
        """Put a report, or many, into the inbox; they may come twice, late or out of order."""
        return self._say("POST", ["reports"], {}, {"uuid": uuid, "job": job, "state": state, "starts": starts,
            "at": at, "index": index, "node": node, "site": site, "slot_type": slot_type, "exit_code": exit_code,
            "signal": signal, "code": code, "reason": reason, "memory_mb": memory_mb, "cpu_s": cpu_s, "wall_s": wall_s,
            "cpus": cpus, "reports": reports})

    def reports_list(self, *, experiment: Optional[str] = None, on: Optional[str] = None,
            period: Optional[str] = None) -> Record:
        """Return the report: one result for each experiment, and beside them what is of all together."""
        return self._ask(["reports"], {"experiment": experiment, "on": on, "period": period})

    def reproductions_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["reproductions", *ref.split("/"), "history"], {"limit": limit})

    def reproductions_list(self, *, batch: Optional[str] = None, campaign: Optional[str] = None,
            experiment: Optional[str] = None, limit: Optional[int] = None,
            state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["reproductions"], {"batch": batch, "campaign": campaign, "experiment": experiment,
            "limit": limit, "state": state})

    def reproductions_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["reproductions", *ref.split("/")], {})

    def reproductions_sign_off(self, ref: str, *, passed: bool, reason: Optional[str] = None) -> Record:
        """Say that it convinces, or that it does not."""
        return self._say("POST", ["reproductions", *ref.split("/"), "sign_off"], {}, {"reason": reason,
            "passed": passed})

    def requests_approve(self, ref: str, *, reason: Optional[str] = None, revision: Optional[str] = None) -> Record:
        """Approve the revision that the request proposes."""
        return self._say("POST", ["requests", *ref.split("/"), "approve"], {}, {"reason": reason, "revision": revision})

    def requests_attach(self, ref: str, *, name: str, content: str) -> Record:
        """Hang a file on the request."""
        return self._say("POST", ["requests", *ref.split("/"), "attach"], {}, {"name": name, "content": content})

    def requests_attachments(self, ref: str) -> Record:
        """Return what hangs on the request."""
        return self._ask(["requests", *ref.split("/"), "attachments"], {})

    def requests_change(self, ref: str, *, experiment: Optional[str] = None, title: Optional[str] = None,
            group: Optional[str] = None, production_stage: Optional[str] = None, definition: Optional[str] = None,
            dataset: Optional[str] = None, files: Optional[Sequence[str]] = None, query: Optional[str] = None,
            events: Optional[int] = None, repository: Optional[str] = None, release: Optional[str] = None,
            configuration: Optional[str] = None, scripts: Optional[Sequence[str]] = None,
            priority: Optional[int] = None, hours_per_file: Optional[float] = None, memory_mb: Optional[int] = None,
            outputs: Optional[str] = None, special: Optional[str] = None, details: Optional[Mapping[str, Any]] = None,
            free_text: Optional[str] = None, keep_up: Optional[bool] = None) -> Record:
        """Change a draft or a returned request."""
        return self._say("PATCH", ["requests", *ref.split("/")], {}, {"experiment": experiment, "title": title,
            "group": group, "production_stage": production_stage, "definition": definition, "dataset": dataset,
            "files": files, "query": query, "events": events, "repository": repository, "release": release,
            "configuration": configuration, "scripts": scripts, "priority": priority, "hours_per_file": hours_per_file,
            "memory_mb": memory_mb, "outputs": outputs, "special": special, "details": details, "free_text": free_text,
            "keep_up": keep_up})

    def requests_check(self, ref: str) -> Record:
        """Run the check report."""
        return self._say("POST", ["requests", *ref.split("/"), "check"], {}, {})

    def requests_clone(self, ref: str, *, title: Optional[str] = None, group: Optional[str] = None,
            production_stage: Optional[str] = None, definition: Optional[str] = None, dataset: Optional[str] = None,
            files: Optional[Sequence[str]] = None, query: Optional[str] = None, events: Optional[int] = None,
            repository: Optional[str] = None, release: Optional[str] = None, configuration: Optional[str] = None,
            scripts: Optional[Sequence[str]] = None, priority: Optional[int] = None,
            hours_per_file: Optional[float] = None, memory_mb: Optional[int] = None, outputs: Optional[str] = None,
            special: Optional[str] = None, details: Optional[Mapping[str, Any]] = None,
            free_text: Optional[str] = None, keep_up: Optional[bool] = None, reason: Optional[str] = None,
            key: Optional[str] = None) -> Record:
        """Make a draft like this request."""
        return self._create(["requests", *ref.split("/"), "clone"], {}, {"title": title, "group": group,
            "production_stage": production_stage, "definition": definition, "dataset": dataset, "files": files,
            "query": query, "events": events, "repository": repository, "release": release,
            "configuration": configuration, "scripts": scripts, "priority": priority, "hours_per_file": hours_per_file,
            "memory_mb": memory_mb, "outputs": outputs, "special": special, "details": details, "free_text": free_text,
            "keep_up": keep_up, "reason": reason}, key)

    def requests_comment(self, ref: str, *, text: str, key: Optional[str] = None) -> Record:
        """Add to the discussion."""
        return self._create(["requests", *ref.split("/"), "comment"], {}, {"text": text}, key)

    def requests_comments(self, ref: str) -> Record:
        """Return the discussion, from its beginning."""
        return self._ask(["requests", *ref.split("/"), "comments"], {})

    def requests_confirm(self, ref: str, *, reason: Optional[str] = None, revision: Optional[str] = None,
            ticked: Optional[Sequence[str]] = None) -> Record:
        """Confirm the check report and tick off special requirements."""
        return self._say("POST", ["requests", *ref.split("/"), "confirm"], {}, {"reason": reason, "revision": revision,
            "ticked": ticked})

    def requests_cost(self, ref: str) -> Record:
        """Return what the request will cost, as far as that can be known."""
        return self._ask(["requests", *ref.split("/"), "cost"], {})

    def requests_create(self, *, experiment: str, title: str, group: Optional[str] = None,
            production_stage: Optional[str] = None, definition: Optional[str] = None, dataset: Optional[str] = None,
            files: Optional[Sequence[str]] = None, query: Optional[str] = None, events: Optional[int] = None,
            repository: Optional[str] = None, release: Optional[str] = None, configuration: Optional[str] = None,
            scripts: Optional[Sequence[str]] = None, priority: Optional[int] = None,
            hours_per_file: Optional[float] = None, memory_mb: Optional[int] = None, outputs: Optional[str] = None,
            special: Optional[str] = None, details: Optional[Mapping[str, Any]] = None,
            free_text: Optional[str] = None, keep_up: Optional[bool] = None, template: Optional[str] = None,
            parameters: Optional[Mapping[str, Any]] = None, key: Optional[str] = None) -> Record:
        """Make a draft; one that names a template needs no definition of its own."""
        return self._create(["requests"], {}, {"experiment": experiment, "title": title, "group": group,
            "production_stage": production_stage, "definition": definition, "dataset": dataset, "files": files,
            "query": query, "events": events, "repository": repository, "release": release,
            "configuration": configuration, "scripts": scripts, "priority": priority, "hours_per_file": hours_per_file,
            "memory_mb": memory_mb, "outputs": outputs, "special": special, "details": details, "free_text": free_text,
            "keep_up": keep_up, "template": template, "parameters": parameters}, key)

    def requests_detach(self, ref: str, *, name: str, reason: Optional[str] = None) -> Record:
        """Take an attachment away."""
        return self._say("POST", ["requests", *ref.split("/"), "detach"], {}, {"name": name, "reason": reason})

    def requests_extend(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Let a keep-up request go on for another week."""
        return self._say("POST", ["requests", *ref.split("/"), "extend"], {}, {"reason": reason})

    def requests_file(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Put the request on the approvers' desk."""
        return self._say("POST", ["requests", *ref.split("/"), "file"], {}, {"reason": reason})

    def requests_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["requests", *ref.split("/"), "history"], {"limit": limit})

    def requests_list(self, *, campaign: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, production_stage: Optional[str] = None, requester: Optional[str] = None,
            state: Optional[str] = None, title_has: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["requests"], {"campaign": campaign, "experiment": experiment, "limit": limit,
            "production_stage": production_stage, "requester": requester, "state": state, "title_has": title_has})

    def requests_merge(self, ref: str, *, with_: Sequence[str], reason: Optional[str] = None,
            revision: Optional[str] = None, title: Optional[str] = None,
            revisions: Optional[Sequence[str]] = None) -> Record:
        """Join requests into one."""
        return self._say("POST", ["requests", *ref.split("/"), "merge"], {}, {"reason": reason, "revision": revision,
            "title": title, "revisions": revisions, "with": with_})

    def requests_partners(self, ref: str) -> Record:
        """Return the requests with which this one could be joined, and what that would save."""
        return self._ask(["requests", *ref.split("/"), "partners"], {})

    def requests_prioritise(self, ref: str, *, priority: int, reason: Optional[str] = None) -> Record:
        """Give the request another priority, and what is queued of it already."""
        return self._say("POST", ["requests", *ref.split("/"), "prioritise"], {}, {"priority": priority,
            "reason": reason})

    def requests_reject(self, ref: str, *, reason: Optional[str] = None, revision: Optional[str] = None) -> Record:
        """Turn the request down."""
        return self._say("POST", ["requests", *ref.split("/"), "reject"], {}, {"reason": reason, "revision": revision})

    def requests_return(self, ref: str, *, reason: Optional[str] = None, revision: Optional[str] = None) -> Record:
        """Return the request for correction."""
        return self._say("POST", ["requests", *ref.split("/"), "return"], {}, {"reason": reason, "revision": revision})

    def requests_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["requests", *ref.split("/")], {})

    def requests_split(self, ref: str, *, first: int, reason: Optional[str] = None,
            revision: Optional[str] = None) -> Record:
        """Part a request in two."""
        return self._say("POST", ["requests", *ref.split("/"), "split"], {}, {"reason": reason, "revision": revision,
            "first": first})

    def requests_test(self, ref: str, *, size: Optional[int] = None, own_account: Optional[bool] = None,
            reason: Optional[str] = None) -> Record:
        """Start a test run."""
        return self._say("POST", ["requests", *ref.split("/"), "test"], {}, {"size": size, "own_account": own_account,
            "reason": reason})

    def requests_untick(self, ref: str, *, ticked: Sequence[str], reason: Optional[str] = None,
            revision: Optional[str] = None) -> Record:
        """Take ticks back."""
        return self._say("POST", ["requests", *ref.split("/"), "untick"], {}, {"reason": reason, "revision": revision,
            "ticked": ticked})

    def requests_unwatch(self, ref: str) -> Record:
        """Follow it no longer."""
        return self._say("POST", ["requests", *ref.split("/"), "unwatch"], {}, {})

    def requests_watch(self, ref: str) -> Record:
        """Follow the request."""
        return self._say("POST", ["requests", *ref.split("/"), "watch"], {}, {})

    def requests_why(self, ref: str) -> Record:
        """Say who is asked, or what its campaign waits for."""
        return self._ask(["requests", *ref.split("/"), "why"], {})

    def requests_withdraw(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take the request back."""
        return self._say("POST", ["requests", *ref.split("/"), "withdraw"], {}, {"reason": reason})

    def restorations_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of them."""
        return self._list(["restorations"], {"experiment": experiment, "limit": limit})

    def reviews_list(self, *, experiment: Optional[str] = None) -> Record:
        """Return it, what holds work up first."""
        return self._ask(["reviews"], {"experiment": experiment})

    def routes_create(self, *, experiment: str, reason: Optional[str] = None, cause: Optional[str] = None,
            pattern: Optional[str] = None, service: Optional[str] = None, place: Optional[int] = None,
            key: Optional[str] = None) -> Record:
        """Set a rule of an experiment, or of `all`."""
        return self._create(["routes"], {}, {"reason": reason, "experiment": experiment, "cause": cause,
            "pattern": pattern, "service": service, "place": place}, key)

    def routes_list(self, *, cause: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, service: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["routes"], {"cause": cause, "experiment": experiment, "limit": limit, "service": service})

    def routes_remove(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take it back."""
        return self._say("POST", ["routes", *ref.split("/"), "remove"], {}, {"reason": reason})

    def routes_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["routes", *ref.split("/")], {})

    def schedules_calendar(self, ref: str, *, from_: Optional[str] = None, to: Optional[str] = None) -> Record:
        """Return the times between `from` and `to`, oldest first: seven days around now; at most 500 on each side."""
        return self._ask(["schedules", *ref.split("/"), "calendar"], {"from": from_, "to": to})

    def schedules_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return what was done to it, newest first."""
        return self._list(["schedules", *ref.split("/"), "history"], {"limit": limit})

    def schedules_list(self, *, campaign: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None, stage: Optional[str] = None, state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of them, of one state if it is asked for."""
        return self._list(["schedules"], {"campaign": campaign, "experiment": experiment, "limit": limit,
            "stage": stage, "state": state})

    def schedules_pause(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Let nothing be looked for until somebody resumes it."""
        return self._say("POST", ["schedules", *ref.split("/"), "pause"], {}, {"reason": reason})

    def schedules_resume(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Let it go on."""
        return self._say("POST", ["schedules", *ref.split("/"), "resume"], {}, {"reason": reason})

    def schedules_run(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Have it look for new files at once."""
        return self._say("POST", ["schedules", *ref.split("/"), "run"], {}, {"reason": reason})

    def schedules_show(self, ref: str) -> Record:
        """Return one schedule with its objective, its backlog and the times around now."""
        return self._ask(["schedules", *ref.split("/")], {})

    def select_batch_hold(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self._create(["batches", "hold"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_batch_kill(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Remove the jobs of what is chosen."""
        return self._create(["batches", "kill"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_batch_launch(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Put what waits to the front of the experiment's queue, and take its holds off."""
        return self._create(["batches", "launch"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_batch_release(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Release what is held."""
        return self._create(["batches", "release"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_batch_retry(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Launch again what the failed batches of what is chosen miss."""
        return self._create(["batches", "retry"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_campaign_hold(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self._create(["campaigns", "hold"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_campaign_kill(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Remove the jobs of what is chosen."""
        return self._create(["campaigns", "kill"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_campaign_launch(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Put what waits to the front of the experiment's queue, and take its holds off."""
        return self._create(["campaigns", "launch"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_campaign_release(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Release what is held."""
        return self._create(["campaigns", "release"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_campaign_retry(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Launch again what the failed batches of what is chosen miss."""
        return self._create(["campaigns", "retry"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_job_hold(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self._create(["jobs", "hold"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_job_kill(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Remove the jobs of what is chosen."""
        return self._create(["jobs", "kill"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_job_release(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Release what is held."""
        return self._create(["jobs", "release"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_job_retry(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Launch again what the failed batches of what is chosen miss."""
        return self._create(["jobs", "retry"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_stage_hold(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self._create(["stages", "hold"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_stage_kill(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Remove the jobs of what is chosen."""
        return self._create(["stages", "kill"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_stage_launch(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Put what waits to the front of the experiment's queue, and take its holds off."""
        return self._create(["stages", "launch"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_stage_release(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Release what is held."""
        return self._create(["stages", "release"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_stage_retry(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Launch again what the failed batches of what is chosen miss."""
        return self._create(["stages", "retry"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_submission_hold(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self._create(["submissions", "hold"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_submission_kill(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Remove the jobs of what is chosen."""
        return self._create(["submissions", "kill"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_submission_launch(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Put what waits to the front of the experiment's queue, and take its holds off."""
        return self._create(["submissions", "launch"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_submission_release(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Release what is held."""
        return self._create(["submissions", "release"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def select_submission_retry(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            refs: Optional[Sequence[str]] = None, filter: Optional[Mapping[str, Any]] = None,
            at_most: Optional[int] = None, plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Launch again what the failed batches of what is chosen miss."""
        return self._create(["submissions", "retry"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "refs": refs, "filter": filter, "at_most": at_most}, key)

    def services_change(self, ref: str, *, reason: Optional[str] = None, title: Optional[str] = None,
            kind: Optional[str] = None, settings: Optional[Mapping[str, Any]] = None, gates: Optional[str] = None,
            gated: Optional[str] = None, every_s: Optional[int] = None, downs: Optional[int] = None,
            ups: Optional[int] = None, active: Optional[bool] = None, providers: Optional[Sequence[str]] = None,
            seen: Optional[str] = None) -> Record:
        """Change what is looked at, how often, what it gates, and who provides it."""
        return self._say("PATCH", ["services", *ref.split("/")], {}, {"reason": reason, "title": title, "kind": kind,
            "settings": settings, "gates": gates, "gated": gated, "every_s": every_s, "downs": downs, "ups": ups,
            "active": active, "providers": providers, "seen": seen})

    def services_check(self, ref: str) -> Record:
        """Look at it now."""
        return self._say("POST", ["services", *ref.split("/"), "check"], {}, {})

    def services_create(self, *, kind: str, experiment: str, name: str, reason: Optional[str] = None,
            title: Optional[str] = None, settings: Optional[Mapping[str, Any]] = None, gates: Optional[str] = None,
            gated: Optional[str] = None, every_s: Optional[int] = None, downs: Optional[int] = None,
            ups: Optional[int] = None, active: Optional[bool] = None, key: Optional[str] = None) -> Record:
        """Enter a service of an experiment, or of `all`."""
        return self._create(["services"], {}, {"reason": reason, "title": title, "kind": kind, "settings": settings,
            "gates": gates, "gated": gated, "every_s": every_s, "downs": downs, "ups": ups, "active": active,
            "experiment": experiment, "name": name}, key)

    def services_downtime(self, ref: str, *, until: str, reason: Optional[str] = None,
            begins: Optional[str] = None) -> Record:
        """Say that it is down by plan for a while."""
        return self._say("POST", ["services", *ref.split("/"), "downtime"], {}, {"reason": reason, "begins": begins,
            "until": until})

    def services_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["services", *ref.split("/"), "history"], {"limit": limit})

    def services_list(self, *, experiment: Optional[str] = None, kind: Optional[str] = None,
            limit: Optional[int] = None, name: Optional[str] = None, state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["services"], {"experiment": experiment, "kind": kind, "limit": limit, "name": name,
            "state": state})

    def services_no_downtime(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take back the downtimes that are planned or going on."""
        return self._say("POST", ["services", *ref.split("/"), "no_downtime"], {}, {"reason": reason})

    def services_override(self, ref: str, *, state: str, reason: Optional[str] = None,
            until: Optional[str] = None) -> Record:
        """Say that it is up or down, whatever is found; `none` takes that back."""
        return self._say("POST", ["services", *ref.split("/"), "override"], {}, {"reason": reason, "state": state,
            "until": until})

    def services_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["services", *ref.split("/")], {})

    def services_states(self, ref: str, *, after: Optional[str] = None, before: Optional[str] = None,
            limit: Optional[int] = None) -> Record:
        """Return how it was, the latest first; of a span, with `after` and `before`."""
        return self._ask(["services", *ref.split("/"), "states"], {"after": after, "before": before, "limit": limit})

    def setups_change(self, ref: str, name: str, *, reason: Optional[str] = None, seen: Optional[str] = None,
            experiment: Optional[str] = None, new_name: Optional[str] = None, host: Optional[str] = None,
            account: Optional[str] = None, setup: Optional[str] = None, launcher: Optional[str] = None,
            batch: Optional[str] = None, active: Optional[bool] = None) -> Record:
        """Change what is given; the next version. Campaigns that were proposed have copies and stay as they are."""
        return self._say("PATCH", ["setups", *ref.split("/"), name], {}, {"reason": reason, "seen": seen,
            "experiment": experiment, "name": new_name, "host": host, "account": account, "setup": setup,
            "launcher": launcher, "batch": batch, "active": active})

    def setups_create(self, *, experiment: str, name: str, host: Optional[str] = None, account: Optional[str] = None,
            setup: Optional[str] = None, launcher: Optional[str] = None, batch: Optional[str] = None,
            key: Optional[str] = None) -> Record:
        """Make one; a name that is taken is refused, for campaigns may count on it."""
        return self._create(["setups"], {}, {"experiment": experiment, "name": name, "host": host, "account": account,
            "setup": setup, "launcher": launcher, "batch": batch}, key)

    def setups_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["setups"], {"experiment": experiment, "limit": limit})

    def setups_restore(self, ref: str, name: str, *, version: int, reason: Optional[str] = None) -> Record:
        """Let it say again what it said in a version."""
        return self._say("POST", ["setups", *ref.split("/"), name, "restore"], {}, {"reason": reason,
            "version": version})

    def setups_show(self, ref: str, name: str) -> Record:
        """Return one of them."""
        return self._ask(["setups", *ref.split("/"), name], {})

    def setups_test(self, ref: str, name: str, *, key: Optional[str] = None) -> Record:
        """Log in, run the set-up's text and ask where one is then; nothing is submitted."""
        return self._create(["setups", *ref.split("/"), name, "test"], {}, {}, key)

    def setups_trials(self, ref: str, name: str) -> Record:
        """Return how its trials went, the newest first; what has ended by now is kept."""
        return self._ask(["setups", *ref.split("/"), name, "trials"], {})

    def setups_versions(self, ref: str, name: str) -> Record:
        """Return what it said from edit to edit, the newest first."""
        return self._ask(["setups", *ref.split("/"), name, "versions"], {})

    def shift_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Record:
        """Return the experiments, those that need somebody first; there are few, so there is one page."""
        return self._ask(["shift"], {"experiment": experiment, "limit": limit})

    def shift_log(self, *, experiment: str) -> Record:
        """Write it into the experiment's electronic logbook; the same twice is one entry."""
        return self._say("POST", ["shift", "log"], {}, {"experiment": experiment})

    def shift_read(self, *, experiment: str) -> Record:
        """Mark what happened in an experiment as read."""
        return self._say("POST", ["shift", "read"], {}, {"experiment": experiment})

    def shifts_create(self, *, experiment: str, person: str, begins: str, until: str, note: Optional[str] = None,
            key: Optional[str] = None) -> Record:
        """Put somebody on the list."""
        return self._create(["shifts"], {}, {"experiment": experiment, "person": person, "begins": begins,
            "until": until, "note": note}, key)

    def shifts_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None, now: Optional[str] = None,
            person: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["shifts"], {"experiment": experiment, "limit": limit, "now": now, "person": person})

    def shifts_remove(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Take a shift off the list."""
        return self._say("POST", ["shifts", *ref.split("/"), "remove"], {}, {"reason": reason})

    def sites_list(self, *, by: Optional[str] = None, experiment: Optional[str] = None) -> Record:
        """Return them, the one used last first; there are few, so there is one page."""
        return self._ask(["sites"], {"by": by, "experiment": experiment})

    def splits_preview(self, *, experiment: str, dataset: str, split: Optional[str] = None,
            catalogue: Optional[str] = None, most_files: Optional[int] = None) -> Record:
        """Say into which slices a dataset would be cut now: nothing is frozen and nothing written."""
        return self._say("POST", ["splits", "preview"], {}, {"experiment": experiment, "dataset": dataset,
            "split": split, "catalogue": catalogue, "most_files": most_files})

    def stages_commands(self, ref: str, stage: str) -> Record:
        """Show what its next launch would run, with its environment; nothing is launched and nothing taken."""
        return self._ask(["stages", *ref.split("/"), stage, "commands"], {})

    def stages_list(self, *, campaign: Optional[str] = None, experiment: Optional[str] = None,
            limit: Optional[int] = None) -> Iterator[Record]:
        """Return the stages of a campaign, or of all."""
        return self._list(["stages"], {"campaign": campaign, "experiment": experiment, "limit": limit})

    def stages_recover(self, ref: str, stage: str, *, reason: Optional[str] = None, kind: Optional[str] = None,
            plan: Optional[str] = None, key: Optional[str] = None) -> Record:
        """Have a plan done, exactly as it was read: named by its hash, it is refused if things are different now."""
        return self._create(["stages", *ref.split("/"), stage, "recover"], {}, {"reason": reason, "kind": kind,
            "plan": plan}, key)

    def stages_recovery(self, ref: str, stage: str, *, kind: Optional[str] = None) -> Record:
        """Say what would be run again now and what that costs, by the list or by one `kind`; nothing is written."""
        return self._ask(["stages", *ref.split("/"), stage, "recovery"], {"kind": kind})

    def stages_register(self, ref: str, stage: str, *, reason: Optional[str] = None, command: Optional[str] = None,
            dataset: Optional[str] = None, jobs: Optional[Sequence[str]] = None, key: Optional[str] = None) -> Record:
        """Keep a launch that was made outside POMS, and watch its jobs."""
        return self._create(["stages", *ref.split("/"), stage, "register"], {}, {"reason": reason, "command": command,
            "dataset": dataset, "jobs": jobs}, key)

    def stages_show(self, ref: str, stage: str) -> Record:
        """Return one stage."""
        return self._ask(["stages", *ref.split("/"), stage], {})

    def stages_why(self, ref: str, stage: str) -> Record:
        """Say what it waits for."""
        return self._ask(["stages", *ref.split("/"), stage, "why"], {})

    def stops_all(self, *, reason: Optional[str] = None, experiment: Optional[str] = None, jobs: Optional[str] = None,
            plan: Optional[str] = None) -> Record:
        """Stop everything."""
        return self._say("POST", ["stops", "all"], {"plan": plan}, {"reason": reason, "experiment": experiment,
            "jobs": jobs})

    def stops_all_go_on(self, *, reason: Optional[str] = None, experiment: Optional[str] = None) -> Record:
        """End the stop of everything."""
        return self._say("POST", ["stops", "all", "go-on"], {}, {"reason": reason, "experiment": experiment})

    def stops_create(self, *, reason: Optional[str] = None, experiment: Optional[str] = None,
            jobs: Optional[str] = None, plan: Optional[str] = None) -> Record:
        """Stop an experiment: nothing of it is launched any more. `?plan=1` says what it would meet."""
        return self._say("POST", ["stops"], {"plan": plan}, {"reason": reason, "experiment": experiment, "jobs": jobs})

    def stops_go_on(self, *, reason: Optional[str] = None, experiment: Optional[str] = None) -> Record:
        """End an experiment's stop."""
        return self._say("POST", ["stops", "go-on"], {}, {"reason": reason, "experiment": experiment})

    def stops_list(self) -> Record:
        """Return the stops that stand: of experiments that one may see, and of everything."""
        return self._ask(["stops"], {})

    def submissions_adopt(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Say of an unsure submission that it ran: its jobs are looked for and adopted."""
        return self._say("POST", ["submissions", *ref.split("/"), "adopt"], {}, {"reason": reason})

    def submissions_commands(self, ref: str) -> Record:
        """Show what it runs, or ran, with its environment."""
        return self._ask(["submissions", *ref.split("/"), "commands"], {})

    def submissions_export(self, *, after: Optional[str] = None, batch: Optional[str] = None,
            campaign: Optional[str] = None, experiment: Optional[str] = None, kind: Optional[str] = None,
            stage: Optional[str] = None, state: Optional[str] = None, to: Optional[str] = None) -> bytes:
        """Return the list as a file; `to` is csv or parquet, `after` the row behind which it begins."""
        return self._bytes(["submissions", "export"], {"after": after, "batch": batch, "campaign": campaign,
            "experiment": experiment, "kind": kind, "stage": stage, "state": state, "to": to})

    def submissions_give_up(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Say of an unsure submission that it did not run: its batch is launched again."""
        return self._say("POST", ["submissions", *ref.split("/"), "give_up"], {}, {"reason": reason})

    def submissions_history(self, ref: str, *, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of the transitions of one object, newest first (M8)."""
        return self._list(["submissions", *ref.split("/"), "history"], {"limit": limit})

    def submissions_hold(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Hold all its jobs."""
        return self._say("POST", ["submissions", *ref.split("/"), "hold"], {}, {"reason": reason})

    def submissions_kill(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Remove all its jobs."""
        return self._say("POST", ["submissions", *ref.split("/"), "kill"], {}, {"reason": reason})

    def submissions_list(self, *, batch: Optional[str] = None, campaign: Optional[str] = None,
            experiment: Optional[str] = None, kind: Optional[str] = None, limit: Optional[int] = None,
            stage: Optional[str] = None, state: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["submissions"], {"batch": batch, "campaign": campaign, "experiment": experiment,
            "kind": kind, "limit": limit, "stage": stage, "state": state})

    def submissions_log(self, ref: str, *, length: Optional[int] = None, offset: Optional[int] = None,
            part: Optional[str] = None) -> Record:
        """Return a piece of what the launch script printed: its head (1 MiB) or its tail (4 MiB)."""
        return self._ask(["submissions", *ref.split("/"), "log"], {"length": length, "offset": offset, "part": part})

    def submissions_release(self, ref: str, *, reason: Optional[str] = None) -> Record:
        """Release its held jobs."""
        return self._say("POST", ["submissions", *ref.split("/"), "release"], {}, {"reason": reason})

    def submissions_show(self, ref: str) -> Record:
        """Return one object."""
        return self._ask(["submissions", *ref.split("/")], {})

    def submissions_why(self, ref: str) -> Record:
        """Say which gates are closed for it, or its place in line."""
        return self._ask(["submissions", *ref.split("/"), "why"], {})

    def templates_change(self, ref: str, name: str, *, reason: Optional[str] = None, seen: Optional[str] = None,
            experiment: Optional[str] = None, new_name: Optional[str] = None, title: Optional[str] = None,
            about: Optional[str] = None, production_stage: Optional[str] = None, parameters: Optional[str] = None,
            definition: Optional[str] = None, hours_per_file: Optional[float] = None, memory_mb: Optional[int] = None,
            active: Optional[bool] = None) -> Record:
        """Change what is given; the next version. Campaigns that were proposed have copies and stay as they are."""
        return self._say("PATCH", ["templates", *ref.split("/"), name], {}, {"reason": reason, "seen": seen,
            "experiment": experiment, "name": new_name, "title": title, "about": about,
            "production_stage": production_stage, "parameters": parameters, "definition": definition,
            "hours_per_file": hours_per_file, "memory_mb": memory_mb, "active": active})

    def templates_create(self, *, experiment: str, name: str, title: str, definition: str, about: Optional[str] = None,
            production_stage: Optional[str] = None, parameters: Optional[str] = None,
            hours_per_file: Optional[float] = None, memory_mb: Optional[int] = None,
            key: Optional[str] = None) -> Record:
        """Make one; a name that is taken is refused, for campaigns may count on it."""
        return self._create(["templates"], {}, {"experiment": experiment, "name": name, "title": title, "about": about,
            "production_stage": production_stage, "parameters": parameters, "definition": definition,
            "hours_per_file": hours_per_file, "memory_mb": memory_mb}, key)

    def templates_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None,
            name: Optional[str] = None) -> Iterator[Record]:
        """Return them; of an experiment, those of the common library too."""
        return self._list(["templates"], {"experiment": experiment, "limit": limit, "name": name})

    def templates_publish(self, ref: str, name: str, *, reason: Optional[str] = None,
            common: Optional[bool] = None) -> Record:
        """Put it into the common library, or take it out."""
        return self._say("POST", ["templates", *ref.split("/"), name, "publish"], {}, {"reason": reason,
            "common": common})

    def templates_restore(self, ref: str, name: str, *, version: int, reason: Optional[str] = None) -> Record:
        """Let it say again what it said in a version."""
        return self._say("POST", ["templates", *ref.split("/"), name, "restore"], {}, {"reason": reason,
            "version": version})

    def templates_show(self, ref: str, name: str) -> Record:
        """Return one of them."""
        return self._ask(["templates", *ref.split("/"), name], {})

    def templates_use(self, ref: str, name: str, *, experiment: Optional[str] = None, new_name: Optional[str] = None,
            parameters: Optional[Mapping[str, Any]] = None, key: Optional[str] = None) -> Record:
        """Make a draft campaign of an experiment with it."""
        return self._create(["templates", *ref.split("/"), name, "use"], {}, {"experiment": experiment,
            "name": new_name, "parameters": parameters}, key)

    def templates_versions(self, ref: str, name: str) -> Record:
        """Return what it said from edit to edit, the newest first."""
        return self._ask(["templates", *ref.split("/"), name, "versions"], {})

    def tokens_create(self, *, name: str, days: Optional[int] = None, scopes: Optional[Sequence[str]] = None,
            experiments: Optional[Sequence[str]] = None, account: Optional[str] = None) -> Record:
        """Make a token; its secret is in this answer and nowhere else, so no Idempotency-Key keeps it."""
        return self._say("POST", ["tokens"], {}, {"name": name, "days": days, "scopes": scopes,
            "experiments": experiments, "account": account})

    def tokens_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["tokens"], {"experiment": experiment, "limit": limit})

    def tokens_revoke(self, pk: str) -> Record:
        """End one of one's tokens."""
        return self._say("POST", ["tokens", pk, "revoke"], {}, {})

    def troubles_list(self, *, experiment: Optional[str] = None, kind: Optional[str] = None,
            limit: Optional[int] = None, loop: Optional[str] = None, parked: Optional[str] = None) -> Iterator[Record]:
        """Return a page of them."""
        return self._list(["troubles"], {"experiment": experiment, "kind": kind, "limit": limit, "loop": loop,
            "parked": parked})

    def troubles_retry(self, key: str, *, reason: Optional[str] = None) -> Record:
        """Have one tried again now."""
        return self._say("POST", ["troubles", f"t{key}", "retry"], {}, {"reason": reason})

    def uploads_content(self, *, experiment: Optional[str] = None, name: Optional[str] = None) -> bytes:
        """Return the bytes of one's own file."""
        return self._bytes(["uploads", "content"], {"experiment": experiment, "name": name})

    def uploads_create(self, content: bytes, *, experiment: Optional[str] = None, name: Optional[str] = None) -> Record:
        """Keep the body as a file: `?experiment=` and `?name=` say where; it takes the place of one of its name."""
        return self._upload(["uploads"], {"experiment": experiment, "name": name}, content)

    def uploads_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None,
            name: Optional[str] = None, person: Optional[str] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["uploads"], {"experiment": experiment, "limit": limit, "name": name, "person": person})

    def uploads_remove(self, *, experiment: Optional[str] = None, name: Optional[str] = None) -> Record:
        """Take a file away."""
        return self._say("POST", ["uploads", "remove"], {"experiment": experiment, "name": name}, {})

    def waste_limits_create(self, *, experiment: str, share: int, reason: Optional[str] = None,
            least: Optional[int] = None, key: Optional[str] = None) -> Record:
        """Set that of an experiment, for its campaigns that have none of their own."""
        return self._create(["waste-limits"], {}, {"reason": reason, "experiment": experiment, "share": share,
            "least": least}, key)

    def waste_limits_list(self, *, experiment: Optional[str] = None, limit: Optional[int] = None) -> Iterator[Record]:
        """Return a page of what is visible."""
        return self._list(["waste-limits"], {"experiment": experiment, "limit": limit})
