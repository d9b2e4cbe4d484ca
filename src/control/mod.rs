//! The control API behind `shardgate ctl`: the cluster as the router sees it, as JSON over HTTP.
//!
//! Commands are named as Vitess's `vtctldclient` names them. This version answers questions; it changes nothing.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::store::Snapshots;

/// What the control API answers from.
#[derive(Clone)]
pub struct Control {
    /// Which tablets there are, and how they are.
    pub gateway: Arc<Gateway>,
    /// VSchema and topology.
    pub snapshots: Arc<Snapshots>,
}

impl Control {
    /// Answers requests until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let router = Router::new()
            .route("/v1/keyspaces", get(keyspaces))
            .route("/v1/tablets", get(tablets))
            .route("/v1/vschema/{keyspace}", get(vschema))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

async fn keyspaces(State(control): State<Control>) -> Response {
    let snapshot = control.snapshots.current();
    let keyspaces = snapshot.topology.keyspaces().iter().map(|keyspace| {
        let shards = keyspace.all_shards().iter();
        let shards: Vec<Value> = shards
            .map(|shard| json!({ "name": shard.name().as_str(), "serving": shard.is_serving() }))
            .collect();
        json!({ "name": keyspace.name().as_str(), "db_name": keyspace.db_name(), "shards": shards })
    });
    answer(StatusCode::OK, &Value::Array(keyspaces.collect()))
}

async fn tablets(State(control): State<Control>) -> Response {
    let tablets = control.gateway.tablets().into_iter().map(|status| {
        json!({
            "alias": status.tablet.alias.to_string(),
            "keyspace": status.tablet.keyspace.as_str(),
            "shard": status.tablet.shard.as_str(),
            "type": status.tablet.tablet_type.as_str(),
            "hostname": status.tablet.hostname.to_string(),
            "address": status.tablet.address.to_string(),
            "state": status.state.as_str(),
            "reason": status.reason.as_ref(),
            "replication_lag_seconds": status.replication_lag.map(|lag| lag.as_secs()),
        })
    });
    answer(StatusCode::OK, &Value::Array(tablets.collect()))
}

async fn vschema(State(control): State<Control>, Path(keyspace): Path<String>) -> Response {
    let snapshot = control.snapshots.current();
    match snapshot.vschema.model().keyspaces.get(&keyspace) {
        Some(model) => answer(StatusCode::OK, &serde_json::to_value(model).unwrap_or(Value::Null)),
        None => {
            let text = format!("keyspace {keyspace} has no VSchema");
            answer(StatusCode::NOT_FOUND, &json!({ "error": text }))
        }
    }
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
