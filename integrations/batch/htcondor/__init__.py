"""Batch system `htcondor`: pools of HTCondor, through its own library in a process of its own."""

from integrations.batch.htcondor.backend import HTCondorBatch

__all__ = ["HTCondorBatch"]
