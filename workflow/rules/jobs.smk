# How jobs run: which are too small for a queue, what becomes of them (for `stars status`), and why those that failed did.

import signal

from stars.cli import asked
from stars.jobs import journal, tracking
from stars.jobs.status import ending


localrules:  # seconds each
    split,
    scratch,
    network,
    linear_of_ensemble,
    finetune_of_ensemble,
    table,
    comparison_page,
    plugin_table,
    draw_fig1,
    draw_sweep,
    draw_fig6,
    draw_curves,
    subsets,
    exemplars,


# A scheduler's notice that time is nearly up reaches Snakemake as well: it is for the training alone, which saves and leaves.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
JOURNAL = journal.Journal()
logger.addHandler(JOURNAL)

if CONFIG.tracking and workflow.is_main_process and not workflow.dryrun:
    logger.addHandler(checked(lambda config: tracking.Follower(Path("results"))))


def grows(amount):
    """Resource function: `amount` at the first attempt, and as much again at each further one."""

    def for_attempt(wildcards, attempt):
        return amount * attempt

    return for_attempt


onstart:
    # With its default limit of 100 jobs a second, Snakemake 9 wakes once a second for every job that has ended so far, and looks at every ready job:
    # a seventh of a core after 120 of the paper's 306 jobs.
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    try:
        JOURNAL.begin(
            asked.values(sys.argv[1:], asked.FILES),
            asked.values(sys.argv[1:], asked.KEYS),
            [rule.name for rule in workflow.rules if not rule.output],
        )
    except InputError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    JOURNAL.end()


onerror:
    JOURNAL.end()
    print(ending(), file=sys.stderr)
