//! Messages between members.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringhold_replica::message::{
    AttemptAnswer, AttemptOffer, AttemptVerdict, Fence, LogSummary, TailReply, TailRequest,
};
use ringhold_replica::{
    Ack, AttemptEnd, Heartbeat, HeartbeatReply, PeerMessage, Prepare, SnapshotPart,
};
use ringhold_types::{
    AttemptToken, ConfigurationVersion, ControlIndex, ExecutorId, Generation, Lsn, PartitionKey,
    PartitionNumber, StartNonce, Term, Tick,
};

use super::number;
use super::ring::{log_entry, replica, result, ring_part, token};
use super::task::failure;

pub(crate) fn partition() -> impl Strategy<Value = PartitionKey> {
    any::<(u32, u32)>().prop_map(|(executor, partition)| PartitionKey {
        executor: ExecutorId(executor),
        partition: PartitionNumber(partition),
    })
}

prop_compose! {
    fn fence()(
        partition in partition(),
        (generation, term, to_start) in (number(), number(), number()),
        (from, to) in (replica(), replica()),
    ) -> Fence {
        Fence {
            partition, generation: Generation(generation), term: Term(term), from, to,
            to_start: StartNonce(to_start),
        }
    }
}

fn summary() -> impl Strategy<Value = LogSummary> {
    let starts = vec((number(), number()), 0..3);
    (starts, number(), number()).prop_map(|(starts, last, commit)| LogSummary {
        starts: starts
            .into_iter()
            .map(|(term, lsn)| (Term(term), Lsn(lsn)))
            .collect(),
        last: Lsn(last),
        commit: Lsn(commit),
    })
}

prop_compose! {
    fn prepare()(
        fence in fence(),
        (version, previous, previous_term, commit, length) in
            (number(), number(), number(), number(), number()),
        entries in vec(log_entry(), 0..3),
    ) -> Prepare {
        Prepare {
            fence, version: ConfigurationVersion(version), previous: Lsn(previous),
            previous_term: Term(previous_term), entries, commit: Lsn(commit), length: Lsn(length),
        }
    }
}

prop_compose! {
    fn ack()(
        fence in fence(),
        (start, matched, snapshot, version) in (number(), number(), number(), number()),
        mismatch in option::of(summary()),
        (needs_snapshot, cut_mark) in any::<(bool, bool)>(),
        snapshot_parts in any::<u32>(),
    ) -> Ack {
        Ack {
            fence, start: StartNonce(start), matched: Lsn(matched), mismatch, needs_snapshot,
            snapshot, snapshot_parts, version: ConfigurationVersion(version), cut_mark,
        }
    }
}

prop_compose! {
    fn snapshot_part()(
        fence in fence(),
        (snapshot, lsn, lsn_term) in (number(), number(), number()),
        (index, count) in any::<(u32, u32)>(),
        part in ring_part(),
    ) -> SnapshotPart {
        SnapshotPart {
            fence, snapshot, lsn: Lsn(lsn), lsn_term: Term(lsn_term), index, count, part,
        }
    }
}

prop_compose! {
    fn tail_reply()(
        fence in fence(),
        cut_mark in any::<bool>(),
        summary in summary(),
        last_term in number(),
        entries in vec(log_entry(), 0..3),
        base in number(),
        start in number(),
    ) -> TailReply {
        TailReply {
            fence, start: StartNonce(start), cut_mark, summary, last_term: Term(last_term), entries, base: Lsn(base),
        }
    }
}

fn attempt_token() -> impl Strategy<Value = AttemptToken> {
    (partition(), token()).prop_map(|(partition, (sequence, term, attempt))| AttemptToken {
        partition,
        sequence,
        term,
        attempt,
    })
}

fn end() -> impl Strategy<Value = AttemptEnd> {
    prop_oneof![
        result().prop_map(AttemptEnd::Succeeded),
        failure().prop_map(|failure| AttemptEnd::Failed(Arc::new(failure))),
        Just(AttemptEnd::Aborted),
        Just(AttemptEnd::HandedBack),
        Just(AttemptEnd::NotBegun),
    ]
}

fn offer() -> impl Strategy<Value = AttemptOffer> {
    let finished = vec((attempt_token(), end()), 0..3);
    (partition(), number(), vec(attempt_token(), 0..3), finished).prop_map(
        |(partition, start, running, finished)| AttemptOffer {
            partition,
            start: StartNonce(start),
            running,
            finished,
        },
    )
}

fn answer() -> impl Strategy<Value = AttemptAnswer> {
    let verdict = prop_oneof![
        number().prop_map(|term| AttemptVerdict::Adopted(Term(term))),
        Just(AttemptVerdict::Taken),
        Just(AttemptVerdict::Refused),
    ];
    let verdicts = vec((attempt_token(), verdict), 0..3);
    (partition(), number(), verdicts).prop_map(|(partition, to_start, verdicts)| AttemptAnswer {
        partition,
        to_start: StartNonce(to_start),
        verdicts,
    })
}

pub(crate) fn peer_message() -> impl Strategy<Value = PeerMessage> {
    let full = (any::<bool>(), any::<bool>());
    let heartbeat = (number(), number(), number(), full).prop_map(
        |(start, sent, applied, (disk_full, rings_full))| Heartbeat {
            start: StartNonce(start),
            sent: Tick(sent),
            applied: ControlIndex(applied),
            disk_full,
            rings_full,
        },
    );
    let reply =
        (number(), number(), number(), number()).prop_map(|(start, to_start, sent, applied)| {
            HeartbeatReply {
                start: StartNonce(start),
                to_start: StartNonce(to_start),
                sent: Tick(sent),
                applied: ControlIndex(applied),
            }
        });
    let tail_request = (fence(), number(), number()).prop_map(|(fence, lsn, term)| TailRequest {
        fence,
        from_lsn: Lsn(lsn),
        from_term: Term(term),
    });
    prop_oneof![
        heartbeat.boxed().prop_map(PeerMessage::Heartbeat),
        reply.boxed().prop_map(PeerMessage::HeartbeatReply),
        prepare().boxed().prop_map(PeerMessage::Prepare),
        ack().boxed().prop_map(PeerMessage::Ack),
        snapshot_part().boxed().prop_map(PeerMessage::SnapshotPart),
        tail_request.boxed().prop_map(PeerMessage::TailRequest),
        tail_reply().boxed().prop_map(PeerMessage::TailReply),
        offer().boxed().prop_map(PeerMessage::AttemptOffer),
        answer().boxed().prop_map(PeerMessage::AttemptAnswer),
    ]
}
