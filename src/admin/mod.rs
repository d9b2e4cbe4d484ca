//! HTTP: health, metrics, status and debug pages.
//!
//! This room knows no other's state: whoever starts it hands over functions that return JSON. Paths are named as
//! vtgate names them (`/debug/status`, `/debug/vschema`, …).

mod page;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

type Health = Box<dyn Fn() -> Result<(), String> + Send + Sync>;
type Source = Box<dyn Fn() -> Value + Send + Sync>;

/// What the HTTP side serves.
pub struct Admin {
    metrics: Arc<Metrics>,
    health: Health,
    pages: BTreeMap<&'static str, Page>,
    started: Instant,
}

struct Page {
    about: &'static str,
    source: Source,
}

impl Admin {
    /// Serves `/metrics`, `/healthz` (always healthy) and the status page.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, health: Box::new(|| Ok(())), pages: BTreeMap::new(), started: Instant::now() }
    }

    /// Has `/healthz` answer 200 or, with the reason, 503.
    #[must_use]
    pub fn health(mut self, health: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.health = Box::new(health);
        self
    }

    /// Adds a JSON page. `about` is the line of the status page that links to it; what `/debug/status` returns is
    /// also shown on the status page itself.
    #[must_use]
    pub fn page(
        mut self,
        path: &'static str,
        about: &'static str,
        source: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        self.pages.insert(path, Page { about, source: Box::new(source) });
        self
    }

    /// Answers requests until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    fn router(self) -> Router {
        let mut router = Router::new()
            .route("/", get(status_page))
            .route("/healthz", get(healthz))
            .route("/debug/health", get(healthz))
            .route("/metrics", get(metrics));
        for path in self.pages.keys() {
            router = router.route(path, get(json_page));
        }
        router.with_state(Arc::new(self))
    }
}

async fn status_page(State(admin): State<Arc<Admin>>) -> Response {
    let status = admin.pages.get("/debug/status").map(|page| (page.source)());
    let links = admin.pages.iter().map(|(path, page)| (*path, page.about));
    let health = (admin.health)();
    let uptime = Duration::from_secs(admin.started.elapsed().as_secs());
    with_type("text/html; charset=utf-8", page::render(&health, uptime, links, status.as_ref()))
        .into_response()
}

async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    match (admin.health)() {
        Ok(()) => with_type(TEXT, "ok\n".to_owned()).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, with_type(TEXT, reason + "\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    with_type("text/plain; version=0.0.4; charset=utf-8", admin.metrics.render()).into_response()
}

async fn json_page(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let Some(page) = admin.pages.get(request.uri().path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let text = format!("{:#}\n", (page.source)());
    with_type("application/json", text).into_response()
}

const TEXT: &str = "text/plain; charset=utf-8";

fn with_type(content_type: &'static str, body: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn request(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_health_metrics_and_pages() {
        let registered = Arc::new(Metrics::new());
        registered.counter("shardgate_x_total", "X.", &[]).increment(1);
        let healthy = Arc::new(AtomicBool::new(true));
        let state = healthy.clone();
        let admin = Admin::new(registered)
            .health(move || match state.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err("no topology".to_owned()),
            })
            .page("/debug/status", "all", || serde_json::json!({ "tablets": [{ "alias": "<b>1</b>" }] }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(admin.serve(listener));
        for (path, parts) in [
            ("/healthz", &["200 OK", "ok\n"][..]),
            ("/metrics", &["200 OK", "version=0.0.4", "shardgate_x_total 1"]),
            ("/debug/status", &["application/json", "\"alias\": \"<b>1</b>\""]),
            ("/", &["text/html", "&lt;b&gt;1&lt;/b&gt;", "href=\"/debug/status\""]),
            ("/nothing", &["404 Not Found"]),
        ] {
            let answer = request(address, path).await;
            for part in parts {
                assert!(answer.contains(part), "{path}: no {part} in {answer}");
            }
        }
        healthy.store(false, Ordering::Relaxed);
        let answer = request(address, "/healthz").await;
        assert!(answer.contains("503") && answer.contains("no topology"), "{answer}");
        server.abort();
    }
}
