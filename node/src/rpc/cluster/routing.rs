//! The routing table: which member leads which partition, so that an SDK asks the right one at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_control::{Cluster, ExecutorRecord, MemberState};
use ringhold_proto::convert::cluster_bytes;
use ringhold_proto::v1;
use ringhold_types::MemberId;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::partition::MemberView;

/// The table as of the cluster's state; its version is the control index.
pub(super) fn table(cluster: &Cluster) -> v1::RoutingTable {
    let living = cluster
        .members()
        .values()
        .filter(|record| record.state != MemberState::Forgotten);
    let members: Vec<v1::RoutingMember> = living
        .filter(|record| !record.info.witness)
        .map(|record| v1::RoutingMember {
            id: record.info.id.0,
            name: record.info.name.clone(),
            client_address: record.info.client_address.clone(),
        })
        .collect();
    let position_of: BTreeMap<MemberId, i32> = members
        .iter()
        .enumerate()
        .map(|(position, member)| (MemberId(member.id), i32::try_from(position).unwrap_or(-1)))
        .collect();
    v1::RoutingTable {
        version: cluster.index().get(),
        cluster_id: cluster.id().map(cluster_bytes).unwrap_or_default(),
        cluster_name: cluster.name().to_owned(),
        executors: cluster
            .executors()
            .values()
            .map(|record| routing_executor(record, &position_of))
            .collect(),
        members,
    }
}

fn routing_executor(
    record: &ExecutorRecord,
    position_of: &BTreeMap<MemberId, i32>,
) -> v1::RoutingExecutor {
    let primaries = record.partitions.iter().map(|partition| {
        let primary = partition.primary.map(|primary| primary.member);
        primary
            .and_then(|member| position_of.get(&member).copied())
            .unwrap_or(-1)
    });
    let config = v1::ExecutorConfig::from(&*record.config);
    v1::RoutingExecutor {
        name: record.config.name.to_string(),
        partition_count: record.config.partition_count.get(),
        durability: record.config.durability,
        persistence: config.persistence,
        primaries: primaries.collect(),
    }
}

/// The table, and again whenever it has changed. Views that change nothing in the table are passed over.
pub(super) fn watch(
    view: watch::Receiver<Arc<MemberView>>,
    known: Option<u64>,
) -> impl Stream<Item = Result<v1::WatchRoutingTableResponse, Status>> + Send {
    let mut last = known;
    let mut last_table = None;
    WatchStream::new(view).filter_map(move |view| {
        let version = view.index.get();
        if last == Some(version) {
            return None;
        }
        last = Some(version);
        let table = table(&view.cluster);
        let content = (table.members.clone(), table.executors.clone());
        if last_table.as_ref() == Some(&content) {
            return None;
        }
        last_table = Some(content);
        Some(Ok(v1::WatchRoutingTableResponse { table: Some(table) }))
    })
}
