//! What members say to each other and store comes back as it was, through bytes; what is not known is refused.
#![cfg(feature = "internal")]

mod strategies;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use ringhold_control::Response;
use ringhold_proto::{ConversionError, internal, stored};
use ringhold_replica::PeerMessage;
use strategies::control::{command, response, snapshot};
use strategies::peer::peer_message;
use strategies::ring::{log_entry, ring_part};

fn through_bytes<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("just encoded")
}

proptest! {
    #[test]
    fn a_log_entry_comes_back_as_it_was_stored(entry in log_entry()) {
        let bytes = stored::encode_entry(&entry);
        prop_assert_eq!(stored::decode_entry(&bytes), Ok(entry));
    }

    #[test]
    fn a_part_of_a_ring_comes_back_as_it_was_stored(part in ring_part()) {
        let bytes = stored::encode_part(&part);
        prop_assert_eq!(stored::decode_part(&bytes), Ok(part));
    }

    #[test]
    fn a_peer_message_comes_back_as_it_was_sent(message in peer_message()) {
        let sent = through_bytes(&internal::PeerMessage::from(&message));
        prop_assert_eq!(PeerMessage::try_from(sent), Ok(message));
    }

    #[test]
    fn nothing_that_was_read_from_a_peer_message_keeps_its_buffer_alive(message in peer_message()) {
        let buffer = Bytes::from(internal::PeerMessage::from(&message).encode_to_vec());
        let sent = internal::PeerMessage::decode(buffer.clone()).expect("just encoded");
        let read = PeerMessage::try_from(sent);
        prop_assert!(buffer.is_unique() || buffer.is_empty());
        prop_assert_eq!(read, Ok(message));
    }

    #[test]
    fn a_command_comes_back_as_it_was_stored(command in command()) {
        let bytes = stored::encode_command(&command);
        prop_assert_eq!(stored::decode_command(&bytes), Ok(command));
    }

    #[test]
    fn an_answer_comes_back_as_it_was_sent(response in response()) {
        let sent = through_bytes(&internal::Response::from(&response));
        prop_assert_eq!(Response::try_from(sent), Ok(response));
    }

    #[test]
    fn cluster_state_comes_back_as_it_was_stored(snapshot in snapshot()) {
        let bytes = stored::encode_cluster(&snapshot);
        prop_assert_eq!(stored::decode_cluster(&bytes), Ok(snapshot));
    }

    #[test]
    fn bytes_of_any_kind_are_decoded_or_refused_but_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _entry = stored::decode_entry(&bytes);
        let _part = stored::decode_part(&bytes);
        let _command = stored::decode_command(&bytes);
        let _cluster = stored::decode_cluster(&bytes);
        let _message = internal::PeerMessage::decode(bytes.as_slice()).map(PeerMessage::try_from);
        let _response = internal::Response::decode(bytes.as_slice()).map(Response::try_from);
    }

    #[test]
    fn a_damaged_entry_is_decoded_or_refused_but_never_panics(
        entry in log_entry(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut bytes = stored::encode_entry(&entry).to_vec();
        prop_assume!(!bytes.is_empty());
        let position = at.index(bytes.len());
        bytes[position] ^= flip;
        let _whatever_is_left = stored::decode_entry(&bytes);
    }
}

/// Field 500 with an empty message: what a newer version's operation looks like to this one.
const FROM_A_NEWER_VERSION: [u8; 3] = [0xa2, 0x1f, 0];

#[test]
fn what_a_newer_version_wrote_is_refused_by_name_and_never_taken_for_nothing() {
    let bytes = FROM_A_NEWER_VERSION.as_slice();
    let unknown = |what| ConversionError::UnknownOperation { what };
    assert_eq!(stored::decode_entry(bytes), Err(unknown("operation")));
    assert_eq!(stored::decode_part(bytes), Err(unknown("ring part")));
    assert_eq!(stored::decode_command(bytes), Err(unknown("command")));
    let message = internal::PeerMessage::decode(bytes).expect("a whole message");
    assert_eq!(PeerMessage::try_from(message), Err(unknown("peer message")));
    let response = internal::Response::decode(bytes).expect("a whole message");
    assert_eq!(Response::try_from(response), Err(unknown("answer")));
}

#[test]
fn an_operation_without_its_parts_is_refused_by_the_name_of_the_part() {
    let message = internal::LogEntry {
        op: Some(internal::log_entry::Op::Complete(
            internal::Complete::default(),
        )),
        ..internal::LogEntry::default()
    };
    assert_eq!(
        stored::decode_entry(&message.encode_to_vec()),
        Err(ConversionError::Missing {
            field: "complete.attempt"
        })
    );
}

#[test]
fn cluster_state_that_names_a_member_twice_is_refused() {
    let member = internal::MemberRecord {
        info: Some(internal::MemberInfo::default()),
        state: internal::MemberState::Up.into(),
        ..internal::MemberRecord::default()
    };
    let message = internal::ClusterSnapshot {
        members: vec![member.clone(), member],
        ..internal::ClusterSnapshot::default()
    };
    assert_eq!(
        stored::decode_cluster(&message.encode_to_vec()),
        Err(ConversionError::Repeated {
            field: "snapshot.members"
        })
    );
}
