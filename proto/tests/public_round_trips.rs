//! Public messages come back as they were sent, through bytes.

mod strategies;

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
