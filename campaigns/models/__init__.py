"""What should run."""

from campaigns.models.campaign import Campaign, Edge, Revision, Stage
from campaigns.models.schedule import Schedule
from campaigns.models.setup import Defaults, JobType, LoginSetup, SetupTrial, Version
from campaigns.models.version import EdgeVersion, StageVersion
from campaigns.models.watch import CampaignWatcher

__all__ = [
    "Campaign", "CampaignWatcher", "Defaults", "Edge", "EdgeVersion", "JobType", "LoginSetup", "Revision", "Schedule",
    "SetupTrial", "Stage", "StageVersion", "Version",
]  # fmt: skip
