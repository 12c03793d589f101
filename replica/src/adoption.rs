//! Attempts and their reports (PROTOCOL §3): the executing member and the primary are two roles, and an attempt outlives the
//! term that started it.

use std::sync::Arc;

use ringhold_ringbuffer::{EntryState, LogEntry, Op};
use ringhold_types::{
    AttemptNumber, AttemptToken, Failure, FailureKind, Lsn, MemberId, OnInterrupt, Outcome,
    Sequence, Term,
};

use crate::attempts::{LocalState, end_bytes};
use crate::context::Context;
use crate::core::Core;
use crate::effect::{Effects, Note};
use crate::event::AttemptEnd;
use crate::message::{AttemptAnswer, AttemptOffer, AttemptVerdict, PeerMessage};
use crate::primary::Primary;
use crate::request::Reply;
use crate::rules::{Rule, Rules};
use crate::schedule::Current;

/// Verdicts gathered for one offer.
type Verdicts = Vec<(AttemptToken, AttemptVerdict)>;

impl Primary {
    /// Adopts what the primary before handed over: it goes on where it runs, under a token of this term.
    pub(crate) fn adopt_handed_over<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        term: Term,
        attempt: AttemptNumber,
    ) {
        let token = AttemptToken {
            partition: core.partition,
            sequence,
            term,
            attempt,
        };
        let Ok(entry) = core.ring.look_up(sequence) else {
            return;
        };
        if let EntryState::Running { member, .. } = entry.state
            && self.adopt(core, context, member, token)
        {
            // Its member may have started anew since it was handed over: it has to name the attempt.
            self.schedule.doubt(sequence);
        }
    }

    /// Takes up what this member itself executes, when it begins to lead.
    pub(crate) fn adopt_own<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        let own = core.id.member;
        let offer = offer_of(context, core);
        self.take_offer(core, context, own, offer);
    }

    /// An attempt that this member executed has ended.
    pub(crate) fn own_report<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        original: AttemptToken,
    ) {
        if !self.is_working() {
            return;
        }
        let Some(attempt) = context.shared.attempts.get(original) else {
            return;
        };
        let LocalState::Finished(end, _) = attempt.state.clone() else {
            return;
        };
        let token = AttemptToken {
            term: attempt.term,
            ..original
        };
        let offer = AttemptOffer {
            partition: core.partition,
            start: context.shared.start,
            running: Vec::new(),
            finished: vec![(token, end)],
        };
        let own = core.id.member;
        self.take_offer(core, context, own, offer);
    }

    /// An executing member offers what it runs or ran.
    pub(crate) fn offered<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        from: MemberId,
        offer: AttemptOffer,
    ) {
        let known = context.shared.starts.get(&from);
        let of_this_start = known.is_none_or(|start| *start == offer.start);
        if of_this_start && self.hand_over.is_none() && self.may_answer(core, context) {
            self.take_offer(core, context, from, offer);
        }
    }

    fn take_offer<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        from: MemberId,
        offer: AttemptOffer,
    ) {
        let mut verdicts = Verdicts::new();
        for token in offer.running {
            if let Some(verdict) = self.judge(core, context, from, token) {
                verdicts.push((token, verdict));
            }
        }
        for (token, end) in offer.finished {
            if !self.schedule.current.contains_key(&token.sequence) {
                self.adopt(core, context, from, token);
            }
            if let Some(verdict) = self.report(core, context, from, token, end) {
                verdicts.push((token, verdict));
            }
        }
        for (token, verdict) in verdicts {
            tell(core, context, from, token, verdict);
        }
    }

    /// What this primary says of an attempt that `from` names; `None` while a commit decides it.
    fn judge<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        from: MemberId,
        token: AttemptToken,
    ) -> Option<AttemptVerdict> {
        if let Some(current) = self.schedule.current.get_mut(&token.sequence) {
            let same = current.member == from
                && current.token.attempt == token.attempt
                && (current.token.term == token.term || current.known_as.term == token.term);
            if !same {
                return Some(AttemptVerdict::Refused);
            }
            current.heard = true;
            return current
                .committed
                .then_some(AttemptVerdict::Adopted(current.token.term));
        }
        if self.adopt(core, context, from, token) {
            None
        } else {
            Some(AttemptVerdict::Refused)
        }
    }

    /// Adopts an attempt if it is the newest one of its task: one that the ring knows, or an unawaited start whose entry
    /// never reached us.
    fn adopt<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        member: MemberId,
        token: AttemptToken,
    ) -> bool {
        let sequence = token.sequence;
        let Ok(entry) = core.ring.look_up(sequence) else {
            return false;
        };
        let op = match entry.state {
            EntryState::Running { attempt, term, .. }
                if attempt == token.attempt && term == token.term =>
            {
                Op::Adopt {
                    sequence,
                    attempt_term: token.term,
                    attempt,
                    member,
                }
            }
            EntryState::Waiting { .. }
                if entry.attempts.next() == token.attempt
                    && entry.accepted_term == token.term
                    && token.term < core.term =>
            {
                Op::Start {
                    sequence,
                    attempt: token.attempt,
                    member,
                }
            }
            _ => return false,
        };
        let lsn = self.append(core, context, op);
        let raised = AttemptToken {
            term: core.term,
            ..token
        };
        let current = Current {
            token: raised,
            known_as: token,
            member,
            lsn,
            committed: false,
            started: true,
            ending: None,
            heard: true,
        };
        self.schedule.runs(sequence, current);
        context.note(Note::Adopted(core.partition));
        true
    }

    /// An attempt reports. The verdict is given once the report is committed; `Some` at once if it is refused.
    pub(crate) fn report<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        from: MemberId,
        token: AttemptToken,
        end: AttemptEnd,
    ) -> Option<AttemptVerdict> {
        let known = self.schedule.current.get(&token.sequence).copied();
        let current = known.filter(|it| {
            it.member == from
                && it.token.attempt == token.attempt
                && (it.token.term == token.term || it.known_as.term == token.term)
        });
        let Some(current) = current else {
            if end != AttemptEnd::Aborted {
                context.note(Note::ReportRefused(core.partition));
            }
            if context.drops(Rule::OutcomeOnce)
                && let Some(op) = op_of(token, end)
            {
                self.append(core, context, op);
            }
            return Some(AttemptVerdict::Refused);
        };
        if current.ending.is_some() {
            return None;
        }
        if context.drops(Rule::EffectsAfterCommit) {
            self.wake_early(core, context, token.sequence, &end);
        }
        let end = if_given_back(core, token.sequence, end);
        let op = op_of(current.token, end)?;
        let lsn = self.append(core, context, op);
        if let Some(current) = self.schedule.current.get_mut(&token.sequence) {
            current.ending = Some(lsn);
        }
        None
    }

    /// The sabotage of I11: whoever waits is answered before the outcome is committed.
    fn wake_early<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        end: &AttemptEnd,
    ) {
        let outcome = match end {
            AttemptEnd::Succeeded(result) => Outcome::Succeeded(result.as_ref().clone()),
            AttemptEnd::Failed(failure) => Outcome::Failed(failure.as_ref().clone()),
            AttemptEnd::Aborted | AttemptEnd::HandedBack | AttemptEnd::NotBegun => return,
        };
        let outcome = Arc::new(outcome);
        let attempts = self.schedule.attempts(sequence);
        for token in self.waiters.take(sequence).into_keys() {
            let outcome = Arc::clone(&outcome);
            let reply = Reply::Outcome {
                sequence,
                outcome,
                attempts,
            };
            self.reply(core, context, token, reply, false);
        }
    }

    /// A start or an adoption is committed.
    pub(crate) fn attempt_committed<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        lsn: Lsn,
    ) {
        let Some(current) = self.schedule.current.get_mut(&sequence) else {
            return;
        };
        if current.lsn != lsn {
            return;
        }
        current.committed = true;
        let current = *current;
        if !current.started {
            self.begin_committed(core, context, sequence);
        } else if current.known_as != current.token {
            let verdict = AttemptVerdict::Adopted(current.token.term);
            tell(core, context, current.member, current.known_as, verdict);
        }
    }

    /// The newest attempt of a task is over: by its report if `reported`, else it must stop.
    pub(crate) fn attempt_over<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        reported: bool,
    ) {
        let Some(current) = self.schedule.current.remove(&sequence) else {
            return;
        };
        let verdict = if reported {
            AttemptVerdict::Taken
        } else {
            AttemptVerdict::Refused
        };
        tell(core, context, current.member, current.known_as, verdict);
    }

    /// An operation did not apply: an attempt that it started or ended is no longer the newest, or its task has ended.
    pub(crate) fn operation_refused<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        entry: &LogEntry,
    ) {
        let Some(current) = self.schedule.current.get(&sequence) else {
            return;
        };
        let reported = current.ending == Some(entry.lsn);
        if reported {
            context.note(Note::ReportRefused(core.partition));
        }
        if reported || current.lsn == entry.lsn {
            self.attempt_over(core, context, sequence, false);
        }
    }

    /// Members that were lost, or started anew, run nothing any more.
    pub(crate) fn executors_gone(&mut self, gone: &[MemberId]) {
        let current = self.schedule.current.iter();
        let dead: Vec<(Sequence, bool)> = current
            .filter(|(_, it)| gone.contains(&it.member) && it.ending.is_none())
            .map(|(sequence, it)| (*sequence, it.committed))
            .collect();
        for (sequence, committed) in dead {
            if committed {
                self.schedule.died(sequence);
            } else {
                // An adoption on its way is decided by its commit; after that nobody is known to have the attempt.
                self.schedule.doubt(sequence);
            }
        }
    }
}

/// What this member executes of a partition, as it names it now.
pub(crate) fn offer_of<R: Rules>(context: &Context<'_, R>, core: &Core) -> AttemptOffer {
    offer_for(
        &context.shared.attempts,
        core.partition,
        context.shared.start,
    )
}

/// What a member executes of a partition, by the newest tokens.
pub(crate) fn offer_for(
    attempts: &crate::attempts::LocalAttempts,
    partition: ringhold_types::PartitionKey,
    start: ringhold_types::StartNonce,
) -> AttemptOffer {
    let mut offer = AttemptOffer {
        partition,
        start,
        running: Vec::new(),
        finished: Vec::new(),
    };
    for (original, attempt) in attempts.of(partition) {
        let token = AttemptToken {
            term: attempt.term,
            ..*original
        };
        match &attempt.state {
            LocalState::Reserved => {}
            LocalState::Running => offer.running.push(token),
            LocalState::Finished(end, _) => offer.finished.push((token, end.clone())),
        }
    }
    offer
}

/// Reports of one offer, in bytes, and of all offers of a partition that go out together: a member that was frozen may
/// have finished much, and its messages must neither break the stream nor hold up heartbeats. What is left follows when
/// the primary has taken the first.
const OFFER_BYTES_MAX: usize = ringhold_types::limits::PREPARE_BYTES_MAX;
const OFFERS_BYTES_MAX: usize = 8 * OFFER_BYTES_MAX;

/// An offer as messages of bounded size; none if there is nothing to offer. Each stands by itself.
pub(crate) fn split(offer: AttemptOffer) -> Vec<AttemptOffer> {
    let AttemptOffer {
        partition,
        start,
        running,
        finished,
    } = offer;
    let part = |running, finished| AttemptOffer {
        partition,
        start,
        running,
        finished,
    };
    let mut parts = Vec::new();
    let mut reports = Vec::new();
    let (mut bytes, mut all) = (0, 0);
    for (token, end) in finished {
        let size = end_bytes(&end);
        if all + size > OFFERS_BYTES_MAX && all > 0 {
            break;
        }
        if bytes + size > OFFER_BYTES_MAX && !reports.is_empty() {
            parts.push(part(Vec::new(), std::mem::take(&mut reports)));
            bytes = 0;
        }
        bytes += size;
        all += size;
        reports.push((token, end));
    }
    if !reports.is_empty() || !running.is_empty() {
        parts.push(part(running, reports));
    }
    parts
}

/// Tells an executing member what became of an attempt.
fn tell<R: Rules>(
    core: &Core,
    context: &mut Context<'_, R>,
    member: MemberId,
    token: AttemptToken,
    verdict: AttemptVerdict,
) {
    if member == core.id.member {
        heed(context, token, verdict);
        return;
    }
    let to_start = context
        .shared
        .starts
        .get(&member)
        .copied()
        .unwrap_or_default();
    let answer = AttemptAnswer {
        partition: core.partition,
        to_start,
        verdicts: vec![(token, verdict)],
    };
    context.send(member, PeerMessage::AttemptAnswer(answer));
}

/// What an executing member does about a verdict.
pub(crate) fn heed<R: Rules>(
    context: &mut Context<'_, R>,
    token: AttemptToken,
    verdict: AttemptVerdict,
) {
    let attempts = &mut context.shared.attempts;
    let Some(original) = attempts.original(token) else {
        return;
    };
    match verdict {
        AttemptVerdict::Adopted(term) => attempts.raise(original, term),
        AttemptVerdict::Taken => {
            attempts.forget(original);
        }
        AttemptVerdict::Refused => stop(context.effects, attempts, original),
    }
}

/// Stops an attempt: one that runs is told to, and keeps its slot until it says that it has.
pub(crate) fn stop(
    effects: &mut Effects,
    attempts: &mut crate::attempts::LocalAttempts,
    original: AttemptToken,
) {
    let runs = attempts
        .get(original)
        .is_some_and(|it| it.state == LocalState::Running);
    if runs {
        effects.aborts.push(original);
    } else {
        attempts.forget(original);
    }
}

/// What the end of an attempt means for a task that must not be repeated (PROTOCOL §3): given back, it has failed. Only
/// where its executing member is certain that nothing was started it waits for another attempt: its run is what is never
/// repeated, and there was none. Nobody but that process can know it; what dies with it counts as begun.
fn if_given_back(core: &Core, sequence: Sequence, end: AttemptEnd) -> AttemptEnd {
    let entry = core.ring.look_up(sequence);
    let once = entry.is_ok_and(|it| it.task.on_interrupt == OnInterrupt::Fail);
    match end {
        AttemptEnd::Aborted | AttemptEnd::HandedBack if once => {
            let text = "the member that ran the task stops or was drained, and the task must not run twice";
            AttemptEnd::Failed(Arc::new(Failure::new(FailureKind::Interrupted, text)))
        }
        end => end,
    }
}

/// The operation that a report becomes.
fn op_of(token: AttemptToken, end: AttemptEnd) -> Option<Op> {
    let sequence = token.sequence;
    let attempt_term = token.term;
    let attempt = token.attempt;
    Some(match end {
        AttemptEnd::Succeeded(result) => Op::Complete {
            sequence,
            attempt_term,
            attempt,
            result,
        },
        AttemptEnd::Failed(failure) => Op::Fail {
            sequence,
            attempt: Some((attempt_term, attempt)),
            failure,
            dead_letter: false,
        },
        // An attempt that stopped unasked is given back, like one at a drain's deadline.
        AttemptEnd::Aborted | AttemptEnd::HandedBack | AttemptEnd::NotBegun => Op::HandBack {
            sequence,
            attempt_term,
            attempt,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_types::{ExecutorId, PartitionKey, PartitionNumber, StartNonce, TaskResult};

    fn offer(finished: u64, bytes: usize) -> AttemptOffer {
        let partition = PartitionKey {
            executor: ExecutorId(1),
            partition: PartitionNumber(2),
        };
        let token = |bits| AttemptToken {
            partition,
            sequence: Sequence::from_bits(bits),
            term: Term(3),
            attempt: AttemptNumber(1),
        };
        let result = TaskResult {
            payload: vec![7; bytes].into(),
            ..TaskResult::default()
        };
        let end = AttemptEnd::Succeeded(Arc::new(result));
        AttemptOffer {
            partition,
            start: StartNonce(4),
            running: vec![token(1_000)],
            finished: (0..finished)
                .map(|bits| (token(bits), end.clone()))
                .collect(),
        }
    }

    #[test]
    fn reports_are_offered_in_messages_of_bounded_size_oldest_first() {
        let parts = split(offer(12, 2 * OFFER_BYTES_MAX / 3));
        let sizes = parts.iter().map(|part| {
            part.finished
                .iter()
                .map(|(_, end)| end_bytes(end))
                .sum::<usize>()
        });
        assert!(sizes.clone().all(|size| size <= OFFER_BYTES_MAX));
        assert!(sizes.sum::<usize>() <= OFFERS_BYTES_MAX);
        let offered: Vec<u64> = parts
            .iter()
            .flat_map(|part| part.finished.iter().map(|(token, _)| token.sequence.bits()))
            .collect();
        assert_eq!(offered, (0..12).collect::<Vec<u64>>());
        let running: usize = parts.iter().map(|part| part.running.len()).sum();
        assert_eq!(running, 1, "what runs is named once");
    }

    #[test]
    fn one_report_larger_than_a_message_should_be_still_goes_out_alone() {
        let parts = split(offer(2, OFFERS_BYTES_MAX + 1));
        assert_eq!(parts.len(), 1);
        assert_eq!(
            parts[0].finished.len(),
            1,
            "the rest follows when it was taken"
        );
    }

    #[test]
    fn nothing_to_offer_is_no_message() {
        let mut nothing = offer(0, 0);
        nothing.running.clear();
        assert!(split(nothing).is_empty());
    }
}
