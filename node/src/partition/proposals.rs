//! Carries a primary's proposals to the control plane, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use ringhold_control::{Command, Response};
use ringhold_replica::Event;
use ringhold_types::{ChangeKind, ConfigurationChange, MemberId, StartNonce};
use tokio::sync::{Semaphore, mpsc};

use crate::clock::Clock;
use crate::control::ControlPlane;
use crate::spawn;

/// Proposals under way at once: a failover of 271 partitions must not open 271 streams to the Raft leader.
const UNDER_WAY_MAX: usize = 64;
/// After this time a proposal's outcome is unknown; the machine settles it by itself (PROTOCOL I6).
const PATIENCE: Duration = Duration::from_secs(2);

/// Proposes changes in the background.
#[derive(Clone)]
pub(super) struct Proposals {
    control: ControlPlane,
    notices: mpsc::Sender<Event>,
    places: Arc<Semaphore>,
    clock: Clock,
}

impl Proposals {
    pub(super) fn new(control: ControlPlane, notices: mpsc::Sender<Event>, clock: Clock) -> Self {
        Self {
            clock,
            control,
            notices,
            places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    /// Tells the cluster that no replica of this process carries the mark of a cut tail any more.
    pub(super) fn marks_cleared(&self, member: MemberId, start: StartNonce) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let control = self.control.clone();
        spawn::task("marks-cleared", async move {
            let command = Command::MarksCleared { member, start };
            let answer = control.propose(command, PATIENCE).await;
            drop(place);
            if let Err(error) = answer {
                tracing::debug!(%error, "cleared marks are told again");
            }
        });
    }

    /// Proposes `change`. A refusal comes back as an event; an unknown outcome does not: the change may still win. Without a
    /// free place nothing is sent, and the machine asks again.
    pub(super) fn propose(&self, change: ConfigurationChange) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let (control, notices, clock) = (self.control.clone(), self.notices.clone(), self.clock);
        spawn::task("propose", async move {
            let command = Command::Change(dated(change.clone(), clock));
            let answer = control.propose(command, PATIENCE).await;
            drop(place);
            match answer {
                Ok(Response::Refused(reason)) => {
                    tracing::debug!(partition = %change.partition, %reason, "proposal refused");
                    let _closed = notices.send(Event::ProposalRefused(change)).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(partition = %change.partition, %error, "proposal without answer");
                }
            }
        });
    }
}

/// A recorded loss says when, which the machine cannot know: it has no wall clock.
fn dated(mut change: ConfigurationChange, clock: Clock) -> ConfigurationChange {
    if let ChangeKind::RecordLoss { at, .. } = &mut change.kind {
        *at = Some(clock.wall());
    }
    change
}
