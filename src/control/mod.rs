//! The control API behind `shardgate ctl`: the cluster as the router sees it, as JSON over HTTP.
//!
//! Commands are named as Vitess's `vtctldclient` names them. This version answers questions, and ends transactions that
//! were left in doubt.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::store::Snapshots;
use crate::twopc::{Resolver, Unresolved};

/// What the control API answers from.
#[derive(Clone)]
pub struct Control {
    /// Which tablets there are, and how they are.
    pub gateway: Arc<Gateway>,
    /// VSchema and topology.
    pub snapshots: Arc<Snapshots>,
    /// Transactions in doubt.
    pub resolver: Arc<Resolver>,
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
            .route("/v1/transactions", get(transactions))
            .route("/v1/transactions/{dtid}", get(transaction))
            .route("/v1/transactions/{dtid}/conclude", post(conclude))
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

/// Every transaction in doubt. A server that cannot be asked makes the answer incomplete, which is an error.
async fn transactions(State(control): State<Control>) -> Response {
    match unresolved(&control).await {
        Ok(found) => answer(StatusCode::OK, &Value::Array(found.iter().map(describe).collect())),
        Err(refusal) => refusal,
    }
}

async fn transaction(State(control): State<Control>, Path(dtid): Path<String>) -> Response {
    match unresolved(&control).await {
        Ok(found) => match found.iter().find(|transaction| transaction.dtid == dtid) {
            Some(transaction) => answer(StatusCode::OK, &describe(transaction)),
            None => {
                let text = format!("no unresolved transaction '{dtid}'");
                answer(StatusCode::NOT_FOUND, &json!({ "error": text }))
            }
        },
        Err(refusal) => refusal,
    }
}

async fn conclude(State(control): State<Control>, Path(dtid): Path<String>) -> Response {
    match control.resolver.conclude(&dtid).await {
        Ok(decision) => answer(StatusCode::OK, &json!({ "dtid": dtid, "decision": decision.as_str() })),
        Err(error) => {
            let text = String::from_utf8_lossy(error.message()).into_owned();
            answer(StatusCode::CONFLICT, &json!({ "error": text }))
        }
    }
}

async fn unresolved(control: &Control) -> Result<Vec<Unresolved>, Response> {
    let (found, failures) = control.resolver.unresolved().await;
    if failures.is_empty() {
        return Ok(found);
    }
    let text = format!("not every server has answered: {}", failures.join("; "));
    Err(answer(StatusCode::BAD_GATEWAY, &json!({ "error": text })))
}

fn describe(transaction: &Unresolved) -> Value {
    json!({
        "dtid": transaction.dtid,
        "state": transaction.phase.as_str(),
        "record_time": transaction.decided_at,
        "participants": transaction.participants,
    })
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
