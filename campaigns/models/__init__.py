"""What should run."""

from campaigns.models.campaign import Campaign, Edge, Revision, Stage
from campaigns.models.setup import Defaults, JobType, LoginSetup
from campaigns.models.version import EdgeVersion, StageVersion

__all__ = ["Campaign", "Defaults", "Edge", "EdgeVersion", "JobType", "LoginSetup", "Revision", "Stage", "StageVersion"]
