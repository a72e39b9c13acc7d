"""What should run."""

from campaigns.models.campaign import Campaign, Edge, Revision, Stage
from campaigns.models.setup import JobType, LoginSetup
from campaigns.models.version import EdgeVersion, StageVersion

__all__ = ["Campaign", "Edge", "EdgeVersion", "JobType", "LoginSetup", "Revision", "Stage", "StageVersion"]
