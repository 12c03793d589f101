//! Whether a member can do its share, and if not, why.

use std::sync::OnceLock;

use ringhold_control::MemberState;
use ringhold_types::MemberId;
use tokio::sync::watch;

use crate::control::ControlPlane;
use crate::member::Ended;
use crate::partition::DriverHandle;

/// Most partitions named in a reason; the rest are counted.
const PARTITIONS_NAMED_MAX: usize = 5;

/// A member that has joined.
struct Running {
    member: MemberId,
    driver: DriverHandle,
    ended: watch::Receiver<Ended>,
}

impl Running {
    /// Why it ended by itself, if it did.
    fn failed(&self) -> Option<String> {
        match &*self.ended.borrow() {
            Some(Err(reason)) => Some(format!(
                "it has failed, and others take over what it led: {reason}; start it again once that is mended"
            )),
            _ => None,
        }
    }
}

/// Looks at the member from outside, from the first moment of the process on: its parts are told as they come into being.
#[derive(Default)]
pub struct Readiness {
    control: OnceLock<ControlPlane>,
    running: OnceLock<Running>,
    stopping: OnceLock<()>,
}

impl Readiness {
    /// The control plane is open; it is about to join.
    pub fn joins(&self, control: ControlPlane) {
        // A second set is impossible: a member starts once.
        let _only = self.control.set(control);
    }

    /// The member has joined, and its replicas are driven.
    pub(crate) fn runs(
        &self,
        member: MemberId,
        driver: DriverHandle,
        ended: watch::Receiver<Ended>,
    ) {
        let _only = self.running.set(Running {
            member,
            driver,
            ended,
        });
    }

    /// The member is told to stop: it hands over what it leads.
    pub fn stops(&self) {
        let _first = self.stopping.set(());
    }

    /// Why the member can do nothing more until it is started anew; `None` if it has not failed.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.running.get().and_then(Running::failed)
    }

    /// Its control plane, once there is one.
    pub(super) fn control(&self) -> Option<&ControlPlane> {
        self.control.get()
    }

    /// Its driver, once there is one.
    pub(super) fn driver(&self) -> Option<&DriverHandle> {
        self.running.get().map(|running| &running.driver)
    }

    /// Every reason why the member is not ready; none if it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let Some(control) = self.control.get() else {
            return vec!["it opens its data directory".to_owned()];
        };
        let Some(running) = self.running.get() else {
            let waits = |(why, asked)| format!("it has not joined a cluster yet: {why}; {asked}");
            let why = control.waiting().map(waits);
            return vec![why.unwrap_or_else(|| "it has joined, and opens its log".to_owned())];
        };
        if let Some(reason) = running.failed() {
            return vec![reason];
        }
        let mut reasons = reasons_of(running.member, control, &running.driver);
        if self.stopping.get().is_some() {
            reasons.push("it was told to stop".to_owned());
        }
        reasons
    }
}

/// The reasons of a member that has joined.
fn reasons_of(member: MemberId, control: &ControlPlane, driver: &DriverHandle) -> Vec<String> {
    let view = driver.view();
    let mut reasons = Vec::new();
    if !view.registered {
        reasons.push("the record of this process start is not applied yet".to_owned());
    }
    if control.leader().is_none() {
        reasons.push("the control plane has no leader that this member knows".to_owned());
    }
    if let Some(record) = view.cluster.members().get(&member) {
        match record.state {
            MemberState::Up => {}
            other => reasons.push(format!("the cluster considers it {other:?}")),
        }
        if record.drains() {
            reasons.push("it is being drained".to_owned());
        }
    }
    if !view.taking_over.is_empty() {
        let named = view.taking_over.iter().take(PARTITIONS_NAMED_MAX);
        let names: Vec<String> = named.map(ToString::to_string).collect();
        let more = view.taking_over.len().saturating_sub(names.len());
        reasons.push(format!(
            "it takes over {} partitions: {}{}",
            view.taking_over.len(),
            names.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ));
    }
    reasons
}
