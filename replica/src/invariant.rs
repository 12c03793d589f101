//! Named assertions on one replica (PROTOCOL §2), on in releases too: a member that finds one broken stops before anything more
//! is promised. Each looks at what was done, not at how it was decided, and costs a few comparisons. Rules that no single member
//! can see broken are asserted by the control plane's state (`ringhold_control::invariant`) and by the explorer's oracle;
//! `docs/protocol.md` has the table.

use ringhold_ringbuffer::{LogEntry, Op};
use ringhold_types::{ChangeKind, Lsn, RingTime, Term};

use crate::context::{Context, Shared};
use crate::core::Core;
use crate::effect::Effects;
use crate::membership::{added_by, removed_by};
use crate::message::{Fence, PeerMessage};
use crate::primary::Primary;
use crate::replica::{Replica, Role};
use crate::rules::Rules;

/// What can be seen at the end of a turn: I4, I7, I11, I18.
pub(crate) fn check<R: Rules>(replica: &Replica, context: &mut Context<'_, R>) {
    let core = &replica.core;
    let broken = i04_commit_is_a_prefix(core)
        .or_else(|| i11_apply_follows_commit(core))
        .or_else(|| i07_log_is_not_ahead_of_the_term(core))
        .or_else(|| i18_leads_for_this_start(replica, context));
    stop_if(core, context, broken);
}

fn stop_if<R: Rules>(core: &Core, context: &mut Context<'_, R>, broken: Option<String>) {
    if let Some(what) = broken.filter(|_| context.shared.rules.asserts()) {
        context.fatal(format!("{what}, partition {}", core.partition));
    }
}

/// I4: what is committed is in the log.
fn i04_commit_is_a_prefix(core: &Core) -> Option<String> {
    let last = core.log.last();
    (core.commit > last)
        .then(|| format!("I4: commit {} is beyond the log's end {last}", core.commit))
}

/// I11: what is applied is committed, and what is committed is applied by the end of a turn.
fn i11_apply_follows_commit(core: &Core) -> Option<String> {
    (core.applied > core.commit).then(|| {
        format!(
            "I11: applied {} is beyond commit {}",
            core.applied, core.commit
        )
    })
}

/// I7: no entry of the log is of a later term than the adopted one.
fn i07_log_is_not_ahead_of_the_term(core: &Core) -> Option<String> {
    let last = core.log.last_term();
    (core.log.last() > Lsn::ZERO && last > core.term)
        .then(|| format!("I7: an entry of term {last} in term {}", core.term))
}

/// I18: who leads was named for this very process start.
fn i18_leads_for_this_start<R: Rules>(
    replica: &Replica,
    context: &Context<'_, R>,
) -> Option<String> {
    let named = &replica.core.configuration;
    let leads = matches!(replica.role, Role::Primary(_));
    let other = named.primary_start != context.shared.start || context.shared.registered.is_none();
    (leads && other).then(|| {
        format!(
            "I18: start {} leads on a nomination for start {}",
            context.shared.start, named.primary_start
        )
    })
}

/// I18: a process neither acknowledges nor grants nor leads before it has applied the record of its own start.
pub(crate) fn check_sent<R: Rules>(shared: &Shared<R>, effects: &mut Effects) {
    if shared.registered.is_some() || !shared.rules.asserts() {
        return;
    }
    let takes_part = |message: &PeerMessage| {
        matches!(
            message,
            PeerMessage::Ack(_)
                | PeerMessage::HeartbeatReply(_)
                | PeerMessage::Prepare(_)
                | PeerMessage::SnapshotPart(_)
        )
    };
    if effects.send.iter().any(|(_, message)| takes_part(message)) {
        let what = "I18: a process takes part before the record of its start is applied";
        effects.fatal.get_or_insert_with(|| what.to_owned());
    }
}

/// I3, I5, I6: everything up to `commit` is acknowledged, in this term, by every seat of the configuration, by the one that is
/// being removed among them, and by every counted learner.
pub(crate) fn check_commit<R: Rules>(
    primary: &Primary,
    core: &Core,
    context: &mut Context<'_, R>,
    commit: Lsn,
) {
    let pending = primary.change.as_ref().map(|it| &it.change.kind);
    let leaving = pending.and_then(removed_by);
    let seats = core.configuration.in_sync.iter().map(|seat| {
        let rule = if Some(*seat) == leaving { "I5" } else { "I3" };
        (rule, seat)
    });
    let learners = primary.counted.iter().map(|learner| ("I6", learner));
    let mut lacking = seats.chain(learners).filter(|(_, replica)| {
        let matched = if **replica == core.id {
            core.safe()
        } else {
            primary
                .peers
                .get(replica)
                .map_or(Lsn::ZERO, |it| it.matched)
        };
        matched < commit
    });
    let broken = lacking.next().map(|(rule, replica)| {
        format!("{rule}: {commit} is committed without an acknowledgement of {replica}")
    });
    stop_if(core, context, broken);
}

/// I6: a learner is required before its addition is proposed.
pub(crate) fn check_proposal<R: Rules>(
    primary: &Primary,
    core: &Core,
    context: &mut Context<'_, R>,
    kind: &ChangeKind,
) {
    let learner = added_by(kind).filter(|it| !primary.counted.contains(it));
    let broken = learner.map(|it| format!("I6: learner {it} is proposed and not required"));
    stop_if(core, context, broken);
}

/// I7: a message that is worked on is of the adopted term, and of this life of the partition.
pub(crate) fn check_taken<R: Rules>(core: &Core, context: &mut Context<'_, R>, fence: &Fence) {
    let generation = core.configuration.generation;
    let broken = (fence.term != core.term || fence.generation != generation).then(|| {
        format!(
            "I7: a message of term {} and generation {} is taken in term {} and generation {generation}",
            fence.term, fence.generation, core.term
        )
    });
    stop_if(core, context, broken);
}

/// I8: `TermStart` is the first entry of a term. I16: ring time never goes back, and a new primary takes it at most one
/// `max-clock-step` forward.
pub(crate) fn check_append<R: Rules>(core: &Core, context: &mut Context<'_, R>, entry: &LogEntry) {
    let begins = matches!(entry.op, Op::TermStart { .. });
    let last_term = core.log.last_term();
    let before = core.log_time();
    let most = before.after(context.shared.timing.max_clock_step);
    let broken = if entry.term < last_term || (entry.term > last_term) != begins {
        Some(format!(
            "I8: entry {} of term {} follows one of term {last_term}, and TermStart is the first of each",
            entry.lsn, entry.term
        ))
    } else if entry.time < before || (begins && entry.time > most) {
        Some(jump(before, entry))
    } else {
        None
    };
    stop_if(core, context, broken);
}

fn jump(before: RingTime, entry: &LogEntry) -> String {
    format!(
        "I16: ring time goes from {} ms to {} ms at {}",
        before.0, entry.time.0, entry.lsn
    )
}

/// I16: apply takes ring time from the entries alone.
pub(crate) fn check_time<R: Rules>(
    core: &Core,
    context: &mut Context<'_, R>,
    before: RingTime,
    entry: &LogEntry,
) {
    let now = core.ring.time();
    let broken = (now != before.max(entry.time)).then(|| {
        format!(
            "I16: applying {} brings ring time to {} ms, and the entry says {} ms",
            entry.lsn, now.0, entry.time.0
        )
    });
    stop_if(core, context, broken);
}

/// I10: a tail is cut where it parts from the sender's log, and nowhere else.
pub(crate) fn check_cut<R: Rules>(
    core: &Core,
    context: &mut Context<'_, R>,
    lsn: Lsn,
    sender: Option<Term>,
) {
    let own = core.log.term_at(lsn.next());
    let cuts = lsn < core.log.last();
    let broken = (cuts && (sender.is_none() || sender == own)).then(|| {
        format!("I10: the log is cut after {lsn}, where it does not part from the sender's")
    });
    stop_if(core, context, broken);
}

/// I18: nobody appends in a term whose `TermStart` this process did not write.
pub(crate) fn check_own_append<R: Rules>(
    primary: &Primary,
    core: &Core,
    context: &mut Context<'_, R>,
    op: &Op,
) {
    let begins = matches!(op, Op::TermStart { .. });
    let began = primary.term_start > Lsn::ZERO && primary.term_start <= core.log.last();
    let broken = (!begins && !began).then(|| {
        format!(
            "I18: an entry in term {}, which this process did not begin",
            core.term
        )
    });
    stop_if(core, context, broken);
}
