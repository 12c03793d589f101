//! What makes two submits the same submit.

use std::collections::BTreeMap;

use crate::{ProcessCall, TaskCall, TaskSpec};

/// Fields that came after the first version. Each is hashed only where it is set, behind its number, so that the identity of a
/// task that has none of them stays what it was; numbers are never used twice.
#[derive(Clone, Copy)]
enum Later {
    HandlerVersion = 1,
    DefaultBinary = 2,
    DetachOk = 3,
    OutputPolicy = 4,
    Metadata = 5,
    Serial = 6,
    Parent = 7,
    Group = 8,
}

impl TaskSpec {
    /// A hash over the fields that make the task what it is, the same in every version of the software: two submits
    /// under one idempotency key are the same submit if it is equal (PROTOCOL §4, "payload identity"). Limits, priority, retry
    /// policy and times are no part of it: whoever repeats a submit may be in another hurry.
    #[must_use]
    pub fn identity(&self) -> u64 {
        let mut fields = FieldHasher::default();
        match &self.call {
            TaskCall::Handler {
                name,
                version: _,
                payload,
                content_type,
            } => {
                fields
                    .text("handler")
                    .text(name)
                    .bytes(payload)
                    .text(content_type);
            }
            TaskCall::Process(call) => fields.process(call),
        }
        fields.bytes(self.affinity_key.as_ref().map_or(&[], |key| key.as_bytes()));
        fields.map(&self.labels);
        fields.number(u64::from(self.dispose_on_success));
        fields.later_fields(self);
        fields.finish()
    }
}

/// Hashes fields with their lengths, so that moving a byte from one field to the next changes the hash.
struct FieldHasher(xxhash_rust::xxh64::Xxh64);

impl Default for FieldHasher {
    fn default() -> Self {
        Self(xxhash_rust::xxh64::Xxh64::new(0))
    }
}

impl FieldHasher {
    fn process(&mut self, call: &ProcessCall) {
        self.text("process").number(call.arguments.len() as u64);
        for argument in &call.arguments {
            self.bytes(argument);
        }
        self.map(&call.environment);
        self.text(call.working_directory.as_deref().unwrap_or(""));
        self.number(u64::from(call.standard_input.is_some()));
        self.bytes(call.standard_input.as_deref().unwrap_or(&[]));
    }

    fn later_fields(&mut self, task: &TaskSpec) {
        match &task.call {
            TaskCall::Handler { version, .. } => {
                if let Some(version) = version {
                    self.later(Later::HandlerVersion).text(version);
                }
            }
            TaskCall::Process(call) => {
                if call.uses_default_binary {
                    self.later(Later::DefaultBinary);
                }
                if call.detach_ok {
                    self.later(Later::DetachOk);
                }
                if let Some(policy) = call.output_policy {
                    self.later(Later::OutputPolicy).number(policy as u64);
                }
            }
        }
        if !task.metadata.is_empty() {
            self.later(Later::Metadata).bytes(&task.metadata);
        }
        if let Some(serial) = task.serial {
            self.later(Later::Serial).number(u64::from(serial));
        }
        let Some(origin) = &task.origin else { return };
        if let Some(parent) = &origin.parent {
            self.later(Later::Parent).text(&parent.to_string());
        }
        if let Some(group) = origin.group {
            self.later(Later::Group)
                .number(u64::from(group.partition.0))
                .number(group.sequence.bits());
        }
    }

    fn later(&mut self, field: Later) -> &mut Self {
        self.number(field as u64)
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn map(&mut self, map: &BTreeMap<String, String>) -> &mut Self {
        self.number(map.len() as u64);
        for (name, value) in map {
            self.text(name).text(value);
        }
        self
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        AffinityKey, AtEnd, IdempotencyKey, Millis, Origin, OutputPolicy, PartitionNumber,
        Priority, ProcessLimits, RetryPolicy, RingTime, Sequence, TaskLimits, TaskRef, UnixMillis,
    };

    fn process(arguments: &[&str]) -> TaskSpec {
        let arguments = arguments.iter();
        let call = ProcessCall {
            arguments: arguments
                .map(|a| Bytes::copy_from_slice(a.as_bytes()))
                .collect(),
            ..ProcessCall::default()
        };
        spec(TaskCall::Process(call))
    }

    fn handler() -> TaskSpec {
        spec(TaskCall::Handler {
            name: "render".into(),
            version: None,
            payload: Bytes::from_static(b"{\"page\":7}"),
            content_type: "application/json".into(),
        })
    }

    fn spec(call: TaskCall) -> TaskSpec {
        TaskSpec::new(call, IdempotencyKey::new("k").expect("valid"))
    }

    #[test]
    fn a_byte_that_moves_between_arguments_changes_the_identity() {
        assert_ne!(
            process(&["ab", "c"]).identity(),
            process(&["a", "bc"]).identity()
        );
        assert_eq!(
            process(&["ab", "c"]).identity(),
            process(&["ab", "c"]).identity()
        );
    }

    /// The numbers are of the first version: reckoned outside of this program, from the rule of that version's source.
    #[test]
    fn old_specs_keep_their_identity() {
        let full = TaskSpec {
            affinity_key: Some(AffinityKey::new("user-42").expect("valid")),
            labels: BTreeMap::from([("run".to_owned(), "1".to_owned())]),
            dispose_on_success: true,
            ..spec(TaskCall::Process(ProcessCall {
                arguments: vec![Bytes::from_static(b"sort"), Bytes::from_static(b"-u")],
                environment: BTreeMap::from([("LANG".to_owned(), "C".to_owned())]),
                working_directory: Some("/srv".into()),
                standard_input: Some(Bytes::new()),
                ..ProcessCall::default()
            }))
        };
        assert_eq!(handler().identity(), 0x45c9_af53_8476_f4ad);
        assert_eq!(process(&["true"]).identity(), 0x70e0_db2a_672d_2db3);
        assert_eq!(full.identity(), 0xcedc_1be6_4049_2a54);
    }

    #[test]
    fn what_makes_a_task_another_one_changes_its_identity_and_hurry_does_not() {
        let changed = |change: fn(&mut TaskSpec)| {
            let mut task = handler();
            change(&mut task);
            task.identity() != handler().identity()
        };
        let set_version = |task: &mut TaskSpec| {
            if let TaskCall::Handler { version, .. } = &mut task.call {
                *version = Some("2".into());
            }
        };
        assert!(changed(set_version));
        assert!(changed(|task| task.metadata = Bytes::from_static(b"m")));
        assert!(changed(|task| task.serial = Some(false)));
        let group = |task: &mut TaskSpec| {
            let group = TaskRef {
                partition: PartitionNumber(3),
                sequence: Sequence::from_bits(4),
            };
            task.origin = Some(Box::new(Origin {
                group: Some(group),
                ..Origin::default()
            }));
        };
        assert!(changed(group));
        let parent = |task: &mut TaskSpec| {
            task.origin = Some(Box::new(Origin {
                parent: "a/1/2".parse().ok(),
                ..Origin::default()
            }));
        };
        assert!(changed(parent));

        assert!(!changed(|task| task.priority = Priority::new(5)));
        assert!(!changed(
            |task| task.retry = Some(Box::new(RetryPolicy::never()))
        ));
        assert!(!changed(|task| task.at_end = Some(AtEnd::Fail)));
        assert!(!changed(|task| task.not_before = Some(RingTime(5))));
        assert!(!changed(|task| task.not_before_at = Some(UnixMillis(5))));
        assert!(!changed(|task| task.limits = TaskLimits {
            run: Some(Millis(1)),
            ..TaskLimits::default()
        }));
    }

    #[test]
    fn what_a_program_may_leave_behind_or_write_makes_it_another_one_and_what_it_may_use_does_not()
    {
        let changed = |change: fn(&mut ProcessCall)| {
            let mut task = process(&["cat"]);
            if let TaskCall::Process(call) = &mut task.call {
                change(call);
            }
            task.identity() != process(&["cat"]).identity()
        };
        assert!(changed(|call| call.uses_default_binary = true));
        assert!(changed(|call| call.detach_ok = true));
        assert!(changed(
            |call| call.output_policy = Some(OutputPolicy::Truncate)
        ));
        assert!(!changed(
            |call| call.limits = Some(Box::new(ProcessLimits::default()))
        ));
    }
}
