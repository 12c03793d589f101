//! Following the routing table: two members at a time push it, so that one that freezes does not freeze the view.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_proto::v1;

use crate::connections::{Lane, cluster_service};
use crate::limits;
use crate::random;
use crate::refusal::Miss;
use crate::routing::RoutingTable;
use crate::shared::Shared;

/// How often a follower that found no member of its own looks again, and checks whether its member is still trusted.
const REVIEW: Duration = Duration::from_millis(500);

/// The members that are followed now.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<BTreeSet<String>>);

/// A follower's claim to a member; given up when dropped.
struct Source {
    sources: Arc<Sources>,
    address: String,
}

impl Sources {
    fn claim(self: &Arc<Self>, shared: &Shared) -> Option<Source> {
        let mut taken = self.0.lock().expect("no panic while held");
        let mut candidates = shared.addresses();
        candidates.retain(|address| !taken.contains(address));
        let trusted = |address: &&String| !shared.connections.is_suspected(address);
        let alive: Vec<&String> = candidates.iter().filter(trusted).collect();
        let place = random::below(u64::try_from(alive.len()).unwrap_or(0));
        let chosen = alive.get(usize::try_from(place).unwrap_or(0)).copied();
        let address = chosen.or_else(|| candidates.first())?.clone();
        taken.insert(address.clone());
        Some(Source {
            sources: self.clone(),
            address,
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.sources
            .0
            .lock()
            .expect("no panic while held")
            .remove(&self.address);
    }
}

/// Follows one member after the other for as long as the client lives.
pub(crate) async fn follow(shared: Arc<Shared>, sources: Arc<Sources>) {
    loop {
        let Some(source) = sources.claim(&shared) else {
            tokio::time::sleep(REVIEW).await;
            continue;
        };
        if let Miss::Unanswered(_) = follow_one(&shared, &source.address).await {
            shared.connections.broken(&source.address);
        }
        drop(source);
        tokio::time::sleep(limits::ROUTING_RETRY / 2 + random::up_to(limits::ROUTING_RETRY)).await;
    }
}

/// Takes over every table that a member pushes, until it breaks off or is no longer trusted.
async fn follow_one(shared: &Shared, address: &str) -> Miss {
    let ended = |why: &str| Miss::Unanswered(why.to_owned());
    let Some(channel) = shared.connections.channel(address, Lane::Calls) else {
        return ended("no address");
    };
    let request = v1::WatchRoutingTableRequest {
        cluster_id: shared.cluster_id(),
        known_version: shared
            .routing
            .is_known()
            .then(|| shared.routing.current().version),
    };
    let mut service = cluster_service(channel);
    let opened = tokio::time::timeout(limits::TRY_TIMEOUT, service.watch_routing_table(request));
    let mut tables = match opened.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return status.into(),
        Err(_elapsed) => return ended("no answer"),
    };
    loop {
        match tokio::time::timeout(REVIEW, tables.message()).await {
            Ok(Ok(Some(update))) => {
                shared.connections.heard(address);
                let table = RoutingTable::from_wire(update.table.unwrap_or_default());
                if shared.routing.offer(table).is_err() {
                    return ended("another cluster");
                }
            }
            Ok(Ok(None)) => return ended("the member ended the stream"),
            Ok(Err(status)) => return status.into(),
            Err(_quiet) if shared.connections.is_suspected(address) => return ended("suspected"),
            Err(_quiet) => {}
        }
    }
}
