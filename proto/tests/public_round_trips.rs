//! Public messages come back as they were sent, through bytes.

mod strategies;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use ringhold_proto::{SubmittedTask, v1};
use ringhold_types::{ExecutorConfig, Outcome};
use strategies::task::{executor, outcome, task};

fn through_bytes<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("just encoded")
}

proptest! {
    #[test]
    fn a_task_comes_back_as_it_was_submitted(task in task()) {
        let message = through_bytes(&v1::Task::from(&task));
        let read = SubmittedTask::read(message, || unreachable!("there is a key"));
        prop_assert_eq!(read, Ok(SubmittedTask { task, not_before: None, retry_safe: true }));
    }

    #[test]
    fn nothing_that_was_read_from_a_submitted_task_keeps_its_buffer_alive(task in task()) {
        let buffer = Bytes::from(v1::Task::from(&task).encode_to_vec());
        let message = v1::Task::decode(buffer.clone()).expect("just encoded");
        let read = SubmittedTask::read(message, || unreachable!("there is a key"));
        prop_assert!(buffer.is_unique());
        prop_assert!(read.is_ok());
    }

    #[test]
    fn an_outcome_comes_back_as_it_was(outcome in outcome()) {
        let message = through_bytes(&v1::Outcome::from(&outcome));
        prop_assert_eq!(Outcome::try_from(message), Ok(outcome));
    }

    #[test]
    fn a_configuration_comes_back_as_it_was(config in executor()) {
        let message = through_bytes(&v1::ExecutorConfig::from(&config));
        prop_assert_eq!(ExecutorConfig::try_from(message), Ok(config));
    }
}
