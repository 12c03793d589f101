//! `ringhold.v1.ClusterService`: the routing table, members, executors, partitions, the cluster's state of health.

mod administration;
mod drain;
mod members;
mod open_drains;
mod partitions;
mod routing;
mod status;

use std::pin::Pin;

use ringhold_proto::v1::cluster_service_server::ClusterService;
use ringhold_proto::{ApiError, v1};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::api::Api;

pub(super) use open_drains::OpenDrains;

/// Serves `ClusterService`.
#[derive(Clone)]
pub struct ClusterServiceImpl {
    api: Api,
}

impl ClusterServiceImpl {
    /// Answers through `api`.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api }
    }

    fn checked<T>(
        &self,
        stated: Option<&[u8]>,
        answer: impl FnOnce(&Api) -> Result<T, ApiError>,
    ) -> Result<Response<T>, Status> {
        let answer = self
            .api
            .check_cluster(stated)
            .and_then(|()| answer(&self.api));
        answer.map(Response::new).map_err(ApiError::into_status)
    }
}

#[tonic::async_trait]
impl ClusterService for ClusterServiceImpl {
    async fn get_routing_table(
        &self,
        request: Request<v1::GetRoutingTableRequest>,
    ) -> Result<Response<v1::GetRoutingTableResponse>, Status> {
        self.checked(request.get_ref().cluster_id.as_deref(), |api| {
            Ok(v1::GetRoutingTableResponse {
                table: Some(routing::table(&api.cluster())),
            })
        })
    }

    type WatchRoutingTableStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchRoutingTableResponse, Status>> + Send>>;

    async fn watch_routing_table(
        &self,
        request: Request<v1::WatchRoutingTableRequest>,
    ) -> Result<Response<Self::WatchRoutingTableStream>, Status> {
        let known = request.get_ref().known_version;
        self.checked(request.get_ref().cluster_id.as_deref(), |api| {
            let stream: Self::WatchRoutingTableStream =
                Box::pin(routing::watch(api.driver.watch(), known));
            Ok(stream)
        })
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        self.checked(request.get_ref().cluster_id.as_deref(), |api| {
            Ok(v1::ListMembersResponse {
                members: members::members(api),
            })
        })
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.checked(request.get_ref().cluster_id.as_deref(), |api| {
            Ok(status::status(api))
        })
    }

    async fn drain_member(
        &self,
        request: Request<v1::DrainMemberRequest>,
    ) -> Result<Response<v1::DrainMemberResponse>, Status> {
        let passed_on = drain::passed_on(&request);
        let answer = drain::drain(&self.api, request.into_inner(), passed_on).await;
        answer.map(Response::new).map_err(ApiError::into_status)
    }

    async fn forget_member(
        &self,
        request: Request<v1::ForgetMemberRequest>,
    ) -> Result<Response<v1::ForgetMemberResponse>, Status> {
        let answer = administration::forget(&self.api, request.into_inner()).await;
        answer.map(Response::new).map_err(ApiError::into_status)
    }

    async fn list_executors(
        &self,
        request: Request<v1::ListExecutorsRequest>,
    ) -> Result<Response<v1::ListExecutorsResponse>, Status> {
        self.checked(request.get_ref().cluster_id.as_deref(), |api| {
            let cluster = api.cluster();
            let executors = cluster
                .executors()
                .iter()
                .map(|(id, record)| partitions::executor(*id, record));
            Ok(v1::ListExecutorsResponse {
                executors: executors.collect(),
            })
        })
    }

    async fn get_executor(
        &self,
        request: Request<v1::GetExecutorRequest>,
    ) -> Result<Response<v1::GetExecutorResponse>, Status> {
        let request = request.into_inner();
        let answer = async {
            self.api.check_cluster(request.cluster_id.as_deref())?;
            partitions::executor_named(&self.api, &request.name).await
        };
        let respond = |executor| {
            Response::new(v1::GetExecutorResponse {
                executor: Some(executor),
            })
        };
        answer.await.map(respond).map_err(ApiError::into_status)
    }

    async fn create_executor(
        &self,
        request: Request<v1::CreateExecutorRequest>,
    ) -> Result<Response<v1::CreateExecutorResponse>, Status> {
        let answer = administration::create_executor(&self.api, request.into_inner()).await;
        answer.map(Response::new).map_err(ApiError::into_status)
    }

    async fn list_partitions(
        &self,
        request: Request<v1::ListPartitionsRequest>,
    ) -> Result<Response<v1::ListPartitionsResponse>, Status> {
        let request = request.into_inner();
        let answer = async {
            self.api.check_cluster(request.cluster_id.as_deref())?;
            partitions::list(&self.api, &request).await
        };
        answer
            .await
            .map(Response::new)
            .map_err(ApiError::into_status)
    }
}
