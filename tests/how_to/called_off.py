"""Notice to those who operate an experiment: a campaign was cancelled."""

from __future__ import annotations

from poms_site.overview.notices import BEGUN, Rule, operators

RULE = Rule("operator", "campaign", "cancel", operators, "was cancelled", "campaigns were cancelled", BEGUN)
