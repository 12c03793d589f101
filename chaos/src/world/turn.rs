//! A process's turn: it takes what has arrived, and its shell does what the machine asks for: persist, send, reply, start.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_replica::{Effects, Event, Member, MemberOptions, RoleView, Rule};
use ringhold_types::{PartitionKey, StartNonce, Term, Tick};

use super::World;
use super::assertions::named;
use super::host::{Clock, Process};
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::{MILLISECOND, SECOND};
use crate::sabotage::Sabotage;

impl World {
    /// Starts the process of a machine.
    pub(crate) fn start_process(&mut self, slot: usize) {
        let goes_on = self.sabotage == Sabotage::Rule(Rule::RestartRaisesTerm);
        let now = self.now;
        let host = &mut self.hosts[slot];
        if host.process.is_some() || host.is_gone || host.stays_dead {
            return;
        }
        let random = &mut self.random.processes;
        let fresh = StartNonce(random.bits() | 1);
        let again = host.presented_before.last().copied();
        // The sabotage of I18: a process start that nobody can tell from the one before.
        let start = again
            .filter(|_| goes_on && host.accepted != StartNonce::ZERO)
            .unwrap_or(fresh);
        let base = random.below(100 * SECOND);
        let clock = Clock::new(now, base, host.deviation);
        let Some((recovered, unlisted_cut)) = self.open_store(slot) else {
            return;
        };
        let host = &mut self.hosts[slot];
        host.presented_before.push(start);
        let options = MemberOptions {
            id: host.member,
            start,
            rules: self.sabotage.rules(self.watch),
            timing: self.plan.timing,
            unlisted_cut,
            ring_bytes_max: u64::MAX,
        };
        let next_notice = host.applied.saturating_sub(1);
        host.process = Some(Process {
            start,
            machine: Member::new(options, recovered, clock.tick(now)),
            clock,
            inbox: Vec::new(),
            turn_at: None,
            timer_at: None,
            running: BTreeMap::new(),
            lingering: BTreeSet::new(),
            next_notice,
            is_new: true,
            notice_due: false,
            drains: false,
            disk_full: false,
            compared: BTreeMap::new(),
            led: BTreeMap::new(),
            versions: BTreeMap::new(),
        });
        self.expect_notice(slot);
        let at = now + self.random.processes.below(5 * MILLISECOND);
        self.queue.push(at, Happening::Present { slot, start });
        self.queue.push(at, Happening::Beat { slot, start });
    }

    /// Gives an event to a process, if one runs, and lets it take its turn soon.
    pub(crate) fn put(&mut self, slot: usize, event: Event) {
        let now = self.now;
        let host = &mut self.hosts[slot];
        let paused_until = host.paused_until;
        let Some(process) = host.process.as_mut() else {
            return;
        };
        process.inbox.push(event);
        if process.turn_at.is_none() {
            // Events gather while a turn is on its way, so that one turn works on many.
            let at = (now + self.random.processes.skewed(10, 800)).max(paused_until);
            process.turn_at = Some(at);
            let start = process.start;
            self.queue.push(at, Happening::Turn { slot, start });
        }
    }

    /// A process wanted to be woken.
    pub(crate) fn timer(&mut self, slot: usize, start: StartNonce, at: u64) {
        let process = self.hosts[slot]
            .process
            .as_mut()
            .filter(|it| it.start == start);
        let Some(process) = process.filter(|it| it.timer_at == Some(at)) else {
            return;
        };
        process.timer_at = None;
        self.put(slot, Event::Timer);
    }

    /// A process works on what has arrived.
    pub(crate) fn turn(&mut self, slot: usize, start: StartNonce) {
        let now = self.now;
        let host = &mut self.hosts[slot];
        let paused_until = host.paused_until;
        let Some(process) = host.process.as_mut().filter(|it| it.start == start) else {
            return;
        };
        if paused_until > now {
            process.turn_at = Some(paused_until);
            self.queue
                .push(paused_until, Happening::Turn { slot, start });
            return;
        }
        process.turn_at = None;
        let tick = process.clock.tick(now);
        let mut effects = Effects::default();
        let inbox = std::mem::take(&mut process.inbox);
        if self.narrates {
            narrate(now, host.member, &inbox);
        }
        for event in inbox {
            process.machine.step(tick, event, &mut effects);
        }
        process.machine.finish_turn(tick, &mut effects);
        self.trace.fold(effects.send.len() as u64);
        self.trace.fold(effects.replies.len() as u64);
        if let Some(reason) = effects.fatal.take() {
            self.violate(named(&reason).unwrap_or("Fatal"), reason);
            return;
        }
        if self.narrates {
            self.narrate_effects(slot, &effects);
        }
        self.mark_turn(slot, tick);
        let led = self.led_now(slot);
        self.check_refusals(&effects);
        self.observe(slot);
        self.check_assertions(slot, &effects, &led);
        self.check_answers(slot, &effects, &led);
        if let Some(process) = self.hosts[slot].process.as_mut() {
            process.led = led;
            let replicas = process.machine.replicas();
            process.versions = replicas
                .map(|it| (it.partition(), it.configuration().version))
                .collect();
        }
        self.perform(slot, start, effects);
        self.set_timer(slot);
    }

    /// Notes what this turn shows of rules that were tried.
    fn mark_turn(&mut self, slot: usize, tick: Tick) {
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return;
        };
        let mut led = process.led.iter();
        if led.any(|(partition, term)| self.oracle.is_past(*partition, *term).is_some()) {
            self.coverage.mark(Mark::ZombieWoke);
        }
        let mut replicas = process.machine.replicas();
        let waits = replicas.any(|replica| {
            replica.role() == RoleView::TakingOver
                && replica.waits_until().is_some_and(|until| until > tick)
        });
        if waits {
            self.coverage.mark(Mark::WaitedForGrants);
        }
    }

    /// The terms in which a process may have answered in this turn: what it leads now, or led before.
    fn led_now(&self, slot: usize) -> BTreeMap<PartitionKey, Term> {
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return BTreeMap::new();
        };
        let leading = process
            .machine
            .replicas()
            .filter(|replica| matches!(replica.role(), RoleView::Leading | RoleView::Passive));
        leading
            .map(|replica| (replica.partition(), replica.term()))
            .collect()
    }

    fn narrate_effects(&self, slot: usize, effects: &Effects) {
        let member = self.hosts[slot].member.0;
        let at = self.now as f64 / 1e6;
        for (to, message) in &effects.send {
            if !is_heartbeat(message) {
                eprintln!("{at:>12.6} {member} sends {} {message:?}", to.0);
            }
        }
        for (token, reply) in &effects.replies {
            eprintln!("{at:>12.6} {member} answers {} {reply:?}", token.0);
        }
        for note in &effects.notes {
            eprintln!("{at:>12.6} {member} notes {note:?}");
        }
        for start in &effects.starts {
            eprintln!("{at:>12.6} {member} starts {:?}", start.token);
        }
        for change in &effects.proposals {
            eprintln!("{at:>12.6} {member} proposes {change:?}");
        }
    }

    fn perform(&mut self, slot: usize, start: StartNonce, effects: Effects) {
        if let Some(token) = effects.persist_token {
            self.persist(slot, start, effects.persist, token);
        }
        for (to, message) in effects.send {
            let message = self.sabotage.tamper(message);
            self.send(slot, to, message);
        }
        for (token, reply) in effects.replies {
            self.answer(slot, token, reply);
        }
        for attempt in effects.starts {
            self.begin_attempt(slot, start, attempt);
        }
        for token in effects.aborts {
            self.abort_attempt(slot, start, token);
        }
        for token in effects.hand_backs {
            self.hand_back(slot, start, token);
        }
        for change in effects.proposals {
            self.propose(slot, start, change);
        }
        for note in effects.notes {
            if let Some(mark) = Mark::of_note(note) {
                self.coverage.mark(mark);
            }
        }
    }

    fn set_timer(&mut self, slot: usize) {
        let now = self.now;
        let Some(process) = self.hosts[slot].process.as_mut() else {
            return;
        };
        let Some(deadline) = process.machine.deadline() else {
            process.timer_at = None;
            return;
        };
        let at = process.clock.true_time(Tick(deadline.0)).max(now + 10);
        if process.timer_at.is_none_or(|set| set > at || set <= now) {
            process.timer_at = Some(at);
            let start = process.start;
            self.queue.push(at, Happening::Timer { slot, start, at });
        }
    }
}

fn narrate(now: u64, member: ringhold_types::MemberId, inbox: &[Event]) {
    for event in inbox {
        let quiet = match event {
            Event::Message { message, .. } => is_heartbeat(message),
            Event::Timer | Event::ControlLease { .. } => true,
            _ => false,
        };
        if !quiet {
            eprintln!("{:>12.6} {} takes {event:?}", now as f64 / 1e6, member.0);
        }
    }
}

fn is_heartbeat(message: &ringhold_replica::PeerMessage) -> bool {
    use ringhold_replica::PeerMessage;
    matches!(
        message,
        PeerMessage::Heartbeat(_) | PeerMessage::HeartbeatReply(_)
    )
}
