//! Whether a member can do its share, and if not, why.

use ringhold_control::MemberState;
use ringhold_types::MemberId;

use crate::control::ControlPlane;
use crate::partition::DriverHandle;

/// Most partitions named in a reason; the rest are counted.
const PARTITIONS_NAMED_MAX: usize = 5;

/// Looks at the member from outside.
pub struct Readiness {
    /// The member.
    pub member: MemberId,
    /// Its control plane.
    pub control: ControlPlane,
    /// Its driver.
    pub driver: DriverHandle,
}

impl Readiness {
    /// Every reason why the member is not ready; none if it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let view = self.driver.view();
        let mut reasons = Vec::new();
        if view.cluster.id().is_none() {
            reasons.push("it has not joined a cluster yet".to_owned());
            return reasons;
        }
        if !view.registered {
            reasons.push("the record of this process start is not applied yet".to_owned());
        }
        if self.control.leader().is_none() {
            reasons.push("the control plane has no leader that this member knows".to_owned());
        }
        if let Some(record) = view.cluster.members().get(&self.member) {
            match record.state {
                MemberState::Up => {}
                other => reasons.push(format!("the cluster considers it {other:?}")),
            }
            if record.draining {
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
}
