//! A new primary whose tail was cut at start (PROTOCOL §5): before its `TermStart` it takes the longest tail that its in-sync
//! peers hold, for it may have acknowledged what the cut took.
//!
//! One peer without a mark suffices: it lost nothing, so it holds all that was ever committed. If all carry a mark, all must
//! answer. With no in-sync peer to ask this replica does not lead: only a recorded loss, a new generation, lets it. A peer
//! whose log begins after what is left here cannot give its tail away: it leads instead, and asks in turn if it is marked.
//!
//! The mark goes as soon as the tail is on disk, if a peer without a mark was among those that answered: nothing that was ever
//! committed is missing then. Who answers has adopted this term, so it acknowledges nothing to an earlier primary any more,
//! and without it nothing more is committed there: it has a seat, and had one or was required whenever something was (I3, I5,
//! I6, I7). So what it holds is all there is.

use std::collections::BTreeMap;

use ringhold_ringbuffer::{LogEntry, Op};
use ringhold_types::{ChangeKind, MemberId, ReplicaId, Sequence, StartNonce, Term, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::divergence::common_point;
use crate::effect::Note;
use crate::message::{PeerMessage, TailReply, TailRequest};
use crate::primary::{Phase, Primary};
use crate::rules::{Rule, Rules};

/// A peer that was asked this often for the next piece of its tail, and is silent, is not waited for.
const SILENCES_MAX: u32 = 3;

/// The search for a cut tail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asking {
    /// The newest answer of each in-sync peer.
    answers: BTreeMap<ReplicaId, TailReply>,
    /// Whose tail is being taken.
    taking: Option<Giver>,
    /// When everybody who matters is asked (again).
    ask_at: Tick,
}

/// A peer whose tail is being taken, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Giver {
    peer: ReplicaId,
    /// The process start in which it said what it holds.
    start: StartNonce,
    /// How often it was asked since it last answered.
    silences: u32,
}

impl Asking {
    pub(crate) const fn new(now: Tick) -> Self {
        Self {
            answers: BTreeMap::new(),
            taking: None,
            ask_at: now,
        }
    }

    /// What a peer said no longer counts, and who gives the tail is decided again.
    fn forget(&mut self, peer: ReplicaId, now: Tick) {
        self.answers.remove(&peer);
        self.taking = self.taking.filter(|giver| giver.peer != peer);
        self.ask_at = now;
    }

    /// A process started anew: its disk may hold less than it said.
    pub(crate) fn restarted(&mut self, member: MemberId, now: Tick) {
        let giver = self.taking.map(|giver| giver.peer);
        let said: Vec<ReplicaId> = self.answers.keys().copied().chain(giver).collect();
        for peer in said.into_iter().filter(|peer| peer.member == member) {
            self.forget(peer, now);
        }
    }

    /// A peer answered. An answer of another process start of it, which may hold less, undoes what was decided on the former
    /// one.
    fn heard(&mut self, peer: ReplicaId, reply: TailReply, now: Tick) {
        let giver = self.taking.filter(|giver| giver.peer == peer);
        let answered = self.answers.get(&peer).map(|answer| answer.start);
        let mut former = answered.into_iter().chain(giver.map(|giver| giver.start));
        if former.any(|start| start != reply.start) {
            self.forget(peer, now);
        } else if let Some(giver) = &mut self.taking {
            giver.silences = 0;
        }
        self.answers.insert(peer, reply);
    }

    /// This peer's tail is taken, as the process that started so told of it.
    fn take_from(&mut self, peer: ReplicaId, start: StartNonce) {
        let known = self.taking.filter(|giver| giver.peer == peer);
        self.taking = Some(Giver {
            peer,
            start,
            silences: known.map_or(0, |giver| giver.silences),
        });
    }

    pub(crate) const fn deadline(&self) -> Tick {
        self.ask_at
    }

    /// Asks, and asks again after a silence.
    pub(crate) fn flush<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        if self.ask_at > context.now {
            return;
        }
        if let Some(silent) = self.taking.filter(|giver| giver.silences >= SILENCES_MAX) {
            self.forget(silent.peer, context.now);
        }
        self.ask_at = context.now.after(context.shared.timing.resend);
        let others = core.configuration.in_sync.iter().copied();
        let asked: Vec<ReplicaId> = match &mut self.taking {
            Some(giver) => {
                giver.silences += 1;
                vec![giver.peer]
            }
            None => others.filter(|peer| *peer != core.id).collect(),
        };
        for peer in asked {
            let request = TailRequest {
                fence: core.fence(context, peer),
                from_lsn: core.log.last(),
                from_term: core.log.last_term(),
            };
            context.send(peer.member, PeerMessage::TailRequest(request));
        }
    }

    /// What those said that have a seat.
    fn seated<'a>(
        &'a self,
        core: &'a Core,
    ) -> impl Iterator<Item = (&'a ReplicaId, &'a TailReply)> {
        let answers = self.answers.iter();
        answers.filter(|(peer, _)| core.configuration.is_in_sync(**peer))
    }

    /// Whether one of those that answered lost nothing: it holds all that was ever committed before this term.
    fn heard_a_whole_one<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> bool {
        let mut answers = self.seated(core);
        let any = context.drops(Rule::TailFromWholePeer);
        answers.any(|(_, reply)| any || !reply.cut_mark)
    }

    /// The peer that holds the most, once enough have answered.
    fn best<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<ReplicaId> {
        let seats = core.configuration.in_sync.iter();
        let mut others = seats.filter(|peer| **peer != core.id).peekable();
        others.peek()?;
        let whole = self.heard_a_whole_one(core, context);
        if !whole && !others.all(|peer| self.answers.contains_key(peer)) {
            return None;
        }
        self.seated(core)
            .max_by_key(|(_, reply)| (reply.last_term, reply.summary.last))
            .map(|(peer, _)| *peer)
    }
}

impl Primary {
    /// A peer's tail arrived.
    pub(crate) fn tail_reply<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        reply: TailReply,
    ) {
        let from = reply.fence.from;
        let Phase::Asking(asking) = &mut self.phase else {
            return;
        };
        if core.configuration.is_in_sync(from) && from != core.id {
            asking.heard(from, reply, context.now);
            asking.ask_at = asking
                .ask_at
                .min(context.now.after(context.shared.timing.resend));
        }
    }

    /// Takes the best tail, piece by piece, and begins the term with it. Tells whether there is more to do at once.
    pub(crate) fn ask_for_tail<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) -> bool {
        if core.configuration.in_sync == [core.id] {
            self.give_up_tail(core, context);
            return false;
        }
        if self.change.is_some() {
            self.follow_up(core, context);
            return false;
        }
        let Phase::Asking(asking) = &mut self.phase else {
            return false;
        };
        let seated = |giver: &Giver| core.configuration.is_in_sync(giver.peer);
        asking.taking = asking.taking.filter(seated);
        let giver = asking.taking.map(|giver| giver.peer);
        let Some(best) = giver.or_else(|| asking.best(core, context)) else {
            return false;
        };
        let Some(reply) = asking.answers.get(&best).cloned() else {
            return false;
        };
        let mine = (core.log.last_term(), core.log.last());
        if mine >= (reply.last_term, reply.summary.last) {
            if asking.heard_a_whole_one(core, context) {
                // The term's first entry may wait for a seat that is dead, and that seat for the mark.
                core.clear_cut_mark(context);
            }
            self.begin_term(core, context);
            return true;
        }
        asking.take_from(best, reply.start);
        match take_piece(core, context, &reply) {
            Piece::Taken => context.note(Note::TailTaken(core.partition)),
            Piece::AskAgain => {}
            Piece::OutOfReach => {
                self.leave_to(core, context, best);
                return false;
            }
        }
        let Phase::Asking(asking) = &mut self.phase else {
            return false;
        };
        let done = (core.log.last_term(), core.log.last()) >= (reply.last_term, reply.summary.last);
        if !done {
            asking.answers.remove(&best);
            asking.ask_at = context.now;
        }
        done
    }
}

impl Primary {
    /// Nobody with a seat is left to ask: what the cut took counts as lost once the control plane has recorded it.
    fn give_up_tail<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        if self.change.is_some() {
            self.follow_up(core, context);
        } else {
            let from = first_lost(core);
            self.propose(core, context, ChangeKind::RecordLoss { from, at: None });
        }
    }

    /// The peer that holds the most has dropped the entries that would join its log to ours. It has everything, so it leads.
    /// If that is refused, everybody is asked again.
    fn leave_to<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>, best: ReplicaId) {
        self.phase = Phase::Asking(Asking::new(context.now));
        context.note(Note::TailOutOfReach(core.partition));
        self.propose(core, context, ChangeKind::HandOver { to: best });
    }
}

/// The first sequence that neither the ring nor the log after it holds.
fn first_lost(core: &Core) -> Sequence {
    let accepted = |entry: &LogEntry| match entry.op {
        Op::Accept { sequence, .. } => Some(sequence),
        _ => None,
    };
    let last = core.log.entries().filter_map(accepted).max();
    let after = last.map_or(core.ring.next_sequence(), |it| it.next().unwrap_or(it));
    after.max(core.ring.next_sequence())
}

/// What became of a piece of a tail.
enum Piece {
    /// The log grew.
    Taken,
    /// The log was cut to the common point, or has this piece: the next request begins there.
    AskAgain,
    /// The peer's log begins after the common point.
    OutOfReach,
}

/// Cuts what differs and appends what follows.
fn take_piece<R: Rules>(core: &mut Core, context: &mut Context<'_, R>, reply: &TailReply) -> Piece {
    // The other way round the peer's commit would count as common, and a log with a mark may end in entries of a term that
    // was replaced: what replaced them was in the part that was cut.
    let common = common_point(&reply.summary, &core.log.summary(core.commit));
    if common < core.log.last() {
        let Some(theirs) = reply.summary.term_at(common.next()) else {
            // The peer has dropped what would tell whether the logs part there: nothing is cut on a guess (I10).
            return Piece::OutOfReach;
        };
        core.cut_after(context, common, Some(theirs));
        return Piece::AskAgain;
    }
    if reply.base > core.log.last() {
        return Piece::OutOfReach;
    }
    let before = core.log.last();
    for entry in &reply.entries {
        if entry.lsn == core.log.last().next() {
            core.append(context, entry.clone());
        }
    }
    if core.log.last() > before {
        Piece::Taken
    } else {
        Piece::AskAgain
    }
}

/// Answers a new primary that asks for the tail beyond its own. Entries are sent only if its last entry is ours too;
/// otherwise the summary tells it where to cut, and it asks again from there.
pub(crate) fn answer_request<R: Rules>(
    core: &Core,
    context: &mut Context<'_, R>,
    request: &TailRequest,
) {
    let known = core.log.term_at(request.from_lsn) == Some(request.from_term);
    let entries: Vec<LogEntry> = if known {
        core.log.batch_after(request.from_lsn)
    } else {
        Vec::new()
    };
    let last_term: Term = core.log.last_term();
    let reply = TailReply {
        fence: core.fence(context, request.fence.from),
        start: context.shared.start,
        cut_mark: core.cut_mark.is_carried(),
        summary: core.log.summary(core.commit),
        last_term,
        entries,
        base: core.log.base(),
    };
    context.send(request.fence.from.member, PeerMessage::TailReply(reply));
}
