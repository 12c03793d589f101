//! Frames between a member, its helper and keepers: what is written is read again, and any bytes are read or refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringhold_sys::programs::{
    Errno, Exit, GroupId, KeeperEvent, LaunchStep, ProcessId, ProgramEnd, Resource, SpawnLimits,
    SpawnRequest, UserId,
};

fn text() -> impl Strategy<Value = OsString> {
    vec(1_u8.., 0..20).prop_map(OsString::from_vec)
}

fn limits() -> impl Strategy<Value = SpawnLimits> {
    let resource = prop_oneof![
        Just(Resource::Cpu),
        Just(Resource::AddressSpace),
        Just(Resource::OpenFiles),
        Just(Resource::Processes),
        Just(Resource::FileBytes),
        Just(Resource::CoreBytes),
    ];
    (
        vec((resource, any::<u64>()), 0..4),
        option::of(any::<i32>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        any::<bool>(),
    )
        .prop_map(
            |(resources, nice, umask, user, group, no_new_privs)| SpawnLimits {
                resources,
                nice,
                umask,
                user: user.map(UserId),
                group: group.map(GroupId),
                no_new_privs,
            },
        )
}

fn request() -> impl Strategy<Value = SpawnRequest> {
    (
        (text(), text()),
        vec(text(), 0..5),
        vec((text(), text()), 0..5),
        text(),
        limits(),
        any::<(bool, bool, u32)>(),
    )
        .prop_map(
            |(
                (file, name),
                arguments,
                environment,
                directory,
                limits,
                (detach_ok, has_stdin, grace),
            )| {
                SpawnRequest {
                    file,
                    name,
                    arguments,
                    environment,
                    directory: PathBuf::from(directory),
                    limits,
                    detach_ok,
                    has_stdin,
                    leftover_grace: Duration::from_millis(u64::from(grace)),
                }
            },
        )
}

fn end() -> impl Strategy<Value = ProgramEnd> {
    let exit = prop_oneof![
        any::<i32>().prop_map(Exit::Code),
        any::<i32>().prop_map(Exit::Signal)
    ];
    let times = any::<(u32, u32)>();
    (exit, times, any::<(bool, u64, u32, bool)>()).prop_map(|(exit, (user, system), rest)| {
        let (core_dumped, max_rss_bytes, leftovers, unreaped) = rest;
        ProgramEnd {
            exit,
            core_dumped,
            user: Duration::from_micros(user.into()),
            system: Duration::from_micros(system.into()),
            max_rss_bytes,
            leftovers,
            unreaped,
        }
    })
}

fn event() -> impl Strategy<Value = KeeperEvent> {
    let step = prop_oneof![
        Just(LaunchStep::Request),
        Just(LaunchStep::Fork),
        Just(LaunchStep::Session),
        Just(LaunchStep::Execute)
    ];
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(program, keeper)| KeeperEvent::Started {
            program: ProcessId(program),
            keeper: ProcessId(keeper),
        }),
        (step, any::<i32>()).prop_map(|(step, errno)| KeeperEvent::LaunchFailed {
            step,
            errno: Errno(errno),
        }),
        end().prop_map(KeeperEvent::Ended),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written_and_no_part_of_it_is_one(request in request()) {
        let frame = request.encode();
        for length in 0..frame.len() {
            prop_assert_eq!(SpawnRequest::decode(&frame[..length]), Ok(None));
        }
        let mut followed = frame.clone();
        followed.extend([7, 7]);
        prop_assert_eq!(SpawnRequest::decode(&followed), Ok(Some((request, frame.len()))));
    }

    #[test]
    fn an_event_is_read_as_it_was_written_and_no_part_of_it_is_one(event in event()) {
        let frame = event.encode();
        for length in 0..frame.len() {
            prop_assert_eq!(KeeperEvent::decode(&frame[..length]), Ok(None));
        }
        prop_assert_eq!(KeeperEvent::decode(&frame), Ok(Some((event, frame.len()))));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = SpawnRequest::decode(&bytes);
        let _ = KeeperEvent::decode(&bytes);
    }

    #[test]
    fn a_garbled_frame_is_refused_or_read_as_something_that_writes_the_same(
        request in request(), event in event(), place in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let garble = |mut frame: Vec<u8>| {
            let place = place.index(frame.len());
            frame[place] ^= 1 << bit;
            frame
        };
        let frame = garble(request.encode());
        if let Ok(Some((read, length))) = SpawnRequest::decode(&frame) {
            prop_assert_eq!(read.encode(), frame[..length].to_vec());
        }
        let frame = garble(event.encode());
        if let Ok(Some((read, length))) = KeeperEvent::decode(&frame) {
            prop_assert_eq!(read.encode(), frame[..length].to_vec());
        }
    }
}
