//! Watches a cluster to which nothing should happen: whom it took for dead, and which partitions it changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_client::{Client, MemberId, MemberInfo, MemberState};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::executor::EXECUTOR;

/// How often the members are looked at: a member that is taken for dead stays so for longer.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disturbances {
    /// How often a living member was seen as down.
    pub(crate) false_removals: u64,
    /// Changes of partitions' configurations. A removal changes each that the member has a seat in, so this also shows
    /// one that came and went between two looks; so does rebalancing.
    pub(crate) partition_changes: u64,
}

/// A watch that goes on until it is ended.
pub(crate) struct Watch {
    client: Client,
    before: u64,
    removals: Arc<Mutex<Removals>>,
    looking: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Removals {
    states: BTreeMap<MemberId, MemberState>,
    count: u64,
}

impl Removals {
    fn look(&mut self, members: impl IntoIterator<Item = (MemberId, MemberState)>) {
        for (member, state) in members {
            let before = self.states.insert(member, state);
            let fell = state == MemberState::Down && before != Some(MemberState::Down);
            self.count += u64::from(fell);
        }
    }
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// When no member answers.
    pub(crate) async fn begin(client: &Client) -> anyhow::Result<Self> {
        let removals = Arc::new(Mutex::new(Removals::default()));
        let before = versions(client).await?;
        Ok(Self {
            client: client.clone(),
            before,
            looking: tokio::spawn(look(client.clone(), removals.clone())),
            removals,
        })
    }

    /// Ends, and says what happened.
    ///
    /// # Errors
    /// When no member answers.
    pub(crate) async fn end(self) -> anyhow::Result<Disturbances> {
        self.looking.abort();
        let removals = self
            .removals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count;
        Ok(Disturbances {
            false_removals: removals,
            partition_changes: versions(&self.client).await?.saturating_sub(self.before),
        })
    }
}

async fn look(client: Client, removals: Arc<Mutex<Removals>>) {
    loop {
        // A look that fails is made up for by the next one, and by the versions at the end.
        if let Ok(members) = client.cluster().members().await {
            let states = members
                .iter()
                .map(|member: &MemberInfo| (member.id, member.state));
            removals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .look(states);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The sum of the versions of all configurations: it grows with each change.
async fn versions(client: &Client) -> anyhow::Result<u64> {
    let partitions = client.cluster().partitions(EXECUTOR, None).await?;
    Ok(partitions.iter().map(|partition| partition.version).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stays_down_counts_once_and_each_fall_counts() {
        let mut removals = Removals::default();
        for state in [
            MemberState::Up,
            MemberState::Down,
            MemberState::Down,
            MemberState::Up,
            MemberState::Down,
        ] {
            removals.look([(MemberId(1), state), (MemberId(2), MemberState::Up)]);
        }
        assert_eq!(removals.count, 2);
    }
}
