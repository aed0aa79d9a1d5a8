"""`nbvault sync`: one session, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.clock import SystemClock
from nbvault.errors import NbvaultError, SessionInterrupted
from nbvault.model import Problem, SessionReport, State, Status

if TYPE_CHECKING:
    from nbvault.backup.surroundings import SyncOptions
    from nbvault.settings import Settings

SHOWN_PROBLEMS = 20
SHOWN_NOTES = 20
_COLOURS = {Status.COMPLETE: "green", Status.PARTIAL: "yellow", Status.INTERRUPTED: "yellow", Status.FAILED: "red"}


@click.command("sync")
@click.option("--full", is_flag=True, help="Export every notebook, whatever its times say.")
@click.option("--dry-run", is_flag=True, help="Look at everything, write nothing.")
@click.option("--accept-deletions", metavar="SESSION|last", default="", help="Let through what that session held.")
@click.option("--message", metavar="TEXT", default="", help="Your own words, for the commit of this session.")
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="Who exports: this machine, or the executors of a Spark cluster (docs/scaling.md).",
)
@config_option
@json_option
def command(*, full: bool, dry_run: bool, accept_deletions: str, message: str, engine: str, as_json: bool) -> int:
    """Back up the workspace once.

    Ends with 0 if everything is saved, 3 if something is not, 4 if deletions are held until you accept them.
    """
    from nbvault.alerting import after_session
    from nbvault.authorship import name_editors_or_say
    from nbvault.backup.surroundings import SyncOptions

    settings = load()
    asked = SyncOptions(full=full, dry_run=dry_run, accept_deletions=accept_deletions, message=message)
    report = _run(settings, asked, engine)
    with output.unless_nobody_reads():
        if report.error:
            output.complain(report.error)
        if as_json:
            output.emit(report.as_json())
        else:
            tell(report)
    # Last, so that nobody waits for a warehouse or a mail server to read what came of it; mails have the names.
    if report.pushed and not dry_run:
        name_editors_or_say(settings, say=output.note)
    after_session(settings, report, say=output.note)
    return report.exit_code


def _run(settings: Settings, asked: SyncOptions, engine: str) -> SessionReport:
    from nbvault.alerting import could_not_begin
    from nbvault.cli.following import followed, last_word
    from nbvault.cli.progress import on_screen
    from nbvault.wiring import Engine, run_sync

    try:
        with on_screen() as screen, followed(settings, screen, say=output.note) as following:
            report = run_sync(settings, asked, following, engine=Engine(engine))
            following.ended = last_word(report)
    except NbvaultError as error:
        if not asked.dry_run:
            could_not_begin(settings, error, say=output.note)
        raise
    return report


def failed_report(failure: NbvaultError) -> SessionReport:
    """The report of a session that could not begin: every field, zero counts, and the error."""
    now = SystemClock().now()
    status = Status.INTERRUPTED if isinstance(failure, SessionInterrupted) else Status.FAILED
    return SessionReport("", status, failure.exit_code, now, now, error=str(failure))


def tell(report: SessionReport) -> None:
    """The session for people: how it ended, the counts, what is not backed up and why, what is protected."""
    seconds = (report.ended_at - report.started_at).total_seconds()
    what = "Dry run" if report.dry_run else "Backup"
    output.say(f"{what} {_end(report)}: session {report.session}, {seconds:.1f} s", style=_COLOURS[report.status])
    if report.status is not Status.FAILED:
        _tell_counts(report)
        _tell_problems(report)
    for note in report.notes[:SHOWN_NOTES]:
        output.say(shown(note))
    if len(report.notes) > SHOWN_NOTES:
        output.say(f"... and {len(report.notes) - SHOWN_NOTES:,} more notes; all are in --json.")
    _tell_held(report)
    _tell_protection(report)


def _end(report: SessionReport) -> str:
    if report.status is Status.PARTIAL:
        return "partial (not everything is saved)"
    if report.status is Status.INTERRUPTED:
        return "interrupted (what was finished is kept; run it again to go on)"
    return str(report.status.value)


def _tell_counts(report: SessionReport) -> None:
    counts = report.counts
    kinds = [(counts.added, "added"), (counts.modified, "modified"), (counts.renamed, "renamed")]
    detail = ", ".join(f"{count:,} {word}" for count, word in kinds if count)
    output.say(f"  listed     {counts.listed:>9,}  in {number(counts.folders, 'folder')}")
    output.say(f"  saved      {counts.saved:>9,}{'  ' + detail if detail else ''}")
    output.say(f"  unchanged  {counts.unchanged:>9,}")
    output.say(f"  skipped    {counts.skipped:>9,}")
    output.say(f"  failed     {counts.failed:>9,}", style="red" if counts.failed else "")
    output.say(f"  deleted    {counts.deleted:>9,}")


def _tell_problems(report: SessionReport) -> None:
    chosen = sorted(report.problems, key=lambda problem: problem.state is not State.FAILED)
    chosen = [problem for problem in chosen if problem.state is State.FAILED or not report.counts.failed]
    if not chosen:
        return
    output.say("Not backed up:")
    for problem in chosen[:SHOWN_PROBLEMS]:
        output.say(f"  {_in_words(problem)}")
    if len(chosen) > SHOWN_PROBLEMS:
        output.say(f"  ... and {len(chosen) - SHOWN_PROBLEMS:,} more: nbvault problems list")
    if any(p.state is State.FAILED and not p.acknowledged_by for p in chosen):
        output.say("To accept one as it is: nbvault problems acknowledge PATH")


def _in_words(problem: Problem) -> str:
    stale = " (the last good version stays)" if problem.stale and problem.state is State.FAILED else ""
    accepted = f" (accepted by {problem.acknowledged_by})" if problem.acknowledged_by else ""
    return f"{problem.state.value}: {shown(problem.path)}: {shown(problem.reason)}{stale}{accepted}"


def _tell_held(report: SessionReport) -> None:
    held = report.counts.held_deletions
    if held:
        output.say(f"{number(held, 'deletion')} held: the vault still has them.", style="yellow")
        output.say(f"If they are right: nbvault sync --accept-deletions {report.session}")


def _tell_protection(report: SessionReport) -> None:
    if report.dry_run:
        output.say("Nothing was written.")
    elif report.pushed and report.head:
        tag = f", tag {report.tag}" if report.tag else ""
        output.say(f"Protected at {report.head}{tag}, confirmed by the remote.", style="green")
    elif not report.pushed:
        output.say("Nothing new is confirmed by the remote.", style="yellow")
