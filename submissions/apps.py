"""Django's entry for the submissions app: announces its loops."""

from django.apps import AppConfig


class SubmissionsConfig(AppConfig):
    """Make it happen and watch."""

    name = "submissions"

    def ready(self) -> None:
        """Register the loops with their periods in seconds: the net below bells that were lost."""
        from core import loops  # noqa: PLC0415 - its models load only now
        from integrations.probes import known  # noqa: PLC0415 - as above
        from submissions.line import idle_jobs  # noqa: PLC0415 - as above

        known.counts[:] = [idle_jobs]

        logic = "submissions.logic"
        loops.register("plan", f"{logic}.planning.plan_some", period=5)
        loops.register("offer", f"{logic}.offering.offer_some", period=2)
        loops.register("recall", f"{logic}.recalling.recall_some", period=30)
        loops.register("pass", f"{logic}.passing.pass_some", period=30)
        loops.register("complete", f"{logic}.completing.complete_some", period=5)
        loops.register("tape", f"{logic}.taping.tape_some", period=60)
        loops.register("credentials", f"{logic}.minding.mind_some", period=10)
        loops.register("restore", f"{logic}.restoring.restore_some", period=5)
        loops.register("launch", f"{logic}.launching.launch_some", period=1)
        loops.register("observe", f"{logic}.observing.observe_some", period=1)
        loops.register("sample", f"{logic}.sampling.sample_some", period=60)
        loops.register("settle", f"{logic}.settling.settle_some", period=5)
        loops.register("recover", f"{logic}.recovering.recover_some", period=5)
        loops.register("act", f"{logic}.acting.act_some", period=2)
        loops.register("clean", f"{logic}.sandboxing.clean_some", period=60)
        loops.register("forget", f"{logic}.sandboxing.forget", period=3600)
        loops.register("schedule", f"{logic}.scheduling.schedule_some", period=5)
        loops.register("diagnose", f"{logic}.diagnosing.diagnose_some", period=10)
        loops.register("latency", f"{logic}.warning.warn_some", period=300)
        loops.register("check", f"{logic}.checking.check_some", period=5)
        loops.register("guard", f"{logic}.guarding.guard_some", period=60)
        loops.register("curb", f"{logic}.curbing.curb_some", period=300)
        loops.register("reproduce", f"{logic}.reproducing.reproduce_some", period=10)
        loops.register("sweep", f"{logic}.planning.sweep", period=30)
        loops.register("tally", f"{logic}.tallying.tally_some", period=10)
        loops.register("seal", "core.ledger.seal", period=60)
        loops.register("recount", f"{logic}.recounting.recount", period=86_400)
        loops.register("retain", f"{logic}.retaining.retain", period=3600)
