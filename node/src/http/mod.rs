//! The HTTP port: is it alive, is it ready and if not why, what does it count.

mod metrics;
mod readiness;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use readiness::Readiness;

/// What the pages look at.
#[derive(Clone)]
pub struct Pages {
    /// Whether the member is ready.
    pub readiness: Arc<Readiness>,
}

/// The router of the HTTP port.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(pages)
}

/// Alive: the process answers, and its parts run. It says nothing about its role; restarting it would not help a member that
/// waits, but it helps one whose disk failed for a while.
async fn healthz(State(pages): State<Pages>) -> Response {
    match pages.readiness.failed() {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Ready, or a line for each reason why not.
async fn readyz(State(pages): State<Pages>) -> Response {
    let reasons = pages.readiness.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let mut text = String::from("not ready\n");
    for reason in reasons {
        text.push_str("- ");
        text.push_str(&reason);
        text.push('\n');
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    let text = metrics::render(&pages.readiness);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
