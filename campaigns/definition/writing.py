"""The canonical text of a definition: everything said, nothing inherited, always in the same order. Pure."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from campaigns.definition.values import KEEP_UP, STAGE

if TYPE_CHECKING:
    from campaigns.definition.model import Definition


def dump(definition: Definition) -> str:
    """Return the canonical text: everything said, nothing inherited, always in the same order."""
    lines = ["[campaign]"]
    lines += [
        f"experiment={definition.experiment}",
        f"poms_role={definition.role}",
        f"name={definition.name}",
    ]
    lines += [
        f"state={definition.state}",
        f"campaign_keywords={json.dumps(dict(definition.keywords), sort_keys=True)}",
    ]
    lines += [f"campaign_stage_list={','.join(stage.name for stage in definition.stages)}", ""]
    for stage in definition.stages:
        usual = {entry.name: entry.default for entry in fields(stage)}
        lines.append(f"[campaign_stage {stage.name}]")
        for key, (name, _) in STAGE.items():
            if key in KEEP_UP and getattr(stage, name) == usual[name]:
                continue
            if key != "merge_overrides" and (value := shown(key, getattr(stage, name))) is not None:
                lines.append(f"{key}={value}")
        lines.append("")
    edges = (*definition.edges, *definition.across)
    for downstream in dict.fromkeys(edge.downstream for edge in edges):
        lines.append(f"[dependencies {downstream}]")
        own = [edge for edge in edges if edge.downstream == downstream]
        for number, edge in enumerate(own, 1):
            lines += [f"campaign_{number}={edge.campaign}"] if edge.campaign else []
            lines += [f"campaign_stage_{number}={edge.upstream}", f"file_pattern_{number}={edge.pattern}"]
            lines.append(f"gate_{number}={edge.gate}")
        lines.append("")
    for entry in sorted(definition.job_types, key=lambda e: e.name):
        lines += [f"[job_type {entry.name}]", f"launch_script={entry.launch_script}"]
        lines.append(f"parameters={json.dumps(entry.parameters, ensure_ascii=False)}")
        lines.append(f"output_file_patterns={entry.output_file_patterns}")
        lines += [f"recoveries={json.dumps(entry.recoveries, ensure_ascii=False)}", ""]
    for setup in sorted(definition.login_setups, key=lambda e: e.name):
        lines += [f"[login_setup {setup.name}]", f"host={setup.host}", f"account={setup.account}"]
        text = setup.setup.replace("\n", "\n  ")
        lines += [f"setup={text}", f"launcher={setup.launcher}", f"batch={setup.batch}", ""]
    return "\n".join(lines)


# Keys of ours that are said only where they say something: a text of before has the hash that it had.
UNSAID: dict[str, Any] = {
    "events": 0, "events_per_job": 0, "most_files": 0, "catalogue": "", "wall_factor": 1.5, "most_tries": 4,
    "value_overrides": "", "completion": "", "ask_after_h": 72, "destination": "",
    "recall_times": "", "recall_window": 50,
    "cpus": 1, "disk_mb": 0, "gpus": 0, "slots": "", "sites": "", "avoid_sites": "", "canary": 0,
}  # fmt: skip


def shown(key: str, value: Any) -> str | None:
    """Return a value as the text writes it; None for what is not said."""
    if key in ("param_overrides", "test_param_overrides"):
        return json.dumps(value, ensure_ascii=False)
    if key in UNSAID and value == UNSAID[key]:
        return None
    return str(value)
